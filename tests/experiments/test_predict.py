"""`python -m experiments.predict`: the network's own answers; what cannot be read is named, the rest is answered."""

import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
import tyro
from PIL import Image

import fnnet
from experiments import mnist, own_digits, predict

OWN = Path(__file__).parents[1] / "own_digits"
HAS_MNIST = "FNNET_DATA" in os.environ and (Path(os.environ["FNNET_DATA"]) / "mnist").is_dir()


def untrained(shape):
    """A model that has nothing to learn, and an output for every pixel."""
    return fnnet.Model(fnnet.Serial((fnnet.Flatten(), fnnet.Rescale(1 / 255))), fnnet.SoftmaxCrossEntropy(), shape)


def save(path, model):
    """A checkpoint of the model as it begins."""
    optimizer = fnnet.Sgd(0.1)
    return fnnet.save(path, model, optimizer, fnnet.init_state(model, optimizer, jax.random.key(0)))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network, in a folder as experiments.mnist leaves it, beside an older run."""
    runs = tmp_path_factory.mktemp("mnist")
    model = fnnet.mlp((784, 10), input_shape=(28, 28), scale=1 / 255)
    (runs / "2020-01-01_00-00-00").mkdir()
    (runs / "2020-01-01_00-00-00" / "checkpoint.safetensors").write_bytes(b"older, and never opened")
    return save(runs / "2021-01-01_00-00-00" / "checkpoint.safetensors", model)


def test_the_answers_are_the_networks_and_the_figure_shows_them(checkpoint, tmp_path, capsys):
    files = (OWN / "05.png", OWN / "08.png")
    predict.main(predict.Config(checkpoint.parents[1], files, runs=tmp_path))
    saved = fnnet.restore(checkpoint)
    x = np.stack([fnnet.datasets.digit_from_image(file) for file in files])
    expected = np.asarray(fnnet.predict(saved.model, saved.state.params, x))
    lines = capsys.readouterr().out.splitlines()
    for line, file, p in zip(lines[1:3], files, expected, strict=True):
        cells = line.split()
        assert cells[:2] == [file.name, str(p.argmax())]
        np.testing.assert_allclose([float(cell) for cell in cells[2:]], 100 * p, atol=0.051)
    (run,) = (tmp_path / "predict").iterdir()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([row["probabilities"] for row in rows], expected, rtol=1e-6)
    assert str(run / "predictions.png") in lines[-1]
    with Image.open(run / "predictions.png") as figure:
        assert figure.width > 500
        assert len(figure.convert("RGB").getcolors(2**20)) > 50


def test_a_row_is_answered_digit_by_digit(checkpoint, tmp_path, capsys):
    predict.main(predict.Config(checkpoint, (OWN / "52.png",), row=True, runs=tmp_path))
    assert capsys.readouterr().out.count("52.png") == 3


def test_what_cannot_be_read_is_named_and_the_others_are_answered(checkpoint, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("seven")
    files = (tmp_path / "letter.txt", OWN / "05.png", tmp_path / "no.png")
    with pytest.raises(SystemExit) as end:
        predict.main(predict.Config(checkpoint, files, runs=tmp_path))
    first, second = str(end.value.code).splitlines()  # a text as code is printed, and the status is 1
    assert first.startswith("refused: ")
    assert "letter.txt: is not an image that can be read: save it as PNG or JPEG" in first
    assert "no.png: no such file" in second
    assert "05.png" in capsys.readouterr().out


def test_networks_that_cannot_read_digits_are_refused_in_one_line(tmp_path):
    save(tmp_path / "small.safetensors", untrained((8, 8)))
    save(tmp_path / "wide.safetensors", untrained((28, 28)))
    (tmp_path / "broken.safetensors").write_bytes(b"no checkpoint")
    (tmp_path / "empty").mkdir()
    faults = {
        "small.safetensors": r"\(8, 8\)",
        "wide.safetensors": r"\(784,\)",
        "broken.safetensors": "broken.safetensors: ",
        "no.safetensors": "no.safetensors: ",
        "empty": "python -m experiments.mnist",
    }
    for name, fault in faults.items():
        with pytest.raises(SystemExit, match=fault):
            predict.main(predict.Config(tmp_path / name, (OWN / "05.png",), runs=tmp_path / "runs"))
    with pytest.raises(SystemExit, match="at least one"):
        predict.main(predict.Config(tmp_path, (), runs=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_help_explains(capsys):
    with pytest.raises(SystemExit):
        tyro.cli(predict.Config, description=predict.__doc__, args=["--help"])
    text = capsys.readouterr().out
    for words in ("CHECKPOINT", "IMAGE", "--row", "light on dark", "python -m experiments.mnist"):
        assert words in text


def test_the_report_counts_what_is_right():
    def seen(file, digits, refused=""):
        return own_digits.Scan(file, digits, None, refused)

    scans = [seen("a", "7"), seen("b", "1", "blank"), seen("c", "42")]
    result = own_digits.report(scans, [["7", "", "42"], ["1", "", "47"]])
    assert result["single"] == {"images": 2, "right": [1, 0], "mean_accuracy": 0.25}
    assert result["rows"] == {"images": 1, "right": [1, 0], "mean_accuracy": 0.5}
    assert {file: row["answers"] for file, row in result["wrong"].items()} == {
        "a": ["7", "1"],
        "b": ["", ""],
        "c": ["42", "47"],
    }
    assert "  b: 1 read as - - blank" in own_digits.describe(result).splitlines()


@pytest.mark.slow
@pytest.mark.skipif(not HAS_MNIST, reason="needs MNIST in FNNET_DATA")
def test_own_digits_are_read_by_the_network_that_mnist_leaves(tmp_path, capsys):
    mnist.main(mnist.Config(runs=tmp_path, progress=False))
    network = predict.load(tmp_path / "mnist")
    scans = own_digits.scans(OWN)
    read = own_digits.answers(network, scans)
    result = own_digits.report(scans, [read])
    assert result["single"]["right"][0] >= 47, own_digits.describe(result)  # 48 of 50 were measured
    assert result["rows"]["right"][0] >= 4, own_digits.describe(result)  # 5 of 5
