"""Columns written as CSV in blocks: what a reader of CSV finds in them."""

import csv
import gzip
import io

import numpy as np

from streamlstm.data.text_column import TextColumn
from streamlstm.data.writing import csv_blocks, packed


def test_cells_are_found_again_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    n = 140_000  # more than two blocks
    values = (10.0 ** rng.uniform(-38, 38, n) * rng.choice([-1, 1], n)).astype(np.float32)
    values[::7] = np.nan
    text = ["plain", "with, comma", 'with "quotes"', "two\nlines", "", "süd"]
    columns = {"a, b": TextColumn.of([text[k % len(text)] for k in range(n)]), "v": values}
    data = b"".join(csv_blocks(columns))
    assert gzip.decompress(b"".join(packed([data]))) == data
    header, *rows = csv.reader(io.StringIO(data.decode()))
    assert header == ["a, b", "v"]
    assert [row[0] for row in rows] == list(columns["a, b"])
    read = np.array([float(row[1] or "nan") for row in rows], np.float32)
    assert np.array_equal(read, values, equal_nan=True)
    assert rows[0][1] == ""
