"""The map at the end of PREDICTION and PREDICTIONS: what a worker says besides the outputs.

A result is float32[W]: the outputs, then further numbers. Which of them have which key depends on
the model, and is the same in every message about it. Compiled code writes the map of a PREDICTION
from :meth:`Extras.runs`, byte for byte what is encoded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

# How an extra is written in a PREDICTION: a bin of float32, a number, true or false, an unsigned
# integer, one of some words, or an array of float64 with the offsets of the outputs. In PREDICTIONS
# each is a bin of float32, those of a row together, but for the last: an array of arrays.
FLOATS, NUMBER, FLAG, COUNT, WORD, WIDE = range(6)
FIXED = COUNT  # those below it take the same number of bytes whatever their value:
SIZES = 4, 4, 1  # as many for each of its numbers, the last ones of the value


class Extra(NamedTuple):
    """One key of the map: ``size`` numbers of a result, from ``start`` on."""

    key: str
    what: int
    start: int
    size: int = 1


class Patch(NamedTuple):
    """One number of a result that is put into a run: where, how (FLOATS, NUMBER or FLAG), which."""

    place: int
    what: int
    start: int


class Run(NamedTuple):
    """Bytes of the map that are the same in each, with room for values of a fixed size.

    Behind them stands the value of ``last``, whose size varies, if there is one.
    """

    data: bytes
    patches: tuple[Patch, ...]
    last: Extra | None


class Extras(NamedTuple):
    """The map of one model.

    Attributes
    ----------
    outputs : int
        O, numbers of a result that are not in the map.
    levels : tuple of float
        Those of the intervals, which the map has as ``levels``; empty if there are none.
    words : tuple of str
        What the numbers of a WORD stand for; at most 31 bytes each.
    extras : tuple of Extra
    offsets : tuple of float
        Of the outputs, which are sent as float64 then; empty if there are none.
    has_map : bool
        False for a model with offsets and nothing to say besides its outputs.
    level : int
        Where in a result stands what is added to the outputs besides, as two floats, O of each; 0
        for nowhere.
    """

    outputs: int
    levels: tuple[float, ...]
    words: tuple[str, ...]
    extras: tuple[Extra, ...]
    offsets: tuple[float, ...] = ()
    has_map: bool = True
    level: int = 0

    def wide(
        self, results: NDArray[np.float32], start: int, size: int = 0
    ) -> list[list[float | None]]:
        """Return numbers of results[B, W] with what is added to the outputs that they speak of.

        None stands for what is unknown, NaN.
        """
        size = size or self.outputs
        added = np.array(self.offsets)
        if self.level:
            high, low = (results[:, self.level + n * self.outputs :] for n in range(2))
            added = high[:, : self.outputs].astype(np.float64) + low[:, : self.outputs] + added
        added = np.tile(added, size // self.outputs)
        rows = (results[:, start : start + size] + added).tolist()
        return [[None if number != number else number for number in row] for row in rows]

    def _levels(self) -> dict[str, Any]:
        return {"levels": np.array(self.levels, "<f4").tobytes()} if self.levels else {}

    def of_row(self, result: NDArray[np.float32]) -> dict[str, Any]:
        """Return the map of a PREDICTION of one result, float32[W]."""
        found = self._levels()
        for key, what, start, size in self.extras:
            number = float(result[start])
            if what == FLOATS:
                found[key] = result[start : start + size].astype("<f4", copy=False).tobytes()
            elif what == NUMBER:
                found[key] = number
            elif what == WIDE:
                found[key] = self.wide(result[None], start, size)[0]
            elif what == FLAG:
                found[key] = number > 0
            else:
                whole = int(number) if number == number else 0  # NaN in a row that was refused
                found[key] = whole if what == COUNT else self.words[whole]
        return found

    def of_rows(self, results: NDArray[np.float32]) -> dict[str, Any]:
        """Return the map of a PREDICTIONS of results, float32[B, W]."""
        parts = {
            key: self.wide(results, start, size)
            if what == WIDE
            else results[:, start : start + size].astype("<f4").tobytes()
            for key, what, start, size in self.extras
        }
        return self._levels() | parts

    def head(self) -> bytes:
        """Return the bytes with which the map begins."""
        known = self._levels()
        head = bytes([0x80 + len(known) + len(self.extras)])
        return head + b"".join(_pack(key) + _pack(value) for key, value in known.items())

    def runs(self) -> list[Run]:
        """Return how compiled code writes the map of a PREDICTION."""
        runs: list[Run] = []
        data = self.head()
        patches: list[Patch] = []
        for extra in self.extras:
            data += _pack(extra.key)
            if extra.what >= FIXED:
                runs.append(Run(data, tuple(patches), extra))
                data, patches = b"", []
                continue
            value = _zeros(extra)
            first = len(data) + len(value) - SIZES[extra.what] * extra.size
            data += value
            patches += [
                Patch(first + SIZES[extra.what] * n, extra.what, extra.start + n)
                for n in range(extra.size)
            ]
        return [*runs, Run(data, tuple(patches), None)] if data else runs


def _zeros(extra: Extra) -> bytes:
    """Return the value of an extra of a fixed size, in a result of zeros."""
    if extra.what == NUMBER:
        return _pack(0.0, use_single_float=True)
    return _pack(bytes(4 * extra.size) if extra.what == FLOATS else False)


def pack_words(words: Sequence[str]) -> list[bytes]:
    """Return words as msgpack."""
    return [_pack(word) for word in words]


def _pack(value: Any, **options: bool) -> bytes:
    packed: bytes = msgpack.packb(value, **options)
    return packed
