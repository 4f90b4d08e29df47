"""What every system is given: the same start, the same rows, the same settings. For MNIST it imports only NumPy."""

import gzip
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

THREADS = os.cpu_count() or 1
"""How many threads every system may use; all of them read it."""


class Task(NamedTuple):
    """A network to train: ReLU and softmax cross-entropy by Adam, or the XOR net by plain gradient descent.

    weights      a pair (w (I, O), b (O,)) of float32 for each layer, the start of every system
    x, y         (N, I) uint8 pixels and (N,) int32 classes; for XOR (4, 2) and (4, 1) float32
    seed         of the shuffling
    decay_steps  Adam's rate falls linearly to 0 in so many steps; None: it is constant
    """

    weights: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    y: np.ndarray
    batch_size: int
    learning_rate: float
    decay_steps: int | None = None
    seed: int = 0


class Trainer(NamedTuple):
    """A system, ready to go.

    train    for so many more epochs, until they are done
    predict  classes (N,) of uint8 pixels (N, I); for XOR probabilities of (N, 2)
    """

    train: Callable[[int], None]
    predict: Callable[[np.ndarray], np.ndarray]


def initial_weights(sizes: tuple[int, ...], seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """He's normal weights and biases of 0, float32."""
    rng = np.random.default_rng(seed)
    shapes = itertools.pairwise(sizes)
    return [
        ((rng.standard_normal((i, o)) * np.sqrt(2 / i)).astype(np.float32), np.zeros(o, np.float32)) for i, o in shapes
    ]


def xor(seed: int = 42) -> Task:
    """The four rows of XOR for 2-4-1, sigmoid, binary cross-entropy, gradient descent at 0.1, full batch."""
    from fnnet.datasets import xor  # here, so that a process that times NumPy imports nothing else

    data = xor()
    return Task(initial_weights((2, 4, 1), seed), data.x, data.y, 4, 0.1)


def pixels(x: np.ndarray) -> np.ndarray:
    """Bytes as float32 from 0 to 1."""
    return x.astype(np.float32) / 255


def shuffled_batches(task: Task, epochs: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Row numbers of every batch, epoch after epoch, each in its own order; the last batch of an epoch is smaller."""
    for _ in range(epochs):
        rows = rng.permutation(len(task.x))
        for first in range(0, len(rows), task.batch_size):
            yield rows[first : first + task.batch_size]


def mnist(rows: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, test x, test y) as flat uint8 pixels and int32 classes, read in the simplest way.

    The files are those of `FNNET_DATA`, packed or not; `rows` takes only the first of the training rows.
    """
    train = _idx("train-images-idx3-ubyte", 16)[: None if rows is None else 784 * rows].reshape(-1, 784)
    test = _idx("t10k-images-idx3-ubyte", 16).reshape(-1, 784)
    y, test_y = _idx("train-labels-idx1-ubyte", 8)[: len(train)], _idx("t10k-labels-idx1-ubyte", 8)
    return train, y.astype(np.int32), test, test_y.astype(np.int32)


def _idx(name: str, header: int) -> np.ndarray:
    folder = Path(os.environ.get("FNNET_DATA", "data")) / "mnist"
    packed = folder / f"{name}.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()
    return np.frombuffer(content, np.uint8, offset=header)
