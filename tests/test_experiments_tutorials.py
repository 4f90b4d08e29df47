"""The networks of tutorials give their authors' numbers, and the table says what the result files say."""

import dataclasses
import importlib
import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
import tyro

import fnnet
from experiments import results_file, table, xor
from experiments.results_file import Result, command_of, record

RESULTS = Path(table.__file__).parent / "results"


# --- XOR ---


def xor_in_numpy(epochs, every, rate=0.1):
    """The tutorial's network in plain NumPy, probabilities and all: losses every so many epochs, and predictions."""
    draw = np.random.RandomState(42)
    w1, w2 = draw.randn(2, 4), draw.randn(4, 1)
    b1, b2 = np.zeros(4), np.zeros(1)
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0], [1], [1], [0.0]])
    losses = []
    for epoch in range(epochs + 1):
        h = 1 / (1 + np.exp(-(x @ w1 + b1)))
        p = 1 / (1 + np.exp(-(h @ w2 + b2)))
        if epoch % every == 0:
            losses.append(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean())
        dz2 = (p - y) / 4
        dz1 = dz2 @ w2.T * h * (1 - h)
        if epoch < epochs:
            w2, b2, w1, b1 = (
                w2 - rate * h.T @ dz2,
                b2 - rate * dz2.sum(0),
                w1 - rate * x.T @ dz1,
                b1 - rate * dz1.sum(0),
            )
    return np.array(losses), p[:, 0]


def test_xor_is_the_same_network_in_numpy(tmp_path, capsys):
    config = xor.Config(reference_init=True, runs=tmp_path, copy_to=tmp_path / "results")
    moments = xor.main(config)
    losses, predictions = xor_in_numpy(10_000, 1000)
    assert [m.epoch for m in moments] == list(range(0, 10_001, 1000))
    np.testing.assert_allclose([m.loss for m in moments], losses, rtol=0, atol=1e-9)
    kept = results_file.read(tmp_path / "results" / "xor.json")
    np.testing.assert_allclose([r.values[0] for r in kept["ours"].values()], predictions, rtol=0, atol=1e-9)
    assert kept["command"] == "python -m experiments.xor --reference-init"
    text = capsys.readouterr().out
    for words in ("     0  0.7628\n", "  9000  0.0186\n", "0.0065", "0.9866", "0.9837", "0.0222"):
        assert words in text
    (picture,) = (tmp_path / "xor").rglob("xor.png")
    assert (tmp_path / "results" / "xor.png").read_bytes().startswith(b"\x89PNG")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_starts_that_learn_are_counted_one_by_one():
    """All starts at once give the answer of each by itself."""
    optimizer, data = fnnet.Adam(0.1), fnnet.datasets.xor()
    together = np.asarray(xor.worst_outputs(xor.build(), optimizer, np.arange(4, dtype=np.int32), 500))
    for seed in range(4):
        state = fnnet.init_state(xor.build(), optimizer, jax.random.key(seed))
        state, _ = fnnet.train(xor.build(), optimizer, state, data, epochs=500, batch_size=4, order=None)
        p = np.asarray(fnnet.predict(xor.build(), state.params, data.x))
        assert abs(p - data.y).max() == pytest.approx(together[seed], abs=1e-4)
    assert xor.learnt(1.0, optimizer, range(4), 500) == (together < 0.05).sum()


@pytest.mark.slow
def test_gradient_descent_learns_xor_from_20_of_20_starts():
    assert xor.learnt(1.0, fnnet.Sgd(0.1), range(20), 10_000) == 20


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"epochs": 1500}, {"report_every": 0}, {"seeds": -1}], ids=str)
def test_settings_of_xor_that_make_no_sense_are_refused_in_a_line(setting, tmp_path):
    with pytest.raises(SystemExit, match="expected"):
        xor.main(xor.Config(**setting, runs=tmp_path))
    assert not list(tmp_path.iterdir())


# --- the table ---


def test_the_table_says_what_the_result_files_say():
    assert (RESULTS.parent / "README.md").read_text(encoding="utf-8") == table.render(RESULTS), (
        "experiments/README.md is not made of experiments/results: run python -m experiments.table"
    )


def kept():
    return {path.stem: found for path in sorted(RESULTS.glob("*.json")) if (found := results_file.read(path))}


def test_every_result_has_its_pictures_and_a_command_that_its_script_takes():
    assert {"xor", "kaggle_digits"} <= kept().keys()
    for name, result in kept().items():
        assert result["experiment"] == name
        for picture in result["pictures"]:
            assert (RESULTS / picture).is_file(), picture
        python, flag, module, *arguments = shlex.split(result["command"])
        assert (python, flag) == ("python", "-m")
        script = importlib.import_module(module)
        config = tyro.cli(script.Config, args=arguments)
        assert command_of(module.removeprefix("experiments."), config) == result["command"]


ONE = {
    "command": "python -m experiments.one",
    "tutorial": "a | b",
    "author": "",
    "ours": {"accuracy": Result(np.array([97.0, 98.0, 99.0]), "%", range(3)), "loss": Result([0.5]), "said": "words"},
    "seconds": np.float32(1234.56),
    "pictures": {"one.png": "A picture"},
}


def test_a_row_is_made_of_what_was_recorded(tmp_path):
    record("one", **ONE, folder=tmp_path / "results")
    (tmp_path / "results" / "other.json").write_text('{"ratio": 0.9}')
    text = table.render(tmp_path / "results")
    (row,) = re.findall(r"^\| `python.*$", text, re.MULTILINE)
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert cells[:5] == [
        "`python -m experiments.one`",
        r"a \| b",
        "no figure",
        "accuracy: 98.00 % ± 1.00 (3 seeds)<br>loss: 0.50<br>said: words",
        "1,234.6 s",
    ]
    assert f"jax {jax.__version__}, numpy {np.__version__}" in cells[5]
    assert "![A picture](results/one.png)" in text


@pytest.mark.parametrize("result", [Result([]), Result([1.0], seeds=[0, 1])])
def test_a_result_that_is_none_is_not_recorded(tmp_path, result):
    with pytest.raises(ValueError, match="a value for each seed of 'accuracy'"):
        record("one", **ONE | {"ours": {"accuracy": result}}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@dataclasses.dataclass(frozen=True)
class Settings:
    hidden: tuple[int, ...] = (2, 3)
    rate: float = 0.1
    big_flag: bool = False
    bar: bool = True
    share: float | None = 0.5
    runs: Path = Path("runs")
    progress: bool = True


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (Settings(), ""),
        (Settings(hidden=(4, 5, 6), rate=0.2), " --hidden 4 5 6 --rate 0.2"),
        (Settings(big_flag=True, bar=False), " --big-flag --no-bar"),
        (Settings(share=None), " --share None"),
        (Settings(runs=Path("elsewhere"), progress=False), ""),
    ],
)
def test_a_command_names_the_settings_that_are_not_the_defaults(settings, command):
    assert command_of("one", settings) == "python -m experiments.one" + command
    parsed = tyro.cli(Settings, args=shlex.split(command))
    assert dataclasses.replace(parsed, runs=settings.runs, progress=settings.progress) == settings
