"""The scripts that explain: each runs with tiny settings, prints what it promises, leaves a figure with content."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import neuron, saliency, worked_example


def figure(folder):
    """The one PNG of the one run under folder, as an array; the run's configuration is there too."""
    (path,) = folder.rglob("*.png")
    assert json.loads((path.parent / "config.json").read_text())["config"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def assert_something_to_see(pixels):
    """Large, neither empty nor flat, and in color: red and blue on white."""
    height, width, _ = pixels.shape
    assert height > 300
    assert width > 800
    white = (pixels == 255).all(-1).mean()
    assert 0.1 < white < 0.95
    red, blue = pixels[..., 0].astype(int), pixels[..., 2].astype(int)
    assert (red - blue > 60).mean() > 1e-3
    assert (blue - red > 60).mean() > 1e-3


@pytest.mark.slow
def test_the_worked_example(tmp_path, capsys):
    (tmp_path / "results").mkdir()
    config = worked_example.Config(epochs=1, runs=tmp_path / "runs", copy_to=tmp_path / "results")
    worked_example.main(config)
    page, _, table = capsys.readouterr().out.partition("\nloss ")
    lines = page.strip().splitlines()
    assert len(lines) <= 52
    assert max(map(len, lines)) < 80
    assert lines[-1] == "  L = 0.5672 -> 0.4343"
    assert "2 Relu" in table
    assert_something_to_see(figure(tmp_path / "runs"))
    assert (tmp_path / "results" / "worked_example_digits.png").stat().st_size > 10_000


def test_the_page_alone_leaves_nothing_behind(tmp_path, capsys):
    worked_example.main(worked_example.Config(show="xor", xor_rows=(0, 1), runs=tmp_path / "runs"))
    assert "FORWARD, row 0 of 2" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_saliency(tmp_path, capsys):
    saliency.main(saliency.Config(digits=2, hidden=(16,), epochs=2, runs=tmp_path))
    assert "uphill" in capsys.readouterr().out
    assert_something_to_see(figure(tmp_path))


def test_a_step_uphill_lowers_and_downhill_raises_the_probability_of_the_truth():
    network, test = saliency.train(saliency.Config(hidden=(16,), epochs=2))
    x, y = test.x[:20], test.y[:20]
    dx = network.saliency(x, y)
    np.testing.assert_allclose(network.saliency(x[:1], y[:1]), dx[:1], rtol=1e-4, atol=1e-6)
    rows = np.arange(20)
    uphill, start, downhill = (network.probabilities(saliency.moved(x, dx, s))[rows, y] for s in (0.3, 0, -0.3))
    assert (uphill < start).all()
    assert (downhill > start).all()


@pytest.mark.slow
def test_one_neuron(tmp_path, capsys):
    neuron.main(neuron.Config(rows=20, inputs=10, repeats=1, steps=40, runs=tmp_path))
    out = capsys.readouterr().out
    assert "the same numbers" in out
    assert "Python loop" in out
    assert_something_to_see(figure(tmp_path))


def test_the_loop_the_matrix_and_gradient_descent_agree_with_what_they_say():
    x, w = np.random.default_rng(0).normal(size=(5, 3)), np.array([0.5, -1, 2])
    np.testing.assert_allclose(neuron.by_loop(x, w, 0.1), neuron.by_matrix(x, w, 0.1), rtol=1e-12)
    path = neuron.descend(neuron.Config(steps=30), neuron.exam())
    assert path.shape == (31, 3)
    np.testing.assert_allclose(path[0, :2], [-1.5, 2.5])
    assert (np.diff(path[:, 2]) < 0).all()
    grid = neuron.surface(neuron.exam(), path[[0, -1], 0].astype(np.float32), path[[0, -1], 1].astype(np.float32))
    np.testing.assert_allclose(np.diag(grid), path[[0, -1], 2], rtol=1e-5)


def test_what_is_drawn_around_the_numbers():
    np.testing.assert_array_equal(worked_example.tiled([1, 2, 3]), [[1, 2], [3, np.nan]])
    tiles = worked_example.mosaic(np.ones((3, 2, 2)), columns=2)
    assert tiles.shape == (5, 5)
    assert np.isnan(tiles).sum() == 25 - 12


def test_a_digit_that_is_not_there_is_an_error():
    with pytest.raises(IndexError):
        worked_example.digit_trace(worked_example.Config(epochs=0, digit=10_000))
