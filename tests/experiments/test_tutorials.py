"""The networks of tutorials give their authors' numbers, and the table agrees with the results files."""

import dataclasses
import importlib
import os
import re
import shlex
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tyro

import fnnet
from experiments import bugs, kaggle_digits, results_file, table, toys, xor
from experiments.command_line import command_of
from experiments.results_file import Result, record

pytestmark = pytest.mark.usefixtures("optimized")

HAS_MNIST = "FNNET_DATA" in os.environ and (Path(os.environ["FNNET_DATA"]) / "mnist").is_dir()
RESULTS = Path(table.__file__).parent / "results"


# --- XOR ---


def xor_in_numpy(epochs, every, rate=0.1):
    """The tutorial's network in plain NumPy, probabilities and all: losses every so many epochs, and predictions."""
    rng = np.random.RandomState(42)
    w1, w2 = rng.randn(2, 4), rng.randn(4, 1)
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
    config = xor.Config(reference_init=True, figure=False, runs=tmp_path / "runs", copy_to=tmp_path / "results")
    moments = xor.show(config)
    losses, predictions = xor_in_numpy(10_000, 1000)
    assert [m.epoch for m in moments] == list(range(0, 10_001, 1000))
    np.testing.assert_allclose([m.loss for m in moments], losses, rtol=0, atol=1e-9)
    kept = results_file.read(tmp_path / "results" / "xor.json")
    np.testing.assert_allclose([r.values[0] for r in kept["results"].values()], predictions, rtol=0, atol=1e-9)
    assert kept["command"] == "python -m experiments.xor --reference-init --no-figure"
    text = capsys.readouterr().out
    for words in ("     0  0.7628\n", "  9000  0.0186\n", "0.0065", "0.9866", "0.9837", "0.0222"):
        assert words in text
    assert not jax.config.jax_enable_x64


@pytest.mark.slow
def test_starts_that_learn_are_counted_one_by_one():
    """All starts at once give the answer of each by itself."""
    optimizer, data = fnnet.Adam(0.1), fnnet.datasets.xor()
    together = np.asarray(xor.worst_outputs(xor.build(), optimizer, np.arange(4, dtype=np.int32), 500))
    for seed in range(4):
        state = fnnet.init_state(xor.build(), optimizer, jax.random.key(seed))
        state, _ = fnnet.train(xor.build(), optimizer, state, data, epochs=500, batch_size=4, shuffle=None)
        p = np.asarray(fnnet.predict(xor.build(), state.params, data.x))
        assert abs(p - data.y).max() == pytest.approx(together[seed], abs=1e-4)
    assert xor.count_learned(1.0, optimizer, 500, range(4)) == (together < 0.05).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "rate"), [(1.0, 0.1), (0.5, 0.5)])
def test_gradient_descent_learns_xor_from_20_of_20_starts(deviation, rate):
    assert xor.count_learned(deviation, fnnet.Sgd(rate), 10_000, range(20)) == 20


@pytest.mark.slow
def test_the_figure_of_xor_is_drawn(tmp_path):
    xor.main(xor.Config(epochs=60, report_every=10, seeds=2, runs=tmp_path / "runs", copy_to=tmp_path))
    (figure,) = (tmp_path / "runs").rglob("xor.png")
    for path in (figure, tmp_path / "xor.png"):
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"epochs": 1500}, {"report_every": 0}, {"seeds": -1}], ids=str)
def test_settings_of_xor_that_make_no_sense_are_refused_in_one_line(setting, tmp_path):
    with pytest.raises(SystemExit, match="expected"):
        xor.main(xor.Config(**setting, runs=tmp_path))
    assert not list(tmp_path.iterdir())


# --- Kaggle's digits ---


def enlarged_digits(count):
    """The embedded digits as 28 x 28 images: every pixel threefold, a margin of two."""
    data = fnnet.datasets.digits()
    images = 15 * np.kron(data.x[:count], np.ones((1, 3, 3), np.uint8))
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), data.y[:count]


