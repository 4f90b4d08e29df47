"""Rows by number: read in parts, masked, stacked into batches, held out and weighted; nothing is trained here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fnnet import Batch
from fnnet.datasets._split import split_rows
from fnnet.training import rows as module
from fnnet.training.epochs import plan
from fnnet.training.rows import Rows, only, planned, split_off, stacked, with_class_weights

N = 23
X = np.arange(N * 3, dtype=np.float32).reshape(N, 3)
Y = (np.arange(N) % 3).astype(np.int32)
WEIGHTS = np.where(np.arange(N) % 5 == 0, 0, 1 + np.arange(N) % 3).astype(np.float32)
CHOSEN = np.array([22, 0, 7, 5, 3, 11, 20])  # rows 0, 5 and 20 weigh nothing
PLACES = np.array([6, 0, 3, 3, 1, 2])
KEY = jax.random.key(3)


@pytest.fixture
def data(request, tmp_path):
    """X and Y in memory or X in a file, plain or weighted."""
    where, weighted = request.param
    x = X
    if where == "file":
        np.save(tmp_path / "x.npy", X)
        x = np.load(tmp_path / "x.npy", mmap_mode="r")
    return Batch(x, Y, WEIGHTS if weighted else None)


everywhere = pytest.mark.parametrize(
    "data", [(where, w) for where in ("memory", "file") for w in (False, True)], indirect=True, ids=str
)


@everywhere
@pytest.mark.parametrize("part_bytes", [1, 24, 10**6])
@pytest.mark.parametrize("numbers", [None, CHOSEN], ids=["all", "chosen"])
def test_rows_are_taken_by_their_places_and_masked(data, numbers, part_bytes, monkeypatch):
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)
    rows = Rows(data, numbers)
    assert len(rows) == (N if numbers is None else 7)
    x, y, weights = rows.take(PLACES)
    expected = PLACES if numbers is None else CHOSEN[PLACES]
    if data.weights is None:
        assert weights is None
    else:
        np.testing.assert_array_equal(weights, WEIGHTS[expected])
        first = 1 if numbers is None else 22  # the first row that counts, not the first
        expected = np.where(WEIGHTS[expected] == 0, first, expected)
    np.testing.assert_array_equal(x, X[expected])
    np.testing.assert_array_equal(y, Y[expected])
    assert (type(x), x.dtype, x.flags.writeable) == (np.ndarray, np.float32, True)


@pytest.mark.parametrize(("part_bytes", "most"), [(24, 2), (35, 2), (36, 3), (1, 1)])
def test_no_more_is_read_at_a_time_than_a_part(part_bytes, most, monkeypatch):
    class Watched(np.ndarray):
        def __getitem__(self, key):
            read.append(np.asarray(key).tolist())
            return super().__getitem__(key)

    read = []
    monkeypatch.setattr(module, "PART_BYTES", part_bytes)
    Rows(Batch(X.view(Watched), Y)).take(PLACES)
    assert max(map(len, read)) == most
    assert [place for part in read for place in part] == sorted(PLACES)


def test_rows_of_no_numbers_and_those_of_another_machine_are_read():
    assert Rows(Batch(np.zeros((4, 0), np.float32), Y[:4])).take(np.array([2, 1])).x.shape == (2, 0)
    x = Rows(Batch(X.astype(">f4"), Y.astype(np.int64))).take(np.array([2, 1]))
    assert (x.x.dtype, x.y.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(x.x, X[[2, 1]])


def test_all_weights_zero_leave_no_row_to_read():
    with pytest.raises(ValueError, match="a row with a weight above 0"):
        Rows(Batch(X, Y, 0 * WEIGHTS)).take(PLACES)


@pytest.mark.parametrize("numbers", [None, CHOSEN], ids=["all", "chosen"])
def test_the_first_rows_are_the_first_that_count_as_rows(numbers):
    first = Rows(Batch(X, Y), numbers).first(4)
    np.testing.assert_array_equal(first.numbers, np.arange(4) if numbers is None else CHOSEN[:4])
    assert len(Rows(Batch(X, Y), numbers).first(100)) == (N if numbers is None else 7)


def test_rows_on_the_host_are_numpy_arrays_of_the_same_rows(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = Rows(Batch(mapped, jnp.asarray(Y)), CHOSEN).on_host()
    assert isinstance(rows.data.x, np.memmap)
    assert type(rows.data.y) is np.ndarray
    np.testing.assert_array_equal(rows.numbers, CHOSEN)


@pytest.mark.parametrize("shuffle", [None, KEY], ids=["in order", "shuffled"])
@pytest.mark.parametrize("at_once", [1, 2, 5])
@everywhere
def test_stacked_batches_are_those_of_the_plan(data, at_once, shuffle):
    places, real = planned(Rows(data), shuffle, jnp.int32(3), 8)
    assert isinstance(places, np.ndarray)
    for got, expected in zip((places, real), plan(shuffle, jnp.int32(3), N, 8), strict=True):
        np.testing.assert_array_equal(got, expected)
    parts = [*stacked(Rows(data), places, real, at_once)]
    assert [part.x.shape for part in parts] == [(min(at_once, 3 - i), 8, 3) for i in range(0, 3, at_once)]
    together = Batch(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    taken = Rows(data).take(places.ravel())
    np.testing.assert_array_equal(together.x, taken.x.reshape(3, 8, 3))
    np.testing.assert_array_equal(together.y, taken.y.reshape(3, 8))
    weights = np.ones(24) if taken.weights is None else taken.weights
    np.testing.assert_array_equal(together.weights.ravel(), np.where(np.arange(24) < N, weights, 0))
    assert together.weights.dtype == np.float32


def test_full_batches_need_no_weights():
    parts = [*stacked(Rows(Batch(X, Y)), *planned(Rows(Batch(X, Y)), None, jnp.int32(0), N), 1)]
    assert [part.weights for part in parts] == [None]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_only_some_weights_are_kept(dtype):
    kept = np.array([True, False, True])
    got = only(kept, np.array([2, 3, 4], dtype))
    assert (got.tolist(), got.dtype) == ([2, 0, 4], dtype)
    got = only(kept, None)
    assert (got.tolist(), got.dtype) == ([1, 0, 1], np.float32)


def test_a_fraction_of_every_class_is_held_out():
    y = np.repeat([0, 1], [40, 20]).astype(np.int32)
    data = Batch(np.arange(60.0, dtype=np.float32)[:, None], y)
    rows, held_out = split_off(data, 0.2, KEY)
    assert rows.data is held_out.data is data
    assert sorted([*rows.numbers, *held_out.numbers]) == [*range(60)]
    assert np.bincount(y[held_out.numbers]).tolist() == [8, 4]
    assert split_off(data, 0.2, jax.random.key(4))[1].numbers.tolist() != held_out.numbers.tolist()
    seed = int(jax.random.bits(jax.random.fold_in(KEY, 2**32 - 1)))  # no epoch has this number
    assert held_out.numbers.tolist() == split_rows(y, 0.2, seed)[1].tolist()


def test_rows_are_held_out_with_a_key():
    with pytest.raises(ValueError, match="fit: rows to hold out are drawn with a key made from shuffle"):
        split_off(Batch(X, Y), 0.2, None)


def test_validation_rows_that_are_given_are_taken_whole():
    data, other = Batch(X, Y), Batch(X[:4], Y[:4])
    rows, held_out = split_off(data, other, None)
    assert (rows, held_out) == (Rows(data), Rows(other))
    assert split_off(data, None, None) == (Rows(data), None)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, 1])
def test_a_fraction_is_between_0_and_1(fraction):
    with pytest.raises(ValueError, match="fit: expected validation to be a fraction between 0 and 1"):
        split_off(Batch(X, Y), fraction, KEY)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_no_part_is_empty(fraction):
    with pytest.raises(ValueError, match="of 23 rows leaves a part empty"):
        split_off(Batch(X, Y), fraction, KEY)


@pytest.mark.parametrize("weights", [None, WEIGHTS, WEIGHTS.astype(np.float64)], ids=["plain", "float32", "float64"])
def test_a_row_weighs_what_its_class_does_times_its_own_weight(weights):
    got = with_class_weights(Rows(Batch(X, Y, weights), CHOSEN), [1, 5, 0.25])
    np.testing.assert_array_equal(got.data.weights, np.array([1, 5, 0.25])[Y] * (1 if weights is None else weights))
    assert got.data.weights.dtype == np.float32
    np.testing.assert_array_equal(got.numbers, CHOSEN)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_the_two_classes_of_one_output_weigh_too(dtype):
    """(N, 1) zeros and ones, as a sigmoid has them; each row weighs its own class's weight, times its own."""
    y = np.where(Y == 1, 1, 0).astype(dtype)
    got = with_class_weights(Rows(Batch(X, y[:, None], WEIGHTS)), [0.5, 5])
    np.testing.assert_array_equal(got.data.weights, np.where(Y == 1, 5, 0.5) * WEIGHTS)


