"""The toy problems are the shapes that their docstrings describe, and the same ones each time."""

import math

import numpy as np
import pytest
from sklearn.datasets import make_circles, make_moons
from sklearn.neighbors import KNeighborsClassifier

from fnnet import datasets

PLANE = (datasets.two_moons, datasets.circles, datasets.spirals, datasets.blobs)
ALL = (*PLANE, datasets.sine)
named = pytest.mark.parametrize("make", ALL, ids=lambda f: f.__name__)


def test_xor_is_the_truth_table():
    x, y, weights = datasets.xor()
    assert (x.dtype, y.dtype, weights) == (np.float32, np.float32, None)
    assert np.column_stack([x, y]).tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]


@named
@pytest.mark.parametrize("count", [7, 100])
def test_shapes_dtypes_and_classes_in_equal_parts(make, count):
    x, y, weights = make(count, seed=1)
    assert weights is None
    assert x.dtype == np.float32
    if make is datasets.sine:
        assert (x.shape, y.shape, y.dtype) == ((count, 1), (count, 1), np.float32)
    else:
        assert (x.shape, y.shape, y.dtype) == ((count, 2), (count,), np.int32)
        rows = np.bincount(y)
        assert rows.max() - rows.min() <= 1
        assert list(rows) == sorted(rows, reverse=True)


@pytest.mark.parametrize("make", [lambda count, seed: datasets.xor(), *ALL])
def test_nothing_can_be_written_to(make):
    for part in make(10, seed=0)[:2]:
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0


@named
def test_a_seed_is_all_the_chance_there_is(make):
    one, same, other = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    assert (one.x.tobytes(), one.y.tobytes()) == (same.x.tobytes(), same.y.tobytes())
    assert one.x.tobytes() != other.x.tobytes()


def apart(a, b):
    """The longest way from a row of one to the nearest row of the other."""
    distances = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return max(distances.min(0).max(), distances.min(1).max())


@pytest.mark.parametrize("count", [20, 21])
def test_moons_and_circles_without_noise_are_those_of_scikit_learn(count):
    sizes = (count - count // 2, count // 2)
    for ours, (x, y) in (
        (datasets.two_moons(count, noise=0, seed=0), make_moons(sizes)),
        (datasets.circles(count, noise=0, inner=0.3, seed=0), make_circles(sizes, factor=0.3)),
    ):
        for c in (0, 1):
            assert (ours.y == c).sum() == (y == c).sum()
            assert apart(ours.x[ours.y == c], x[y == c]) < 1e-6


def test_spirals_wind_by_the_turns_that_were_asked_for():
    x, y, _ = datasets.spirals(300, noise=0, classes=4, turns=1.5, seed=0)
    for arm in range(4):
        points = x[y == arm].astype(float) @ [1, 1j]
        points = points[np.argsort(abs(points))]
        np.testing.assert_allclose(abs(points), np.linspace(0.1, 1, 75), atol=1e-6)
        angles = np.unwrap(np.angle(points))
        assert angles[-1] - angles[0] == pytest.approx(1.5 * 2 * math.pi, abs=1e-5)
        assert np.exp(1j * angles[0]) == pytest.approx(1j**arm, abs=1e-5)


def test_blobs_are_round_clouds_around_their_centers():
    x, y, _ = datasets.blobs(20_000, noise=0.2, classes=5, seed=0)
    for c in range(5):
        rows = x[y == c]
        np.testing.assert_allclose(rows.mean(0), [math.cos(0.4 * math.pi * c), math.sin(0.4 * math.pi * c)], atol=0.02)
        np.testing.assert_allclose(np.cov(rows.T), 0.04 * np.eye(2), atol=0.003)


def test_noise_is_drawn_before_the_rows_are_shuffled():
    """So that a seed shuffles rows in the same order whatever the noise."""
    clean, noisy = (datasets.blobs(30, noise=noise, seed=5) for noise in (0, 0.3))
    draw = np.random.default_rng(5)
    expected = draw.normal(size=(30, 2))[draw.permutation(30)]
    np.testing.assert_allclose(noisy.x - clean.x, 0.3 * expected, atol=1e-6)
    np.testing.assert_array_equal(noisy.y, clean.y)


def test_a_sine_with_the_noise_that_was_asked_for():
    x, y, _ = datasets.sine(20_000, noise=0.3, seed=0)
    assert -math.pi <= x.min() < -3.1
    assert 3.1 < x.max() <= np.float32(math.pi)
    assert np.std(y - np.sin(x)) == pytest.approx(0.3, rel=0.03)
    x, y, _ = datasets.sine(9, noise=0, seed=0)
    np.testing.assert_allclose(y, np.sin(x), atol=1e-6)


@pytest.mark.parametrize("make", PLANE, ids=lambda f: f.__name__)
def test_with_its_own_noise_a_problem_can_be_learned(make):
    """Neighbours of other rows tell the class: the shapes do not drown."""
    train, test = make(600, seed=0), make(600, seed=1)
    assert KNeighborsClassifier(5).fit(train.x, train.y).score(test.x, test.y) > 0.97


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: datasets.two_moons(1, seed=0), "two_moons: expected count to be an int of at least 2"),
        (lambda: datasets.circles(True, seed=0), "circles: expected count"),
        (lambda: datasets.sine(0, seed=0), "sine: expected count to be an int of at least 1"),
        (lambda: datasets.spirals(2, classes=3, seed=0), "spirals: expected count to be an int of at least 3"),
        (lambda: datasets.blobs(9, classes=0, seed=0), "blobs: expected classes to be an int above 0, got 0"),
        (lambda: datasets.blobs(9, noise=-0.1, seed=0), "blobs: expected noise, a standard deviation"),
        (lambda: datasets.sine(9, noise=math.nan, seed=0), "sine: expected noise"),
        (lambda: datasets.sine(9, noise=math.inf, seed=0), "sine: expected noise"),
        (lambda: datasets.circles(9, inner=1.0, seed=0), "circles: expected inner"),
    ],
)
def test_numbers_that_make_no_data_set_are_refused(call, fault):
    with pytest.raises(ValueError, match=fault):
        call()