def test_kaggle_digits_from_csv_to_submission(tmp_path, capsys):
    images, labels = enlarged_digits(400)
    kaggle_digits.write_table(tmp_path / "train.csv", images[:300], labels[:300])
    kaggle_digits.write_table(tmp_path / "test.csv", images[300:], None)
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test", "answers")}
    config = kaggle_digits.Config(
        csv=files["train"], test_csv=files["test"], submission=files["answers"], iterations=30, dev_rows=50,
        losses=False, runs=tmp_path / "runs", copy_to=tmp_path / "results",
    )  # fmt: skip
    rounds = kaggle_digits.main(config)
    assert [done.iteration for done in rounds] == [0, 10, 20, 30]
    answers = np.loadtxt(files["answers"], int, delimiter=",", skiprows=1)
    np.testing.assert_array_equal(answers[:, 0], np.arange(1, 101))
    kept = results_file.read(tmp_path / "results" / "kaggle_digits.json")
    assert kept["results"]["dev accuracy, squared error"].values == [100 * rounds[-1].accuracy["squared error"]]
    assert (tmp_path / "results" / "kaggle_digits.png").read_bytes().startswith(b"\x89PNG")
    assert "250 rows to learn from, 50 held out" in capsys.readouterr().out


def in_numpy(params, images, labels):
    """(loss, gradients) of the tutorial's network; the softmax with its whole Jacobian, a row at a time."""
    (w1, b1), (w2, b2), (w3, b3) = ((np.asarray(p.w, float), np.asarray(p.b, float)) for p in params if p != ())
    x, loss, grads = images.reshape(len(images), -1) / 255.0, 0.0, 0
    for row, label in zip(x, labels, strict=True):
        h1 = np.maximum(row @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        z = h2 @ w3 + b3
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        r = p - np.eye(10)[label]
        loss += r @ r / len(x)
        dz3 = (np.diag(p) - np.outer(p, p)) @ (2 * r) / len(x)
        dz2 = w3 @ dz3 * (h2 > 0)
        dz1 = w2 @ dz2 * (h1 > 0)
        one = [np.outer(row, dz1), dz1, np.outer(h1, dz2), dz2, np.outer(h2, dz3), dz3]
        grads = one if grads == 0 else [a + b for a, b in zip(grads, one, strict=True)]
    return loss, grads


def kaggle_networks():
    return {name: model for name, model in bugs.networks().items() if not name.endswith("from randn")} | {
        "softmax overflows": kaggle_digits.build(output=bugs.OverflowingSoftmax())
    }


@pytest.fixture(scope="module")
def passes():
    """(parameters, rows, name -> (value, six gradients)) of every network from the same start, in float64."""
    rows = enlarged_digits(20)
    with jax.enable_x64(True):
        models = kaggle_networks()
        params = fnnet.init(models["squared error"], jax.random.key(0), dtype="float64")
        all_at_once = jax.jit(lambda params: {name: fnnet.backward(m, params, *rows) for name, m in models.items()})
        params, found = jax.tree.map(np.asarray, (params, all_at_once(params)))
    return params, rows, {name: (value, jax.tree.leaves(grads)) for name, (value, grads) in found.items()}


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_kaggle_digits_loss_and_gradients_are_those_of_numpy(passes):
    params, rows, found = passes
    value, grads = found["squared error"]
    loss, theirs = in_numpy(params, *rows)
    assert value == pytest.approx(loss, rel=1e-12)
    assert max(abs(g).max() for g in grads) > 1e-3
    assert_same(grads, theirs)


def test_a_minus_one_hot_is_the_gradient_of_cross_entropy(passes):
    _, _, found = passes
    assert found["A - one_hot for squared error"][0] == found["squared error"][0]
    assert_same(found["A - one_hot for squared error"][1], found["cross-entropy"][1])


def test_a_two_layer_backward_leaves_the_first_layer_as_it_is(passes):
    _, _, found = passes
    right, wrong = found["squared error"], found["two-layer backward"]
    assert wrong[0] == right[0]
    assert not any(g.any() for g in wrong[1][:2])
    assert_same(wrong[1][2:], right[1][2:])


def test_one_bias_gradient_is_one_number_per_layer(passes):
    _, _, found = passes
    right, wrong = found["squared error"], found["one bias gradient"]
    assert wrong[0] == right[0]
    assert_same(wrong[1][::2], right[1][::2])
    assert_same(wrong[1][1::2], [np.full(b.shape, b.sum()) for b in right[1][1::2]])


def test_a_softmax_where_relu_belongs_is_another_network(passes):
    _, _, found = passes
    assert found["softmax for ReLU"][0] != pytest.approx(found["squared error"][0], rel=1e-3)


def test_softmax_overflows_where_the_logits_are_large_and_nowhere_else(passes):
    _, _, found = passes
    assert_same(found["softmax overflows"][1], found["squared error"][1])
    for layer, is_number in ((bugs.OverflowingSoftmax(), False), (fnnet.Softmax(), True)):
        y, _ = layer.forward((), jnp.array([[89.0, 0.0]]))
        assert np.isfinite(y).all() == is_number


@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
def test_the_tables_made_of_mnist_have_kaggle_s_sizes_and_every_image_once():
    tables = kaggle_digits.from_mnist()
    assert (tables.train.x.shape, tables.test.shape) == ((42_000, 28, 28), (28_000, 28, 28))
    train, test = fnnet.datasets.mnist()
    ours = np.concatenate([tables.train.y, tables.answers])
    np.testing.assert_array_equal(np.bincount(ours), np.bincount(np.concatenate([train.y, test.y])))
    np.testing.assert_array_equal(tables.test[-10_000:], test.x)
    sums = np.concatenate([tables.train.x, tables.test]).sum((1, 2), dtype=np.int64)
    both = np.concatenate([train.x, test.x]).sum((1, 2), dtype=np.int64)
    np.testing.assert_array_equal(np.sort(sums), np.sort(both))


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
def test_kaggle_s_files_at_their_real_size_give_the_numbers_of_the_arrays(tmp_path, capsys):
    short = {"iterations": 2, "report_every": 2, "losses": True, "runs": tmp_path / "runs"}
    kaggle_digits.main(kaggle_digits.Config(make_csv=tmp_path))
    direct = kaggle_digits.main(kaggle_digits.Config(**short, submission=tmp_path / "direct.csv"))
    said = float(re.search(r"fnnet.evaluate: (\S+) %", capsys.readouterr().out)[1])
    files = {"csv": tmp_path / "train.csv", "test_csv": tmp_path / "test.csv", "submission": tmp_path / "answers.csv"}
    read = kaggle_digits.main(kaggle_digits.Config(**short, **files))
    assert [done.accuracy for done in read] == [done.accuracy for done in direct]
    assert files["submission"].read_bytes() == (tmp_path / "direct.csv").read_bytes()
    answers, truth = (
        np.loadtxt(tmp_path / f, int, delimiter=",", skiprows=1) for f in ("answers.csv", "test_labels.csv")
    )
    assert answers.shape == (28_000, 2)
    assert 100 * (answers[:, 1] == truth[:, 1]).mean() == pytest.approx(said, abs=2e-3)


CLASSES = {"targets": np.array([0, 5, 3])}
CHECKED = {
    "right loss": (kaggle_digits.SquaredErrorOfClasses(), (6,), CLASSES, False),
    "A - one_hot": (bugs.ErrorOfAnotherLoss(), (6,), CLASSES, True),
    "softmax for ReLU": (bugs.SoftmaxForRelu(), (6,), {}, True),
    "two-layer backward": (fnnet.Serial((fnnet.Dense(3), bugs.StopsBackward())), (6,), {}, True),
    "one bias gradient": (bugs.OneBiasForAll(4), (6,), {}, True),
}


@pytest.mark.slow
@pytest.mark.parametrize(("subject", "shape", "more", "is_wrong"), CHECKED.values(), ids=CHECKED.keys())
def test_the_gradient_checker_finds_a_wrong_backward(subject, shape, more, is_wrong):
    assert bool(fnnet.check_gradients(subject, shape, key=jax.random.key(0), **more).failed) == is_wrong


@pytest.mark.parametrize(
    "setting",
    [
        {"iterations": 0},
        {"iterations": 15},
        {"dev_rows": 0},
        {"csv": Path("no"), "submission": Path("s")},
        {"submission": Path("no/such/s")},
    ],
    ids=str,
)
def test_settings_of_kaggle_digits_that_make_no_sense_are_refused_in_one_line(setting, tmp_path):
    with pytest.raises(SystemExit, match="expected"):
        kaggle_digits.main(kaggle_digits.Config(**setting, runs=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_toy_problems_are_learned_and_drawn(tmp_path):
    right = toys.main(toys.Config(runs=tmp_path, copy_to=tmp_path))
    assert min(right.values()) > 0.95
    assert (tmp_path / "toys.png").read_bytes().startswith(b"\x89PNG")


# --- the table ---


def test_the_table_agrees_with_the_results_files():
    page = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    assert page == table.render(RESULTS, page), (
        "experiments/README.md is not made of experiments/results: run python -m experiments.table"
    )


def kept():
    return {path.stem: found for path in sorted(RESULTS.glob("*.json")) if (found := results_file.read(path))}


def test_every_result_has_its_figures_and_a_command_that_its_script_takes():
    assert {"xor", "kaggle_digits", "toys"} <= kept().keys()
    for name, result in kept().items():
        assert result["experiment"] == name
        for figure in result["figures"]:
            assert (RESULTS / figure).is_file(), figure
        python, flag, module, *arguments = shlex.split(result["command"])
        assert (python, flag) == ("python", "-m")
        script = importlib.import_module(module)
        config = tyro.cli(script.Config, args=arguments)
        assert command_of(module.removeprefix("experiments."), config) == result["command"]


ONE = {
    "command": "python -m experiments.one",
    "network": "a | b",
    "author": "",
    "results": {
        "test accuracy": Result(np.array([97.0, 98.0, 99.0]), "%", range(3)),
        "loss": Result([0.5]),
        "test said": "words",
        "one": Result([1], "%", [7], 1),
    },
    "seconds": np.float32(1234.56),
    "figures": {"one.png": "A figure"},
}


def test_a_row_is_made_of_what_was_recorded(tmp_path):
    record("one", **ONE, folder=tmp_path / "results")
    (tmp_path / "results" / "other.json").write_text('{"ratio": 0.9}')
    text = table.render(tmp_path / "results")
    (row,) = re.findall(r"^\|  \| `python.*$", text, re.MULTILINE)
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert cells[:8] == [
        "",
        "`python -m experiments.one`",
        r"a \| b",
        "not given",
        "test accuracy: 98.00 % ± 1.00 (3 seeds)<br>loss: 0.50<br>test said: words<br>one: 1.0 % (1 seed)",
        "3",
        "see `--help`",
        "1,234.6 s",
    ]
    assert f"jax {jax.__version__}, numpy {np.__version__}" in cells[8]
    assert "![A figure](results/one.png)" in text


@pytest.mark.parametrize("result", [Result([]), Result([1.0], seeds=[0, 1])])
def test_a_result_without_one_value_per_seed_is_refused(tmp_path, result):
    with pytest.raises(ValueError, match="one value per seed of 'accuracy'"):
        record("one", **ONE | {"results": {"accuracy": result}}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@dataclasses.dataclass(frozen=True)
class Settings:
    hidden: tuple[int, ...] = (2, 3)
    rate: float = 0.1
    big_flag: bool = False
    bar: bool = True
    fraction: float | None = 0.5
    runs: Path = Path("runs")
    progress: bool = True


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Settings = dataclasses.field(default_factory=lambda: Settings(rate=0.2))
    count: int = 1


def test_a_command_names_settings_inside_settings():
    changed = Outer(Settings(rate=0.1, hidden=(4,), big_flag=True, progress=False), 2)
    command = command_of("one", changed)
    said = "--inner.hidden 4 --inner.rate 0.1 --inner.big-flag --count 2"
    assert command == f"python -m experiments.one {said}"
    assert command_of("one", Outer()) == "python -m experiments.one"
    parsed = tyro.cli(Outer, args=shlex.split(said))
    assert dataclasses.replace(parsed.inner, progress=False) == changed.inner


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        (Settings(), ""),
        (Settings(hidden=(4, 5, 6), rate=0.2), " --hidden 4 5 6 --rate 0.2"),
        (Settings(big_flag=True, bar=False), " --big-flag --no-bar"),
        (Settings(fraction=None), " --fraction None"),
        (Settings(runs=Path("elsewhere"), progress=False), ""),
    ],
)
def test_a_command_names_the_settings_that_are_not_the_defaults(settings, command):
    assert command_of("one", settings) == "python -m experiments.one" + command
    parsed = tyro.cli(Settings, args=shlex.split(command))
    assert dataclasses.replace(parsed, runs=settings.runs, progress=settings.progress) == settings
