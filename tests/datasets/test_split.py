"""A data set in two."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fnnet import datasets
from fnnet.datasets._split import split_rows
from fnnet.protocols import Batch
from tests.datasets.loading import assert_read_only, assert_same


def numbered(y, weights=None):
    return Batch(np.arange(len(y)), np.asarray(y), weights)


@settings(deadline=None)
@given(
    y=st.lists(st.integers(0, 4), min_size=2, max_size=80),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_a_split_is_a_partition_in_proportion(y, fraction, seed):
    total = round(len(y) * fraction)
    if not 0 < total < len(y):
        return
    train, test = datasets.stratified_split(numbered(y), test_fraction=fraction, seed=seed)
    assert len(test.y) == total
    assert sorted([*train.x, *test.x]) == list(range(len(y)))
    for part in (train, test):
        assert part.y.tolist() == [y[row] for row in part.x]
        assert_read_only(part)
    exact = np.bincount(y) * fraction
    counts = np.bincount(test.y, minlength=len(exact))
    assert np.all(abs(counts - exact) < 1 + 1e-9)
    raised = counts > np.floor(exact)  # the largest remainders, and no smaller one, are rounded up
    if raised.any() and not raised.all():
        rest = exact - np.floor(exact)
        assert rest[raised].min() >= rest[~raised].max() - 1e-9


@pytest.mark.parametrize(("rows", "fraction", "tested"), [(11, 0.25, 3), (11, 0.2, 2), (10, 0.07, 1)])
def test_a_plain_split_rounds_to_the_nearest_row(rows, fraction, tested):
    train, test = datasets.split(numbered(np.zeros(rows)), test_fraction=fraction, seed=0)
    assert (len(train.y), len(test.y)) == (rows - tested, tested)


def test_a_split_is_a_function_of_its_seed():
    data = datasets.digits()
    first, again, other = (datasets.stratified_split(data, test_fraction=0.2, seed=seed) for seed in (0, 0, 1))
    assert_same(first[1].x, again[1].x)
    assert_same(first[0].y, again[0].y)
    assert not np.array_equal(first[1].x, other[1].x)
    assert (len(first[0].y), len(first[1].y)) == (1438, 359)
    assert np.ptp(np.bincount(first[1].y)) <= 2


def test_a_split_shuffles_both_parts_over_the_classes():
    train, test = datasets.stratified_split(numbered(np.repeat([0, 1], 500)), test_fraction=0.5, seed=0)
    for part in (train, test):
        assert 100 < part.y[:250].sum() < 150
        assert np.any(np.diff(part.x) < 0)


def test_a_split_carries_weights_and_leaves_its_input_alone():
    weights = np.linspace(0, 1, 10)
    data = numbered(np.repeat([0, 1], 5), weights)
    train, test = datasets.stratified_split(data, test_fraction=0.4, seed=3)
    for part in (train, test):
        assert np.array_equal(part.weights, weights[part.x])
    assert weights.flags.writeable
    assert data.y.flags.writeable


@pytest.mark.parametrize(
    ("data", "fraction", "fault"),
    [
        (numbered([0, 1]), 0.0, "test_fraction must be between 0 and 1, got 0.0"),
        (numbered([0, 1]), 1.5, "test_fraction must be between 0 and 1, got 1.5"),
        (numbered([0, 1]), math.nan, "test_fraction must be between 0 and 1, got nan"),
        (numbered([0, 1]), 0.1, "test_fraction=0.1 of 2 rows leaves a part empty"),
        (numbered(np.zeros(0, int)), 0.5, "of 0 rows leaves a part empty"),
        (numbered([0.5, 1.0]), 0.5, r"y to be \(N,\) or \(N, 1\) classes, got float64 \(2,\)"),
        (numbered(np.eye(2, dtype=int)), 0.5, r"y to be \(N,\) or \(N, 1\) classes, got int64 \(2, 2\)"),
        (Batch(np.zeros(3), np.zeros(2, int)), 0.5, r"different lengths: \[\(2,\), \(3,\)\]"),
        (Batch(np.zeros(2), np.zeros(2, int), np.ones(1)), 0.5, "different lengths"),
    ],
)
def test_a_split_that_cannot_be_says_why(data, fraction, fault):
    with pytest.raises(ValueError, match=fault):
        datasets.stratified_split(data, test_fraction=fraction, seed=0)


def test_a_plain_split_takes_any_targets():
    rng = np.random.default_rng(0)
    for y in (rng.normal(size=(10, 3)), rng.integers(0, 2, (10, 4)), rng.normal(size=10), rng.integers(0, 2, 10)):
        data = Batch(np.arange(10), y, np.linspace(1, 2, 10))
        train, test = datasets.split(data, test_fraction=0.3, seed=1)
        assert (len(train.x), len(test.x)) == (7, 3)
        assert sorted([*train.x, *test.x]) == list(range(10))
        for part in (train, test):
            assert_same(part.y, y[part.x])
            assert_same(part.weights, data.weights[part.x])
            assert_read_only(part)
    assert sorted(test.x) != list(test.x) or sorted(train.x) != list(train.x), "shuffled"
    other = datasets.split(data, test_fraction=0.3, seed=2)[1]
    assert {*other.x} != {*test.x}


def test_targets_that_are_not_classes_do_not_decide_who_is_tested():
    y, order = np.random.default_rng(0).normal(size=50), np.random.default_rng(3).permutation(50)
    train, test = split_rows(y, 0.3, 3)
    assert_same(test, order[:15])
    assert_same(train, order[15:])


def test_lists_are_split_too():
    train, test = datasets.split(Batch([[1.0], [2.0], [3.0]], [0, 1, 2]), test_fraction=0.4, seed=0)
    assert sorted([*train.y, *test.y]) == [0, 1, 2]
    assert_same(train.x[:, 0], train.y + 1.0)


@pytest.mark.parametrize("y", [np.linspace(0, 1, 9), np.ones(9, complex), np.ones((9, 2))], ids=str)
def test_only_classes_are_stratified(y):
    with pytest.raises(ValueError, match=r"^stratified_split: expected y to be \(N,\) or \(N, 1\) classes, got"):
        datasets.stratified_split(Batch(np.arange(9), y), test_fraction=0.5, seed=0)


@pytest.mark.parametrize("dtype", [int, np.float32, bool])
def test_a_column_of_classes_is_stratified(dtype):
    y = np.repeat([0, 1], [40, 60]).astype(dtype)[:, None]
    train, test = datasets.stratified_split(Batch(np.arange(100), y), test_fraction=0.25, seed=0)
    assert test.y.shape == (25, 1)
    assert test.y.dtype == y.dtype
    assert (test.y.sum(), train.y.sum()) == (15, 45)


@pytest.mark.parametrize("splits", [datasets.split, datasets.stratified_split], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (
            Batch(np.arange(4).astype(">f4"), np.arange(4)),
            TypeError,
            r"x is >f4, .*astype\('float32'\)",
        ),
        (Batch(np.arange(4), np.arange(4).astype(object)), TypeError, "expected y to hold numbers, got object"),
        (
            Batch(np.arange(4).astype(np.longdouble), np.arange(4)),
            TypeError,
            "x to hold numbers, got float128",
        ),
        (Batch(np.array(["a"] * 4), np.arange(4)), TypeError, "expected x to hold numbers, got <U1"),
        (Batch(np.ma.array(np.arange(4), mask=[0, 1, 0, 0]), np.arange(4)), ValueError, "x has masked entries"),
        (Batch(np.arange(4), None), TypeError, "expected y to hold numbers, got object"),
        ((np.arange(4), np.arange(4)), TypeError, r"expected a Batch, got tuple; write fnnet.Batch\(x, y\)"),
    ],
    ids=["big-endian", "object", "longdouble", "strings", "masked", "no targets", "tuple"],
)
@pytest.mark.usefixtures("untyped")
def test_arrays_that_jax_does_not_have_are_refused(splits, data, error, says):
    with pytest.raises(error, match=f"^{splits.__name__}: .*{says}"):
        splits(data, test_fraction=0.5, seed=0)
