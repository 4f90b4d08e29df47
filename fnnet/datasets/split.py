"""A data set in two, with the same mixture of classes in both."""

import numpy as np

from fnnet.protocols import Batch


def stratified_split(data: Batch, *, test_fraction: float, seed: int) -> tuple[Batch, Batch]:
    """Split a data set into train and test: `train, test = stratified_split(data, test_fraction=0.2, seed=0)`.

    data        Batch(x=(N, ...), y=(N,) integer classes, weights=(N,) or None)
    test_fraction  between 0 and 1; the test set has round(N * test_fraction) rows
    seed        of the NumPy generator that shuffles the rows; the same seed, the same split

    Every row is in exactly one of the two. Of a class of n rows, n * test_fraction go to the test set,
    rounded down or up: up for the classes with the largest remainders, until the total is right.
    Both are read-only copies in shuffled order. Raises ValueError if `data` is no such batch, if
    `test_fraction` is not between 0 and 1 or if it leaves one of the two empty.
    """
    data = Batch(*(None if part is None else np.asarray(part) for part in data))
    _check(data, test_fraction)
    train, test = split_rows(data.y, test_fraction, seed)
    return _rows(data, train), _rows(data, test)


def split_rows(y: np.ndarray, test_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of (train, test), in shuffled order; stratified where y is (N,) integers, else merely shuffled."""
    order = np.random.default_rng(seed).permutation(len(y))
    is_classes = y.ndim == 1 and y.dtype.kind in "iu"
    in_test = _choose(y[order] if is_classes else np.zeros(len(y), int), test_fraction)
    return order[~in_test], order[in_test]


def _choose(y: np.ndarray, test_fraction: float) -> np.ndarray:
    """Return (N,) bool: the first rows of every class, as many as its quota."""
    _, rows_class, counts = np.unique(y, return_inverse=True, return_counts=True)
    quotas = _quotas(counts, test_fraction)
    in_test = np.zeros(len(y), bool)
    for index, quota in enumerate(quotas):
        in_test[np.flatnonzero(rows_class == index)[:quota]] = True
    return in_test


def _quotas(counts: np.ndarray, test_fraction: float) -> np.ndarray:
    """Return how many rows of each class go to the test set, by the largest remainder."""
    exact = counts * test_fraction
    quotas = np.floor(exact).astype(int)
    missing = round(counts.sum() * test_fraction) - quotas.sum()
    quotas[np.argsort(quotas - exact, kind="stable")[:missing]] += 1
    return quotas


def _rows(data: Batch, rows: np.ndarray) -> Batch:
    parts = [None if part is None else part[rows] for part in data]
    for part in parts:
        if part is not None:
            part.setflags(write=False)
    return Batch(*parts)


def _check(data: Batch, test_fraction: float) -> None:
    if data.y.ndim != 1 or data.y.dtype.kind not in "iu":
        raise ValueError(f"stratified_split: y must be (N,) integer classes, got {data.y.dtype} {data.y.shape}")
    lengths = {part.shape[:1] for part in data if part is not None}
    if len(lengths) > 1:
        raise ValueError(f"stratified_split: the parts of data have different lengths: {sorted(lengths)}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"stratified_split: test_fraction must be between 0 and 1, got {test_fraction}")
    if not 0 < round(len(data.y) * test_fraction) < len(data.y):
        raise ValueError(f"stratified_split: test_fraction={test_fraction} of {len(data.y)} rows leaves a part empty")
