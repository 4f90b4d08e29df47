"""Tables of a person's own: the numbers that stand there, one-hot categories, and errors with row and column."""

import numpy as np
import pytest

from fnnet import datasets
from fnnet.datasets import Columns, DataError, table
from tests.datasets.loading import assert_read_only

CSV = """id,power,fuel,doors,price
a,75,diesel,5,9.5
b,50.25,petrol,3,7
c,1e2,"gas, liquid",10,-3
"""


class Column:
    """What `table` asks of a Series."""

    def __init__(self, cells):
        self.cells = cells

    def to_numpy(self):
        return self.cells


class Frame:
    """What `table` asks of a DataFrame, so that the test needs none."""

    def __init__(self, **columns):
        self._columns = {name: np.asarray(cells) for name, cells in columns.items()}
        self.columns = list(columns)

    def __getitem__(self, name):
        return Column(self._columns[name])


@pytest.fixture
def cars(tmp_path):
    path = tmp_path / "cars.csv"
    path.write_text(CSV)
    return path


def cars_table(source, **options):
    return table(source, target="price", categories=("fuel", "doors"), ignore=("id",), **options)


FRAME = Frame(
    id=np.array(["a", "b", "c"], object), power=np.array([75, 50.25, 100]), price=np.array([9.5, 7, -3]),
    fuel=np.array(["diesel", "petrol", "gas, liquid"], object), doors=np.array([5.0, 3.0, 10.0]),
)  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "frame", "dict"])
def test_numbers_stay_and_categories_become_columns(cars, kind):
    source = {"csv": cars, "frame": FRAME, "dict": {name: FRAME[name].to_numpy() for name in FRAME.columns}}[kind]
    data, columns = cars_table(source)
    assert columns.features == (
        "power",
        "fuel=diesel",
        "fuel=gas, liquid",
        "fuel=petrol",
        "doors=3",
        "doors=5",
        "doors=10",
    )
    expected = [[75, 1, 0, 0, 0, 1, 0], [50.25, 0, 0, 1, 1, 0, 0], [100, 0, 1, 0, 0, 0, 1]]
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, expected)
    np.testing.assert_array_equal(data.y, np.array([[9.5], [7], [-3]], np.float32))
    assert_read_only(data)


def test_new_rows_are_encoded_in_the_same_way(cars):
    data, columns = cars_table(cars)
    row = {"doors": [3], "fuel": ["petrol"], "power": [50.25], "whatever": [None]}
    np.testing.assert_array_equal(columns.encode(row), data.x[1:2])
    np.testing.assert_array_equal(columns.batch(FRAME).x, data.x)
    np.testing.assert_array_equal(columns.batch(FRAME).y, data.y)
    with pytest.raises(DataError, match=r"row 1, column fuel: expected one of the categories 'diesel', .*got 'coal'"):
        columns.encode({"doors": [3, 3], "fuel": ["petrol", "coal"], "power": [1, 2]})
    with pytest.raises(DataError, match=r"has no column 'fuel'; it has 'power', 'doors'"):
        columns.encode({"power": [1], "doors": [3]})


def test_a_target_of_categories_is_classes(cars):
    data, columns = table(cars, target="fuel", categories={"fuel": ("petrol", "diesel", "gas, liquid")}, ignore=["id"])
    assert data.y.dtype == np.int32
    assert data.y.tolist() == [1, 0, 2]
    assert columns.classes == ("petrol", "diesel", "gas, liquid")
    assert columns.features == ("power", "doors", "price")


def test_several_targets_are_columns_of_y(cars):
    data, _ = table(cars, target=("price", "doors"), ignore=("id", "fuel"))
    np.testing.assert_array_equal(data.y, np.array([[9.5, 5], [7, 3], [-3, 10]], np.float32))


def test_columns_are_a_spec_with_the_order_of_their_categories():
    columns = Columns(("a", "b"), ("c",), (("b", ("y", "x")),))
    assert columns == Columns(["a", "b"], ["c"], [["b", ["y", "x"]]])
    assert columns != Columns(("a", "b"), ("c",), (("b", ("x", "y")),))
    assert eval(repr(columns)) == columns
    np.testing.assert_array_equal(columns.encode({"a": [2], "b": ["x"]}), [[2, 0, 1]])


