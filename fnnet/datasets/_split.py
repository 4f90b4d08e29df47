"""A data set in two: at random, or with the same mixture of classes in both."""

import numpy as np

from fnnet.protocols import Batch


def split(data: Batch, *, test_fraction: float, seed: int) -> tuple[Batch, Batch]:
    """Split a data set into train and test at random: `train, test = split(data, test_fraction=0.2, seed=0)`.

    data           Batch(x=(N, ...), y=(N, ...) targets of any kind, weights=(N,) or None)
    test_fraction  between 0 and 1; the test set has round(N * test_fraction) rows
    seed           of the NumPy generator that shuffles the rows; the same seed, the same split

    Every row is in exactly one of the two; both are read-only copies in shuffled order. Raises ValueError if `data` is
    not such a batch, if `test_fraction` is not between 0 and 1 or if it leaves one of the two empty;
    TypeError for dtypes that JAX does not have.
    """
    data = _checked("split", data, test_fraction)
    order = np.random.default_rng(seed).permutation(len(data.x))
    size = round(len(order) * test_fraction)
    return _rows(data, order[size:]), _rows(data, order[:size])


def stratified_split(data: Batch, *, test_fraction: float, seed: int) -> tuple[Batch, Batch]:
    """Split a data set into train and test with the same mixture of classes in both; arguments as in `split`.

    data  Batch(x=(N, ...), y=(N,) or (N, 1) classes, weights=(N,) or None); classes are integers, or whole numbers
          in a floating array, such as the targets 0 and 1 of a sigmoid

    Of a class of n rows, n * test_fraction go to the test set, rounded down or up: up for the classes with
    the largest remainders, until the total is right. Raises as `split` does.
    """
    data = _checked("stratified_split", data, test_fraction)
    y = data.y[:, 0] if data.y.shape[1:] == (1,) else data.y
    if y.ndim != 1 or not _are_whole(y):
        raise ValueError(
            f"stratified_split: expected y to be (N,) or (N, 1) classes, got {data.y.dtype} {data.y.shape}; "
            f"for other targets there is fnnet.datasets.split"
        )
    train, test = split_rows(y.astype(int), test_fraction, seed)
    return _rows(data, train), _rows(data, test)


def _are_whole(y: np.ndarray) -> bool:
    return y.dtype.kind in "biu" or (y.dtype.kind == "f" and bool(np.all(y == np.round(y))))


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


def _checked(caller: str, data: Batch, test_fraction: float) -> Batch:
    """The batch with NumPy arrays for parts, once these and the fraction are checked."""
    if not isinstance(data, Batch):
        raise TypeError(f"{caller}: expected a Batch, got {type(data).__name__}; write fnnet.Batch(x, y)")
    data = Batch(*(_array(caller, name, part) for name, part in data._asdict().items()))
    shapes = {part.shape[:1] for part in data if part is not None}
    if len(shapes) > 1 or () in shapes:
        raise ValueError(f"{caller}: the parts of data have different lengths: {sorted(shapes)}")
    if not 0 < test_fraction < 1:
        raise ValueError(f"{caller}: test_fraction must be between 0 and 1, got {test_fraction}")
    if not 0 < round(len(data.x) * test_fraction) < len(data.x):
        raise ValueError(f"{caller}: test_fraction={test_fraction} of {len(data.x)} rows leaves a part empty")
    return data


def _array(caller: str, name: str, part: object) -> np.ndarray | None:
    if part is None and name == "weights":
        return None
    if np.ma.is_masked(part):
        raise ValueError(f"{caller}: {name} has masked entries; fill them, or leave their rows out")
    array = np.asarray(part)
    if array.dtype.kind in "OSUmM" or array.dtype.char in "gG":
        raise TypeError(f"{caller}: expected {name} to hold numbers, got {array.dtype}; convert it, as .astype(float)")
    if not array.dtype.isnative:
        raise TypeError(
            f"{caller}: {name} is {array.dtype.str}, in the byte order of another machine; "
            f"convert it with .astype({array.dtype.name!r})"
        )
    return array
