"""Problems small enough to look at: points in a plane with classes, and a curve with noise.

Every function returns a `Batch` of read-only float32 inputs; classes are int32. `noise` is the standard deviation of
the normal noise on every coordinate, `seed` that of the NumPy generator that draws it and shuffles the rows: the same
arguments, the same bytes. Classes have equally many rows, the first ones one more where `count` does not divide.
"""

import math

import numpy as np

from fnnet.protocols import Batch


def xor() -> Batch:
    """The four rows that no single neuron can tell apart: is exactly one of two inputs 1?

    Batch(x=(4, 2), y=(4, 1)), both float32: a target for `SigmoidBinaryCrossEntropy` or `SquaredError`.
    Source: M. Minsky, S. Papert, "Perceptrons", 1969.
    """
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return _read_only(x, (x.sum(1, keepdims=True) == 1).astype(np.float32))


def two_moons(count: int, *, noise: float | int = 0.1, seed: int) -> Batch:
    """Two interlocking half circles of radius 1: x (count, 2), y (count,) 0 or 1.

    Class 0 is (cos t, sin t), class 1 is (1 - cos t, 1/2 - sin t), t evenly from 0 to pi.
    """
    sizes = _sizes("two_moons", count, 2, noise)
    upper, lower = (np.linspace(0, math.pi, size) for size in sizes)
    parts = [_polar(1.0, upper), [1, 0.5] - _polar(1.0, lower)]
    return _classes(parts, noise, seed)


def circles(count: int, *, noise: float | int = 0.05, inner: float = 0.5, seed: int) -> Batch:
    """A circle of radius 1, class 0, around one of radius `inner`, class 1: x (count, 2), y (count,)."""
    if not 0 < inner < 1:
        raise ValueError(f"circles: expected inner, a radius, between 0 and 1, got {inner!r}")
    sizes = _sizes("circles", count, 2, noise)
    angles = [2 * math.pi * np.arange(size) / size for size in sizes]
    return _classes([_polar(1.0, angles[0]), _polar(inner, angles[1])], noise, seed)


def spirals(count: int, *, noise: float | int = 0.02, classes: int = 3, turns: float = 0.75, seed: int) -> Batch:
    """As many arms as classes, wound around each other: x (count, 2), y (count,) 0 .. classes - 1.

    An arm goes evenly from radius 0.1 to 1 while its angle goes around `turns` times; the arms are
    rotated from each other by equal angles.
    """
    parts = []
    for arm, size in enumerate(_sizes("spirals", count, classes, noise)):
        along = np.linspace(0, 1, size)
        parts.append(_polar(0.1 + 0.9 * along, 2 * math.pi * (turns * along + arm / classes)))
    return _classes(parts, noise, seed)


def blobs(count: int, *, noise: float | int = 0.3, classes: int = 3, seed: int) -> Batch:
    """Gaussian clouds of deviation `noise` around points spaced evenly on the unit circle: x (count, 2), y (count,)."""
    sizes = _sizes("blobs", count, classes, noise)
    parts = [_polar(1.0, np.full(size, 2 * math.pi * k / classes)) for k, size in enumerate(sizes)]
    return _classes(parts, noise, seed)


def sine(count: int, *, noise: float | int = 0.1, seed: int) -> Batch:
    """One period of a sine with noise on it, a curve to learn: x (count, 1) uniform in [-pi, pi), y = sin x + noise."""
    _sizes("sine", count, 1, noise)
    draw = np.random.default_rng(seed)
    x = draw.uniform(-math.pi, math.pi, (count, 1))
    return _read_only(x.astype(np.float32), (np.sin(x) + noise * draw.normal(size=x.shape)).astype(np.float32))


def _sizes(name: str, count: int, classes: int, noise: float | int) -> list[int]:
    """Rows of each class. Raises ValueError for numbers that make no data set."""
    if isinstance(classes, bool) or not isinstance(classes, int) or classes < 1:
        raise ValueError(f"{name}: expected classes to be an int above 0, got {classes!r}")
    if isinstance(count, bool) or not isinstance(count, int) or count < classes:
        raise ValueError(f"{name}: expected count to be an int of at least {classes}, one row per class, got {count!r}")
    if not 0 <= noise < math.inf:
        raise ValueError(f"{name}: expected noise, a standard deviation, to be 0 or more, got {noise!r}")
    return [count // classes + (k < count % classes) for k in range(classes)]


def _polar(radius: float | np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(N, 2) points from radii and angles."""
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _classes(parts: list[np.ndarray], noise: float | int, seed: int) -> Batch:
    """The parts, one per class, with noise and in random order."""
    x = np.concatenate(parts)
    y = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts])
    draw = np.random.default_rng(seed)
    x = (x + noise * draw.normal(size=x.shape)).astype(np.float32)
    order = draw.permutation(len(x))
    return _read_only(x[order], y[order])


def _read_only(x: np.ndarray, y: np.ndarray) -> Batch:
    for part in (x, y):
        part.setflags(write=False)
    return Batch(x, y)
