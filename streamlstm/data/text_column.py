"""TextColumn: a column of text as Arrow keeps it, without a Python string for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_BLOCK = 65_536  # rows that are strings at the same time


class TextColumn(Sequence[str]):
    """The cells of a column as text.

    Parameters
    ----------
    array : pyarrow.Array or pyarrow.ChunkedArray
        Of any type that can be written as text. A null is an empty text.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        """The cells as Arrow has them, of any type."""

    @classmethod
    def of(cls, cells: Sequence[str]) -> TextColumn:
        """Return a column of these cells."""
        return cls(pa.array(cells, pa.string()))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> TextColumn: ...
    def __getitem__(self, index: int | slice) -> str | TextColumn:
        if isinstance(index, slice):
            return TextColumn(self.array[index])
        row = range(len(self))[index]
        return next(iter(TextColumn(self.array.slice(row, 1))))

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self.text(start, start + _BLOCK).to_pylist()

    def text(self, start: int = 0, end: int | None = None) -> Any:
        """Return the rows from ``start`` up to ``end`` as an Arrow array of strings."""
        block = self.array.slice(start, None if end is None else end - start)
        if pa.types.is_dictionary(block.type):
            block = block.cast(block.type.value_type)
        text = block.cast(pa.string())
        return pc.fill_null(text, "") if text.null_count else text  # which else shares its memory

    def take(self, rows: NDArray[np.intp]) -> TextColumn:
        """Return these rows, in this order."""
        return TextColumn(self.array.take(pa.array(rows)))

    def groups(self) -> dict[str, NDArray[np.intp]]:
        """Return the rows of each text in order, the texts as they first appear."""
        codes, names = self.codes()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(names)))
        return dict(zip(names, np.split(order, ends[:-1]), strict=True))

    def codes(self) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Return the number of each row's text, int32[n], and the texts as they first appear."""
        coded = self.text().dictionary_encode()
        if isinstance(coded, pa.ChunkedArray):
            coded = coded.unify_dictionaries().combine_chunks()
        if isinstance(coded, pa.ChunkedArray):  # of no chunk
            return np.zeros(0, np.int32), ()
        return coded.indices.to_numpy(), tuple(coded.dictionary.to_pylist())