NOT_NUMBERS = {
    "empty": ("", "row 1 (line 3), column power: is missing; fill it in, or leave the row out"),
    "NA": ("NA", "row 1 (line 3), column power: is missing"),
    "nan": ("nan", "row 1 (line 3), column power: is missing"),
    "text": (
        "fast",
        "row 1 (line 3), column power: expected a number, got 'fast'; if the column holds categories",
    ),
    "comma": ('"50,25"', "row 1 (line 3), column power: expected a number, got '50,25'"),
    "underscore": ("1_000", "row 1 (line 3), column power: expected a number, got '1_000'"),
    "infinite": ("inf", "row 1 (line 3), column power: expected a number that float32 can hold, got 'inf'"),
    "too large": ("1e39", "row 1 (line 3), column power: expected a number that float32 can hold, got '1e39'"),
    "a cell more": ("1,2", "row 1 (line 3): 6 cells, not the 5 of the header"),
    "long": (
        "x" * 100,
        "row 1 (line 3), column power: expected a number, got 'xxxxxx",
    ),
}


@pytest.mark.parametrize(("cell", "fault"), NOT_NUMBERS.values(), ids=NOT_NUMBERS.keys())
def test_a_cell_that_is_no_number_is_named(cars, cell, fault):
    cars.write_text(CSV.replace("50.25", cell))
    with pytest.raises(DataError) as caught:
        cars_table(cars)
    assert caught.value.file == str(cars)
    assert caught.value.fault.startswith(fault)


def test_lines_are_those_of_the_file(cars):
    cars.write_text(CSV.replace('"gas, liquid",10,-3', '"gas\n",10,-3\n\nd,5,diesel,3,'))
    with pytest.raises(DataError, match=r"row 3 \(line 7\), column price: is missing"):
        cars_table(cars)


@pytest.mark.parametrize("header", ["", "Unnamed: 0"])
def test_a_column_without_a_name_is_no_input(tmp_path, header):
    (tmp_path / "a.csv").write_text(f"{header},a,price\n0,5,2\n1,6,3\n")
    with pytest.raises(
        DataError, match=rf"has a column without a name \('{header}'\).* ignore=\('{header}',\), or name"
    ):
        table(tmp_path / "a.csv", target="price")
    data, columns = table(tmp_path / "a.csv", target="price", ignore=(header,))
    np.testing.assert_array_equal(data.x, [[5], [6]])
    np.testing.assert_array_equal(columns.encode(tmp_path / "a.csv"), data.x)


def test_one_name_needs_no_tuple(cars):
    data, columns = table(cars, target="price", categories="fuel", ignore="id")
    expected, same = table(cars, target=("price",), categories=("fuel",), ignore=("id",))
    assert columns == same
    np.testing.assert_array_equal(data.x, expected.x)


def test_columns_may_have_numbers_for_names():
    source = {0: [1.0, 2], 1: ["x", "y"], 2: [5, 6], 3: [7, 8]}
    data, columns = table(source, target=2, categories=1, ignore=(3,))
    assert (columns.inputs, columns.targets) == (("0", "1"), ("2",))
    np.testing.assert_array_equal(data.x, [[1, 1, 0], [2, 0, 1]])
    np.testing.assert_array_equal(columns.encode(source), data.x)
    ordered, _ = table(source, target=2, categories={1: ("y", "x")}, ignore=3)
    np.testing.assert_array_equal(ordered.x, [[1, 0, 1], [2, 1, 0]])


FILES = {
    "empty": ("", "has no rows"),
    "only a header": ("a,b\n", "has no rows"),
    "twice": ("a,a,price\n1,2,3\n", "has the column 'a' twice"),
    "semicolons": ("a;price\n1;2\n", "has one column, 'a;price': are its cells separated otherwise? delimiter=';'"),
    "no target": ("a,b\n1,2\n", "has no column 'price'; it has 'a', 'b'"),
    "quotes": ('a,price\n"1,2\n', "line 2: unexpected end of data"),
}


