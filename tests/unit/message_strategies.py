"""Hypothesis strategies of messages: every encoding of valid ones, and mutated ones."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from hypothesis import strategies as st

# --- every way to write a value ------------------------------------------------------------------


def unsigned(value: int) -> st.SearchStrategy[bytes]:
    """Return a non-negative integer in every width that holds it."""
    forms = [bytes([value])] if value < 0x80 else []
    for n, size in enumerate((1, 2, 4, 8)):
        if value < 1 << (8 * size):
            forms.append(bytes([0xCC + n]) + value.to_bytes(size, "big"))
        if value < 1 << (8 * size - 1):
            forms.append(bytes([0xD0 + n]) + value.to_bytes(size, "big"))
    return st.sampled_from(forms)


def number(value: float | None) -> st.SearchStrategy[bytes]:
    """Return a number in every form; as a float, or as an integer where it is one."""
    if value is None:
        return st.just(b"\xc0")
    forms = [b"\xcb" + struct.pack(">d", value)]
    if not math.isfinite(value) or abs(value) < 3.4e38:
        forms.append(b"\xca" + struct.pack(">f", value))
    if not math.isfinite(value) or value != int(value) or abs(value) >= 2**64:
        return st.sampled_from(forms)
    whole = int(value)
    if whole >= 0:
        return st.one_of(st.sampled_from(forms), unsigned(whole))
    forms += [bytes([256 + whole])] if whole >= -32 else []
    forms += [
        bytes([0xD0 + n]) + whole.to_bytes(size, "big", signed=True)
        for n, size in enumerate((1, 2, 4, 8))
        if whole >= -(1 << (8 * size - 1))
    ]
    return st.sampled_from(forms)


def _long(heads: Sequence[int], sizes: Sequence[int], content: bytes, count: int) -> list[bytes]:
    return [
        bytes([head]) + count.to_bytes(size, "big") + content
        for head, size in zip(heads, sizes, strict=True)
        if count < 1 << (8 * size)
    ]


def text(data: bytes) -> st.SearchStrategy[bytes]:
    forms = [bytes([0xA0 + len(data)]) + data] if len(data) < 32 else []
    return st.sampled_from(forms + _long((0xD9, 0xDA, 0xDB), (1, 2, 4), data, len(data)))


def binary(data: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(_long((0xC4, 0xC5, 0xC6), (1, 2, 4), data, len(data)))


def array(elements: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    data, count = b"".join(elements), len(elements)
    forms = [bytes([0x90 + count]) + data] if count < 16 else []
    return st.sampled_from(forms + _long((0xDC, 0xDD), (2, 4), data, count))


IDS = ["a", "pump-7", "ein Strom", "é∂𐍈", "x" * 40, "y" * 255, 0, 7, 255, 70_000, 2**32, 2**64 - 1]
VALUES = [0.0, 1.0, -1.0, 0.5, -33.0, 200.0, -40_000.0, 3e9, 1e38, 0.1, -(2.0**40)]
TIMES = [0.0, 1.7e9, -5.0, 2.5]
BAD_VALUES = [None, float("nan"), float("inf"), 1e39]


def stream_id(value: str | int) -> st.SearchStrategy[bytes]:
    return unsigned(value) if isinstance(value, int) else text(value.encode())


@st.composite
def vector(draw: st.DrawFn, size: int, values: Sequence[float | None]) -> bytes:
    chosen = draw(st.lists(st.sampled_from(values), min_size=size, max_size=size))
    if draw(st.booleans()):
        floats = [float("nan") if v is None or abs(v) > 3.4e38 else v for v in chosen]
        return draw(binary(struct.pack(f"<{size}f", *floats)))
    return draw(array([draw(number(v)) for v in chosen]))


@st.composite
def good_step(draw: st.DrawFn, inputs: int = 2, values: Sequence[float | None] = VALUES) -> bytes:
    elements = [
        draw(unsigned(1)),
        draw(stream_id(draw(st.sampled_from(IDS)))),
        draw(unsigned(draw(st.sampled_from([0, 0, 1, 2, 3])))),
        draw(vector(inputs, values)),
    ]
    if draw(st.integers(0, 3)) == 0:
        elements.append(draw(number(draw(st.sampled_from(TIMES)))))
    return draw(array(elements))


@st.composite
def good_steps(
    draw: st.DrawFn,
    inputs: int = 2,
    values: Sequence[float | None] = VALUES,
    times_of_rows: Sequence[float | None] = (None, *TIMES),
) -> bytes:
    rows = draw(st.integers(1, 6))
    streams = [draw(stream_id(draw(st.sampled_from(IDS)))) for _ in range(rows)]
    numbers = b"\xc0"
    if draw(st.booleans()):
        chosen = [draw(st.sampled_from([0, 0, 1, 2, 3])) for _ in range(rows)]
        numbers = draw(array([draw(unsigned(seq)) for seq in chosen]))
    if draw(st.booleans()):
        X = draw(vector(rows * inputs, [v for v in values if v is not None]))
        if X[0] not in (0xC4, 0xC5, 0xC6):
            X = draw(array([draw(vector(inputs, values)) for _ in range(rows)]))
    else:
        X = draw(array([draw(vector(inputs, values)) for _ in range(rows)]))
    elements = [draw(unsigned(2)), draw(array(streams)), numbers, X]
    if draw(st.booleans()):
        times = [draw(number(draw(st.sampled_from(times_of_rows)))) for _ in range(rows)]
        elements.append(draw(array(times)))
    return draw(array(elements))


@st.composite
def mutated(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Return a message with a few bytes changed, cut off, doubled or put in."""
    frame = bytearray(draw(messages))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(frame) - 1, 0)))
        what = draw(st.sampled_from(["change", "cut", "insert", "double"]))
        if what == "change" and frame:
            frame[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del frame[at:]
        elif what == "insert":
            frame[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif what == "double":
            frame += frame[at:]
    return bytes(frame)
