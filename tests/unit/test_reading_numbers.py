"""How numbers are written: what is understood, and what is refused with both readings."""

import io
from typing import Any

import pytest

from streamlstm.data.cells.numbers import recognise_numbers
from streamlstm.data.options import ReadOptions
from streamlstm.data.read import read_table
from streamlstm.data.table import Table
from streamlstm.errors import DataError


def read(text: str, **options: Any) -> Table:
    return read_table(io.StringIO(text), ReadOptions(**options))


def column(cells: list[str], **options: Any) -> list[float]:
    values = read("v\n" + "".join(f'"{cell}"\n' for cell in cells), **options).values[:, 0]
    return [float(value) for value in values]


UNDERSTOOD = [
    (["1.5", "-2", "3e2"], [1.5, -2, 300]),
    (["59,17", "60,5"], [59.17, 60.5]),
    (["1.234.567,8", "15,25"], [1234567.8, 15.25]),
    (["1,234,567.8", "15.25"], [1234567.8, 15.25]),
    (["1.234.567", "15.000"], [1234567, 15000]),
    (["1 234", "15 000,5"], [1234, 15000.5]),
    (["1\u00a0234", "2\u202f345", "7"], [1234, 2345, 7]),
    (["1'234.5", "2\u2019345.5"], [1234.5, 2345.5]),
    (["12 %", "7.5 %"], [12, 7.5]),
    (["12%", "7,5%"], [12, 7.5]),
    (["21.5 °C", "-3.25 °C"], [21.5, -3.25]),
    (["$1,200.50", "$3"], [1200.5, 3]),
    (["\u22123.5", "4"], [-3.5, 4]),
    (["0.125", "1.250"], [0.125, 1.25]),
    (["1.250", "1500"], [1.25, 1500]),
    (["59,173", "59,1"], [59.173, 59.1]),
    (["3 m3/h", "4 m3/h"], [3, 4]),
]


@pytest.mark.parametrize(("cells", "values"), UNDERSTOOD)
def test_a_column_is_recognised_as_a_whole(cells: list[str], values: list[float]) -> None:
    assert column(cells) == values


@pytest.mark.parametrize(("cells", "values"), UNDERSTOOD)
def test_the_format_reads_single_cells_as_the_column(cells: list[str], values: list[float]) -> None:
    (number_format,) = recognise_numbers(cells).formats
    assert [number_format.parse(cell) for cell in cells] == values
    assert number_format.parse("high") is None
    assert number_format.parse("") is None


@pytest.mark.parametrize("cells", [["59,173"], ["15,000", "16,500"], ["15.000"], ["1.234", "12"]])
def test_what_can_be_read_in_two_ways_is_refused_with_both(cells: list[str]) -> None:
    with pytest.raises(DataError, match=r":2: column 'v': .* in two ways: .*--decimal") as refused:
        column(cells)
    said = str(refused.value)
    assert "--decimal ." in said
    assert "--decimal ," in said
    mark = "," if "," in cells[0] else "."
    assert column(cells, decimal=mark)[0] == float(cells[0].replace(",", "."))
    assert column(cells, thousands=mark)[0] == float(cells[0].replace(mark, ""))


def test_both_readings_are_written_out() -> None:
    with pytest.raises(DataError, match=r"59173 with .*\(--decimal \.\) or 59.173 with .*\(--d"):
        column(["59,173"])


def test_another_column_decides() -> None:
    european = read("a;b\n15.000;1,5\n16.000;2,5\n")
    assert european.values.tolist() == [[15000, 1.5], [16000, 2.5]]
    english = read("a;b\n15.000;1.5\n16.000;2.25\n")
    assert english.values.tolist() == [[15, 1.5], [16, 2.25]]
    ungrouped = read("a;b\n15.000;1500\n16.000;2250\n")
    assert ungrouped.values.tolist() == [[15, 1500], [16, 2250]]


def test_a_column_that_is_not_asked_for_decides_too() -> None:
    assert read("a;b\n15.000;1,5\n", columns=("a",)).values.tolist() == [[15000]]


def test_columns_that_contradict_each_other_decide_nothing() -> None:
    with pytest.raises(DataError, match=r"column 'a': '15.000' can be read in two ways"):
        read("a;b;c\n15.000;1,5;1.5\n16.000;2,5;2.5\n")


def test_what_is_beyond_the_ordinary_is_said() -> None:
    table = read("time;a;b\n1;1,5;2 kW\n2;1.000,25;3 kW\n")
    said = {note.column: note.text for note in table.notes}
    assert said["a"] == "numbers with decimal comma, points between thousands"
    assert "kW" in said["b"]
    assert not read("time,a\n1,1.5\n2,3\n").notes


def test_a_cell_unlike_the_others_is_named() -> None:
    with pytest.raises(DataError, match=r":4: column 'v': .*'°C'.*, got '70 °F'"):
        column(["21.5 °C", "22 °C", "70 °F"])
    with pytest.raises(DataError, match=r":4: column 'v': .*decimal comma.*, got '1.5'"):
        column(["21,5", "22,5", "1.5"])
    with pytest.raises(DataError, match=r":3: column 'v': .*decimal comma.*, got '2.25'"):
        column(["1,5", "2.25"], decimal=",")


def test_text_with_digits_in_it_is_no_number() -> None:
    table = read("v,place,id\n1,pump 7,A12\n2,pump 8,B7\n")
    assert table.names == ("v",)
    assert table.text == ("place", "id")


def test_marks_that_are_none_are_refused() -> None:
    with pytest.raises(DataError, match="--decimal x: expected one of"):
        ReadOptions(decimal="x")
    with pytest.raises(DataError, match="--thousands _: expected one of"):
        ReadOptions(thousands="_")
    with pytest.raises(DataError, match="expected another mark than --thousands"):
        ReadOptions(decimal=",", thousands=",")


@pytest.mark.parametrize("unit", ["", " °C", "€", " m3/h"])
def test_many_numbers_of_european_notation_are_read_as_few(unit: str) -> None:
    """More rows than are looked at first; also with cells missing and one that is like no other."""
    values = [1234.5 + 1000 * n for n in range(12_000)]
    cells = [f"{v:_.3f}{unit}".replace(".", ",").replace("_", ".") for v in values]
    assert column(cells) == values
    cells[11_000] = ""
    gaps = column(cells, missing=True)
    assert gaps[11_001] == values[11_001]
    assert gaps[11_000] != gaps[11_000]
    cells[11_500] = f"1.23.456,7{unit}"
    with pytest.raises(DataError, match="11502: column 'v': expected a number like others"):
        column(cells, missing=True)


def test_a_long_column_decides_about_one_that_can_be_read_in_two_ways() -> None:
    """It has been converted by then."""
    rows = "".join(f'"1.{n % 1000:03},5";"15,{n % 1000:03}"\n' for n in range(20_000))
    table = read(f"a;b\n{rows}")
    assert table.values[7].tolist() == [1007.5, 15.007]
