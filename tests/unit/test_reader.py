"""The compiled reader of msgpack: what it takes, and that it never reads past the end.

It is run in two ways. As Python, from the same source, with memory that knows its bounds: any byte
that is read outside of the frame fails the test, and every line has to be reached. And as machine
code, on frames that end where memory ends: one byte more, and the process would be gone.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from streamlstm import LSTM, Dense, Engine
from streamlstm.engine.validation import without_offsets
from streamlstm.kernels import id_index
from streamlstm.kernels.pointers import int64s_at
from streamlstm.network.differences import two_floats
from streamlstm.serving.compiled_loop import CompiledLoop
from streamlstm.serving.native import ingest, layout, reader
from streamlstm.wire import elements, from_vector

from ..contract.models import random_model
from .message_strategies import BAD_VALUES, VALUES, good_step, good_steps, mutated
from .worker_harness import harness

START, END = 4096, 8192  # where the frame may not begin before, and the room for values
MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
GOOD = good_step(values=VALUES + BAD_VALUES) | good_steps(values=VALUES + BAD_VALUES)
BYTES = GOOD | mutated(GOOD) | st.binary(max_size=40)


class Memory:
    """A frame and room for values, at addresses of their own; nothing else may be touched."""

    def __init__(self, frame: bytes) -> None:
        self.frame, self.end = frame, START + len(frame)
        self.values = np.zeros(64, np.float32)
        self.offsets = np.linspace(1.7e9, 8.8e10, 20)  # at END too, but of another type
        self.places = np.where(np.arange(20) % 3 == 1, 40.0 + np.arange(20), -1.0)  # behind them

    def read(self, at: int, size: int) -> int:
        assert at >= START, "read before the frame"
        assert at + size <= self.end, "read past the frame"
        return int.from_bytes(self.frame[at - START : at - START + size], "little")

    def byte_at(self, at: int) -> Any:
        return np.uint64(self.read(at, 1))

    def word_at(self, at: int) -> Any:
        return np.uint64(self.read(at, 8))

    def copy_bytes(self, to: int, source: int, size: int) -> None:
        assert to >= END
        data = self.read(source, size).to_bytes(size, "little")
        self.values.view(np.uint8)[to - END : to - END + size] = np.frombuffer(data, np.uint8)

    def floats_at(self, at: int, count: int) -> Any:
        assert at >= END
        return self.values[(at - END) // 4 : (at - END) // 4 + count]

    def doubles_at(self, at: int, count: int) -> Any:
        assert at == END
        return np.concatenate([self.offsets[: count // 2], self.places[: count // 2]])


def float_of(bits: Any) -> float:
    value: float = struct.unpack("<d", int(bits).to_bytes(8, "little"))[0]
    return value


def single_of(bits: Any) -> Any:
    return np.float32(struct.unpack("<f", int(bits).to_bytes(4, "little"))[0])


PARTS = {
    name: part.py_func for name, part in vars(reader).items() if hasattr(part, "py_func")
}  # of the module, not of those that it imports


@contextmanager
def in_python(memory: Memory) -> Iterator[None]:
    """Let the reader run as Python, over this memory."""
    names = dict(
        PARTS,
        byte_at=memory.byte_at,
        word_at=memory.word_at,
        copy_bytes=memory.copy_bytes,
        floats_at=memory.floats_at,
        doubles_at=memory.doubles_at,
        float_of=float_of,
        single_of=single_of,
    )
    with pytest.MonkeyPatch.context() as patch, np.errstate(over="ignore", invalid="ignore"):
        for name, replacement in names.items():
            patch.setattr(reader, name, replacement)
        yield


def walk(frame: bytes) -> list[Any]:
    """Read everything that can be read at the start of a frame and inside of it."""
    memory = Memory(frame)
    found: list[Any] = []
    with in_python(memory):
        for at in range(START, memory.end + 1):
            for read in (
                reader.read_unsigned,
                reader.read_text,
                reader.read_bin,
                reader.read_array,
                reader.read_number,
                reader.read_id,
            ):
                after = read(at, memory.end)[0]
                assert after == 0 or at < after <= memory.end
                found.append(after)
            start, length = reader.read_text(at, memory.end)
            if start:
                reader.is_utf8(start, length)
            reader.is_nil(at, memory.end)
            for count, offsets in ((1, 0), (2, 0), (1, END), (2, END)):
                after = reader.read_vector(at, memory.end, count, END, offsets)
                assert after == 0 or at < after <= memory.end
    return found


@settings(max_examples=150, deadline=None)
@given(BYTES)
def test_nothing_is_read_past_the_end(frame: bytes) -> None:
    walk(frame)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=24) | st.text(min_size=1, max_size=8).map(str.encode))
def test_utf8_is_what_python_reads(data: bytes) -> None:
    try:
        data.decode()
        good = True
    except UnicodeDecodeError:
        good = False
    memory = Memory(data)
    with in_python(memory):
        assert reader.is_utf8(START, len(data)) == good


@settings(max_examples=300, deadline=None)
@given(st.integers(-(2**63), 2**64 - 1) | st.floats() | st.floats(width=32), st.booleans())
def test_numbers_are_what_msgpack_reads(value: float, single: bool) -> None:
    frame = msgpack.packb(value, use_single_float=single and abs(value) < 3e38)
    with in_python(Memory(frame)):
        after, got = reader.read_number(START, START + len(frame))
    assert after == START + len(frame)
    np.testing.assert_array_equal(got, float(msgpack.unpackb(frame)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats(), max_size=20))
def test_vectors_are_what_the_wire_decodes(values: list[float | None]) -> None:
    """Nil, a missing value, is NaN in both."""
    memory = Memory(msgpack.packb(values))
    with in_python(memory):
        after = reader.read_vector(START, memory.end, len(values), END, 0)
    assert after == memory.end
    expected = np.frombuffer(elements.vector(values), np.float32)
    np.testing.assert_array_equal(memory.values[: len(values)], expected)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats(), max_size=20))
def test_offsets_are_subtracted_before_numbers_become_float32(values: list[float | None]) -> None:
    memory = Memory(msgpack.packb(values))
    with in_python(memory):
        after = reader.read_vector(START, memory.end, len(values), END, END)
    assert after == memory.end
    sent = from_vector(elements.vector(values))
    assert sent.dtype == np.float64
    offsets = memory.offsets[: len(values)]
    expected = without_offsets(sent, offsets)
    np.testing.assert_array_equal(memory.values[: len(values)], expected)
    counters = np.arange(1, len(values), 3)
    lost = two_floats(sent - offsets, counters.tolist())[len(values) :]
    np.testing.assert_array_equal(memory.values[40 + counters], lost)


@pytest.mark.parametrize("offsets", [0, END])
def test_a_bin_of_float32_is_refused_where_there_are_offsets(offsets: int) -> None:
    memory = Memory(msgpack.packb(b"\0" * 8))
    with in_python(memory):
        assert (reader.read_vector(START, memory.end, 2, END, offsets) == 0) == (offsets != 0)


EVERY_WAY = [
    b"",
    b"\x94\x01\xa1a\x00\xc4\x08" + b"\0" * 8,
    *(bytes([head]) + b"\x01" * 12 for head in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD)),
    *(bytes([head]) + b"\0" * 3 for head in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD)),
    *(bytes([head]) + b"\xff" * 9 for head in range(0xCA, 0xD4)),
    *(bytes([head]) + b"\x01" * 9 for head in range(0xCA, 0xD4)),
    *(bytes([head]) for head in range(256)),
    *(b"\x92" + bytes([head]) + b"\xff" * 9 for head in range(0xC0, 0xD4)),
    b"\x92\x01\xc1",
    b"\x92\x01\xc0",
    b"\xa2\x00a",
    b"\xa8abcdefgh",
    b"\xa9abcdefgh\xff",
    *(
        b"\xa4" + data.ljust(4, b"a")
        for data in (
            b"\xc3\xa9",
            b"\xc3",
            b"\xe0\xa0\x80",
            b"\xe0\x80\x80",
            b"\xed\x9f\xbf",
            b"\xed\xa0\x80",
            b"\xf0\x90\x80\x80",
            b"\xf4\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80",
            b"\xe2\x82a",
            b"aaa\xf0",
        )
    ),
]


def lines_of(code: CodeType) -> set[int]:
    return {
        line for _, _, line in code.co_lines() if line is not None and line > code.co_firstlineno
    }


def test_every_line_is_reached() -> None:
    """With these frames, and none of them reads past the end."""
    wanted = {part.__code__: lines_of(part.__code__) for part in PARTS.values()}
    reached: dict[CodeType, set[int]] = {code: set() for code in wanted}

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code not in reached:
            return None
        if event == "line":
            reached[frame.f_code].add(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for frame in EVERY_WAY:
            walk(frame)
    finally:
        sys.settrace(before)
    missed = {
        code.co_name: sorted(lines - reached[code])
        for code, lines in wanted.items()
        if lines - reached[code]
    }
    assert missed == {}


@njit
def observe_at(loop: int, record: int) -> int:
    """Let the real thing read a message, wherever it stands."""
    table = int64s_at(loop, layout.LOOP)
    head = int64s_at(table[layout.TABLE], id_index.HEAD)
    base = head[id_index.BLOCK] + 1
    table[layout.LAST_ROUND] = 0
    rows: int = ingest.ingest(table, head, record, 0, base)
    head[id_index.BLOCK] = base + table[layout.LAST_ROUND]
    return rows


@contextmanager
def edge() -> Iterator[tuple[mmap.mmap, int, int]]:
    """Give memory whose next page may not be touched: it, its address, its size."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 17 * page)
    held = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(held)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert libc.mprotect(address + 16 * page, page, 0) == 0
    try:
        yield memory, address, 16 * page
    finally:
        assert libc.mprotect(address + 16 * page, page, mmap.PROT_READ | mmap.PROT_WRITE) == 0
        del held
        memory.close()


def test_machine_code_stops_where_memory_stops() -> None:
    """Frames of all kinds, whole and cut off at every byte, that end at the end of a page."""
    good = [
        msgpack.packb([1, "pump-7", 0, b"\0" * 8]),
        msgpack.packb([1, 7, 0, [1, 2.5], 3.0]),
        msgpack.packb([2, ["a", 2**40, "x" * 40], [0, 0, 0], b"\0" * 24]),
        msgpack.packb([2, ["a", 9], None, [[1, -2], [2.5, -70_000]]]),
    ]
    frames = [frame[:size] for frame in good for size in range(len(frame) + 1)]
    frames += EVERY_WAY
    with harness(Engine(MODEL, threads=1)) as both, edge() as (memory, address, size):
        compiled = both.worker._loop
        assert isinstance(compiled, CompiledLoop)
        loop = compiled.table.address
        record = np.zeros(layout.RECORD_HEAD // 8, np.int64)
        taken = 0
        for frame in frames:
            memory[size - len(frame) : size] = frame
            record[layout.MESSAGE] = address + size - len(frame)
            record[layout.SIZE] = len(frame)
            taken += observe_at(loop, record.ctypes.data) > 0
        assert taken == len(good) + 1  # one of the others is a message too
