"""The scripts run as their readers run them, only shorter, and leave the files they promise."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fnnet
from experiments import convolutions, digits, mnist
from experiments.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("optimized")

HAS_MNIST = "FNNET_DATA" in os.environ and (Path(os.environ["FNNET_DATA"]) / "mnist").is_dir()


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def only(folder):
    (path,) = folder.iterdir()
    return path


@pytest.mark.slow
def test_digits_learns_and_leaves_its_files(tmp_path, capsys):
    digits.main(digits.Config(seeds=2, epochs=12, runs=tmp_path, progress=False))
    text = capsys.readouterr().out
    run = only(tmp_path / "digits")
    assert "a fifth held out, stratified" in text
    assert "the last 360 held out, mostly other writers" in text
    assert f"{run}" in text
    assert json.loads((run / "config.json").read_text())["config"]["epochs"] == 12
    rows = records(run)
    tests = [r for r in rows if "test_accuracy" in r]
    assert len(rows) == 2 * 2 * (12 + 1)
    assert len(tests) == 4
    assert np.mean([r["test_accuracy"] for r in tests[:2]]) > 0.97
    for name in ("digits_learning_curve", "digits_confusion_matrix", "digits_predictions"):
        assert (run / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_digits_gives_the_same_numbers_each_time(tmp_path):
    config = digits.Config(seeds=1, epochs=2, unseen_writers=False, progress=False)
    runs = []
    for name in ("a", "b"):
        digits.main(digits.Config(**{**vars(config), "runs": tmp_path / name}))
        runs.append([{k: v for k, v in r.items() if k != "seconds"} for r in records(only(tmp_path / name / "digits"))])
    assert runs[0] == runs[1]


def test_digits_holds_out_whole_writers_and_stratified_rows():
    a, b = digits.tasks(digits.Config(validation_fraction=0)).values()
    assert (len(a.train.y), len(a.test.y), len(b.train.y), len(b.test.y)) == (1437, 360, 1437, 360)
    assert a.validation is None
    np.testing.assert_array_equal(b.test.x, fnnet.datasets.digits().x[1437:])


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
def test_mnist_reads_and_reports_every_test_image(tmp_path, capsys):
    mnist.main(mnist.Config(epochs=1, runs=tmp_path, progress=False))
    rows = records(only(tmp_path / "mnist"))
    assert rows[-1]["test_accuracy"] == 1 - rows[-1]["test_errors"] / 10_000
    assert rows[-1]["test_accuracy"] > 0.95
    assert fnnet.restore(only(tmp_path / "mnist") / "checkpoint.safetensors").model.input_shape == (28, 28)
    assert "of 10,000 test images right" in capsys.readouterr().out


@pytest.fixture
def small_mnist(monkeypatch):
    """The embedded digits, enlarged to 28 x 28, where the scripts would read MNIST."""

    def enlarged(batch):
        images = np.kron(batch.x, np.ones((3, 3), np.uint8)) * np.uint8(15)
        return batch._replace(x=np.pad(images, ((0, 0), (2, 2), (2, 2))))

    train, test = fnnet.datasets.split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    pair = enlarged(train), enlarged(test)
    monkeypatch.setattr(fnnet.datasets, "mnist", lambda: pair, raising=False)


@pytest.mark.slow
def test_convolutions_learn_and_leave_filters_maps_and_saliency(small_mnist, tmp_path, capsys):
    config = convolutions.Config(
        seeds=1, epochs=3, batch_size=32, channels=(4, 8), hidden=(16,), runs=tmp_path, copy_to=tmp_path / "kept",
        progress=False,
    )  # fmt: skip
    convolutions.main(config)
    kept = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {f"convolutions_mnist_{name}.png" for name in ("filters", "maps", "saliency", "curve")} < kept
    assert "convolutions_mnist.json" in kept
    (row,) = [row for row in records(only(tmp_path / "convolutions")) if "test_accuracy" in row]
    assert row["test_accuracy"] > 0.8
    assert "test accuracy" in capsys.readouterr().out
    assert fnnet.restore(only(tmp_path / "convolutions") / "checkpoint.safetensors").model.input_shape == (28, 28)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ({"seeds": 0}, "--seeds"),
        ({"epochs": 0}, "--epochs"),
        ({"batch_size": 0}, "--batch-size"),
        ({"validation_fraction": 2.0}, "--validation-fraction"),
    ],
    ids=str,
)
@pytest.mark.parametrize("script", [digits, mnist, convolutions], ids=["digits", "mnist", "convolutions"])
def test_settings_that_make_no_sense_are_refused_in_one_line(script, setting, text, tmp_path):
    with pytest.raises(SystemExit, match=text):
        script.main(script.Config(**setting, runs=tmp_path))
    assert not list(tmp_path.iterdir())


def test_run_folders_never_collide(tmp_path):
    config = digits.Config(runs=tmp_path)
    with RunFolder("a", config) as one, RunFolder("a", config) as two:
        assert one.path != two.path
        one.log(loss=np.float32(0.5))
        assert records(one.path) == [{"loss": 0.5}]
        assert records(two.path) == []


@pytest.mark.parametrize("script", ["digits", "mnist", "convolutions"])
def test_help_explains_every_setting(script):
    command = [sys.executable, "-m", f"experiments.{script}", "--help"]
    text = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "120"}
    ).stdout
    for words in ("--seeds", "--learning-rate", "Adam at the first step", "How often every training", "default"):
        assert words in text
