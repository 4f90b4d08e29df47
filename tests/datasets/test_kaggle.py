"""Kaggle's tables: what is read is right to the last cell, what is not right is not read, and the answer fits."""

import os
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fnnet import datasets
from fnnet.datasets import DataError, kaggle

HEADER = ",".join(["label", *(f"pixel{i}" for i in range(784))])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("kaggle") / "train.csv"


def digits(count):
    """(labels, pixels) of random digits; numbers of one, two and three digits are all there."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (count, 784)) * (draw.uniform(size=(count, 784)) < 0.5)
    return draw.integers(0, 10, count), pixels


LABELS, IMAGES = digits(7)
LINES = [",".join(map(str, row)) for row in np.column_stack([LABELS, IMAGES]).tolist()]
UNIX = "\n".join([HEADER, *LINES, ""])


def read(path, text, reader=datasets.read_kaggle_digits):
    path.write_bytes(text.encode())
    return reader(path)


LAYOUTS = {"Unix": UNIX, "no last end": UNIX[:-1], "Windows": UNIX.replace("\n", "\r\n")}
LAYOUTS["empty lines"] = UNIX.replace("\n", "\n\n")


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_table_is_images_with_labels(scratch, text):
    x, y, weights = read(scratch, text)
    assert (x.shape, x.dtype, y.shape, y.dtype, weights) == ((7, 28, 28), np.uint8, (7,), np.int32, None)
    np.testing.assert_array_equal(x.reshape(7, 784), IMAGES)
    np.testing.assert_array_equal(y, LABELS)
    for part in (x, y):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 0


def test_a_table_without_labels_is_images(scratch):
    text = "\n".join(line.partition(",")[2] for line in (HEADER, *LINES))
    x = read(scratch, text, datasets.read_kaggle_images)
    np.testing.assert_array_equal(x.reshape(7, 784), IMAGES)
    assert not x.flags.writeable


# --- the parser, beside one that reads a cell at a time ---

NAMES = ("label", "a", "b")
CELL = re.compile(r"[ \t]*\+?[0-9]+[ \t]*")


def by_cells(text):
    """What the text means, or None: one look at each cell."""
    table = [line.split(",") for line in text.split("\n") if line]
    good = all(
        len(row) == 3 and all(CELL.fullmatch(cell) and int(cell) < 256 for cell in row) and int(row[0]) < 10
        for row in table
    )
    return [[int(cell) for cell in row] for row in table] if good and table else None


cell = st.integers(0, 300).map(str) | st.text("0123456789-+. ,;eaN\"'\x00\té/:", max_size=5)
line = st.lists(cell, min_size=2, max_size=4).map(",".join) | st.builds(
    "{},{},{}".format, st.integers(0, 9), st.integers(0, 255), st.integers(0, 255)
)


@settings(deadline=None, max_examples=500)
@given(
    text=st.builds(lambda lines, end: "\n".join(lines) + end, st.lists(line, max_size=5), st.sampled_from(["", "\n"]))
)
@example("1,2,3\n4,5\n6,7,8,9\n")
@example("1,2,3,4\n5,6\n")
@example("10,2,3")
@example("1,256,3")
@example("1,0255,3")
@example("1,999,3")
@example("1,٣,3")
@example("1,,3")
@example("1,2,3\n\n")
@example("1,2,3\n4,5,6")
@example("\n")
def test_arbitrary_text_is_the_table_it_means_or_a_data_error(scratch, text):
    scratch.write_bytes(f"label,a,b\n{text}".encode())
    expected = by_cells(text)
    try:
        table = kaggle._table(scratch, NAMES)
    except DataError:
        table = None
    assert (None if table is None else table.tolist()) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), *[st.integers(0, 255)] * 2), min_size=1))
def test_every_table_of_bytes_is_read(scratch, table):
    scratch.write_text("\n".join(["label,a,b", *(",".join(map(str, row)) for row in table)]))
    assert kaggle._table(scratch, NAMES).tolist() == [list(row) for row in table]


# --- faults by name ---


def with_cell(text, row=4, column=18):
    """The table with one cell replaced: pixel17 in the fourth row, unless told."""
    cells = LINES[row - 1].split(",")
    cells[column] = text
    return "\n".join([HEADER, *LINES[: row - 1], ",".join(cells), *LINES[row:], ""])


def header(change):
    return "\n".join([",".join(change(HEADER.split(","))), *LINES])


PIXEL = "row 4 (line 5), column pixel17: expected a whole number from 0 to 255, got "
MALFORMED = {
    "empty": ("", "is empty"),
    "no rows": (HEADER, "has a header and no rows"),
    "no rows, a line end": (f"{HEADER}\n", "has a header and no rows"),
    "text": (with_cell("dark"), PIXEL + "'dark'"),
    "256": (with_cell("256"), PIXEL + "'256'"),
    "negative": (with_cell("-1"), PIXEL + "'-1'"),
    "decimals": (with_cell("3.0"), PIXEL + "'3.0'"),
    "exponent": (with_cell("1e2"), PIXEL + "'1e2'"),
    "NaN": (with_cell("nan"), PIXEL + "'nan'"),
    "nothing": (with_cell(""), PIXEL + "''"),
    "quotes": (with_cell('"7"'), PIXEL + "'\"7\"'"),
    "other digits": (with_cell("٣"), PIXEL + "'٣'"),
    "a novel": (with_cell("word " * 100), PIXEL + "'word word word word word word word w..."),
    "label 10": (with_cell("10", 2, 0), "row 2 (line 3), column label: expected a whole number from 0 to 9, got '10'"),
    "last cell": (with_cell("x", 7, 784), "row 7 (line 8), column pixel783: expected"),
    "too few": ("\n".join([HEADER, LINES[0], LINES[1][: LINES[1].rindex(",")]]), "row 2 (line 3): 784 columns, not"),
    "too many": ("\n".join([HEADER, LINES[0] + ",0", LINES[1]]), "row 1 (line 2): 786 columns, not the 785 of the"),
    "semicolons": (UNIX.replace(",", ";"), "column 1 is 'label;pixel0;pixel1;pixel2;pixel3;pi..., not label"),
    "test.csv": (header(lambda h: h[1:]), "has no column label; expected the header to be label,pixel0,...,pixel783."),
    "no header": ("\n".join(LINES), "has the column '0' twice"),
    "twice": (header(lambda h: [*h[:5], "pixel3", *h[6:]]), "has the column 'pixel3' twice"),
    "label twice": (header(lambda h: ["label", *h]), "has the column 'label' twice"),
    "swapped": (header(lambda h: [h[0], h[2], h[1], *h[3:]]), "column 2 is 'pixel1', not pixel0"),
    "a short header": (header(lambda h: h[:-1]), "has 784 columns in its header, not 785"),
    "a long header": (header(lambda h: [*h, "pixel784"]), "has 786 columns in its header, not 785"),
    "HTML": ("<html>\n404", "column 1 is '<html>', not label"),
}


@pytest.mark.parametrize(("text", "fault"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_table_is_named_with_its_fault(scratch, text, fault):
    with pytest.raises(DataError) as caught:
        read(scratch, text)
    assert caught.value.file == str(scratch)
    assert caught.value.fault.startswith(fault)


def test_labels_where_none_belong(scratch):
    with pytest.raises(DataError, match=r"has labels; .* takes read_kaggle_digits"):
        read(scratch, UNIX, datasets.read_kaggle_images)


def test_what_cannot_be_read_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        datasets.read_kaggle_digits(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        datasets.read_kaggle_images(tmp_path)


# --- the submission ---


def test_a_submission_is_what_kaggle_takes(tmp_path):
    datasets.write_submission(tmp_path / "submission.csv", np.array([2, 0, 9]))
    assert (tmp_path / "submission.csv").read_bytes() == b"ImageId,Label\n1,2\n2,0\n3,9\n"
    assert os.listdir(tmp_path) == ["submission.csv"]


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (np.array([1.0]), r"got float64 \(1,\)"),
        (np.zeros((2, 1), int), r"got int64 \(2, 1\)"),
        (np.zeros(0, int), r"got int64 \(0,\)"),
        (np.array([True]), "got bool"),
        (np.array([3, 10]), "from 0 to 9, got 10 in row 1"),
        (np.array([-1]), "from 0 to 9, got -1 in row 0"),
    ],
)
@pytest.mark.usefixtures("untyped")
def test_labels_that_are_none_leave_the_old_submission_alone(tmp_path, labels, fault):
    file = tmp_path / "submission.csv"
    file.write_text("old")
    with pytest.raises(ValueError, match=fault):
        datasets.write_submission(file, labels)
    assert file.read_text() == "old"


def test_a_full_disk_leaves_the_old_submission_alone(tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    file = tmp_path / "submission.csv"
    file.write_text("old")
    monkeypatch.setattr(kaggle.os, "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        datasets.write_submission(file, np.array([1]))
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["submission.csv"]