@pytest.mark.parametrize(("content", "fault"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_table_is_refused(tmp_path, content, fault):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        table(tmp_path / "a.csv", target="price")
    assert caught.value.fault.startswith(fault)


def test_other_delimiters_travel_with_the_columns(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffa; b ;price\r\n1; x ;2\r\n".encode())
    data, columns = table(tmp_path / "a.csv", target="price", categories=("b",), delimiter=";")
    np.testing.assert_array_equal(columns.encode(tmp_path / "a.csv"), data.x)
    assert columns.features == ("a", "b=x")


@pytest.mark.usefixtures("untyped")
def test_what_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "latin").write_bytes("a,price\nü,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not text in UTF-8"):
        table(tmp_path / "latin", target="price")
    with pytest.raises(DataError, match="No such file"):
        table(tmp_path / "none", target="price")
    with pytest.raises(TypeError, match="expected a csv file, a DataFrame or a dict of columns, got list"):
        table([[1, 2]], target="price")


FRAMES = {
    "None": ({"a": np.array([1, None], object)}, "row 1, column a: is missing"),
    "NaN": ({"a": np.array([1, np.nan])}, "row 1, column a: is missing"),
    "text": ({"a": np.array([1, "x"], object)}, "row 1, column a: expected a number, got 'x'"),
    "dates": ({"a": np.array(["2020", "2021"], "datetime64[D]")}, "column a: expected numbers or categories"),
    "complex": ({"a": np.array([1j, 2])}, "column a: expected numbers or categories"),
    "matrix": ({"a": np.ones((2, 2))}, "column a: expected numbers or categories"),
    "a number": ({"a": 1.5}, "column a: expected one cell per row, got 1.5; for one row: [1.5]"),
    "a string": ({"a": "x"}, "column a: expected one cell per row, got 'x'; for one row: ['x']"),
    "masked": ({"a": np.ma.array([1, 2], mask=[0, 1])}, "column a has masked entries"),
    "lengths": ({"a": np.ones(3)}, "column a has 3 rows, price has 2"),
}


@pytest.mark.parametrize(("columns", "fault"), FRAMES.values(), ids=FRAMES.keys())
def test_a_column_that_holds_no_numbers_is_named(columns, fault):
    with pytest.raises(DataError) as caught:
        table({"price": np.ones(2), **columns}, target="price")
    assert caught.value.fault.startswith(fault)


def test_a_missing_category_is_refused_unless_it_is_one():
    countries = {"country": ["DE", "NA"], "price": [1, 2]}
    with pytest.raises(DataError, match="row 1, column country: is missing"):
        table(countries, target="price", categories=("country",))
    data, _ = table(countries, target="price", categories={"country": ("DE", "NA")})
    np.testing.assert_array_equal(data.x, np.eye(2))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (((), ("y",)), "expected inputs"),
        ((("a", "a"), ("y",)), "each column once"),
        ((("a",), ("a",)), "each column once"),
        ((("a",), ("y",), (("b", ("1",)),)), "categories of inputs or targets, got 'b'"),
        ((("a",), ("y", "z"), (("y", ("1",)),)), "to be the only target"),
        ((("a",), ("y",), (("a", ("1", "1")),)), "different categories of 'a'"),
        ((("a",), ("y",), (("a", ()),)), "different categories of 'a'"),
    ],
)
def test_columns_that_make_no_sense_are_refused(settings, says):
    with pytest.raises(ValueError, match=f"^Columns: .*{says}"):
        Columns(*settings)


def test_a_pandas_frame_is_a_table():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": pandas.array([1, 2], "Int64"), "b": pandas.Categorical(["x", "y"]), "price": [1, 2]})
    data, _ = datasets.table(frame, target="price", categories=("b",))
    np.testing.assert_array_equal(data.x, [[1, 1, 0], [2, 0, 1]])
    frame["a"] = pandas.array([1, None], "Int64")
    with pytest.raises(DataError, match="DataFrame: row 1, column a: is missing"):
        datasets.table(frame, target="price", categories=("b",))


def test_the_order_of_categories_does_not_depend_on_the_run():
    """Equal as numbers, and different words: Python's sets have no order of their own."""
    orders = (["1e0", "01", "1", "2"], ["2", "1", "01", "1e0"], ["01", "2", "1e0", "1"])
    found = {table({"a": order, "y": [1, 2, 3, 4]}, target="y", categories="a")[1] for order in orders}
    assert len(found) == 1
    assert "('01', '1', '1e0', '2')" in repr(found)


def test_a_file_may_write_a_whole_number_with_a_point(tmp_path):
    data, columns = table({"a": [1.0, 2.0], "y": [1, 2]}, target="y", categories="a")
    (tmp_path / "t.csv").write_text("a,y\n2.0,1\n1.00,2\n")
    np.testing.assert_array_equal(columns.encode(tmp_path / "t.csv"), data.x[::-1])