@pytest.mark.parametrize(
    ("class_weights", "y", "says"),
    [
        ((1, 1), Y, "a class weight for classes 0 to 2, got 2 weights"),
        ((1, 1, 1), Y - 1, "a class weight for classes -1 to 1"),
        ((1, np.inf, 1), Y, "finite numbers of 0 or more"),
        ((1, -1, 1), Y, "finite numbers of 0 or more"),
        (1, Y, r"\(C,\)"),
        ((1, 1, 1), Y.astype(np.float32), r"got targets of float32 \(23,\)"),
        ((1, 1, 1), Y[:, None], r"got targets of int32 \(23, 1\)"),
        ((1, 1), np.stack([Y % 2, Y % 2], 1), r"got targets of int32 \(23, 2\)"),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(class_weights, y, says):
    with pytest.raises(ValueError, match=f"^fit: .*{says}"):
        with_class_weights(Rows(Batch(X, y)), class_weights)


@pytest.mark.parametrize("y", [np.arange(40) < 4, (np.arange(40) < 4)[:, None]], ids=["classes", "a column"])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_a_fraction_of_a_rare_class_is_held_out(y, dtype):
    """Also where a sigmoid tells two classes apart, one of them rare."""
    data = Batch(np.zeros((40, 1), np.float32), y.astype(dtype))
    _, held_out = split_off(data, 0.25, jax.random.key(0))
    is_classes = y.ndim == 2 or dtype == "int32"
    assert len(held_out) == 10
    assert (y[held_out.numbers].sum() == 1) or not is_classes
