"""Read the msgpack of STEP and STEPS: never past the end, without allocation.

Positions are int64 addresses. A function returns the address behind what it read, 0 if the bytes
are of another type, and then perhaps a value. What is accepted here means exactly what
:func:`streamlstm.wire.decode_request` returns for it; that function reports what is wrong with
the rest.
"""

import numpy as np
from numba import int64, uint64

from ...kernels.cache import internal
from ...kernels.pointers import (
    byte_at,
    copy_bytes,
    doubles_at,
    float_of,
    floats_at,
    single_of,
    word_at,
)
from .layout import MAX_ROWS

f32 = np.float32

_HIGHS = np.uint64(0x8080808080808080)
_ZERO, _EIGHT = np.uint64(0), np.uint64(8)

# First bytes of msgpack's types.
FIX_POSITIVE = 0x80  # below: the integer itself
FIX_ARRAY, FIX_TEXT, NIL = 0x90, 0xA0, 0xC0
BIN8, BIN16, BIN32 = 0xC4, 0xC5, 0xC6
FLOAT32, FLOAT64 = 0xCA, 0xCB
UINT8, UINT64, INT8, INT64 = 0xCC, 0xCF, 0xD0, 0xD3
TEXT8, TEXT32 = 0xD9, 0xDB
ARRAY16, ARRAY32 = 0xDC, 0xDD
FIX_NEGATIVE = 0xE0  # from here on: the integer less 256


@internal
def big_endian(at, size):
    """Return the unsigned integer in ``size`` bytes, 1 to 8."""
    value = byte_at(at)
    for n in range(1, size):
        value = value << _EIGHT | byte_at(at + n)
    return value


@internal
def read_unsigned(at, end):
    """Read an integer of any width that is not negative: where it ends, and its value."""
    if at >= end:
        return int64(0), _ZERO
    head = int64(byte_at(at))
    if head < FIX_POSITIVE:
        return at + 1, uint64(head)
    if UINT8 <= head <= UINT64:
        size = 1 << (head - UINT8)
    elif INT8 <= head <= INT64:
        size = 1 << (head - INT8)
    else:
        return int64(0), _ZERO
    if end - at - 1 < size:
        return int64(0), _ZERO
    if head >= INT8 and byte_at(at + 1) >= uint64(0x80):
        return int64(0), _ZERO
    return at + 1 + size, big_endian(at + 1, size)


@internal
def _read_length(at, end, width):
    """Read a length of ``width`` bytes behind the first byte: where the content begins, length."""
    if end - at - 1 < width:
        return int64(0), int64(0)
    return at + 1 + width, int64(big_endian(at + 1, width))


@internal
def read_text(at, end):
    """Read a str: where its bytes begin, and how many they are. Whether they are UTF-8 is open."""
    if at >= end:
        return int64(0), int64(0)
    head = int64(byte_at(at))
    if FIX_TEXT <= head < NIL:
        start, length = at + 1, head - FIX_TEXT
    elif TEXT8 <= head <= TEXT32:
        start, length = _read_length(at, end, 1 << (head - TEXT8))
    else:
        return int64(0), int64(0)
    if start == 0 or end - start < length:
        return int64(0), int64(0)
    return start, length


@internal
def read_bin(at, end):
    """Read a bin: where its bytes begin, and how many they are."""
    if at >= end:
        return int64(0), int64(0)
    head = int64(byte_at(at))
    if not BIN8 <= head <= BIN32:
        return int64(0), int64(0)
    start, length = _read_length(at, end, 1 << (head - BIN8))
    if start == 0 or end - start < length:
        return int64(0), int64(0)
    return start, length


@internal
def read_array(at, end):
    """Read the head of an array: where its elements begin, and how many they are.

    More than may be, or more than there are bytes left for, is refused.
    """
    if at >= end:
        return int64(0), int64(0)
    head = int64(byte_at(at))
    if FIX_ARRAY <= head < FIX_TEXT:
        start, count = at + 1, head - FIX_ARRAY
    elif ARRAY16 <= head <= ARRAY32:
        start, count = _read_length(at, end, 2 << (head - ARRAY16))
    else:
        return int64(0), int64(0)
    if start == 0 or count > MAX_ROWS or count > end - start:
        return int64(0), int64(0)
    return start, count


@internal
def is_nil(at, end):
    """Tell whether nil stands here."""
    return at < end and byte_at(at) == uint64(NIL)


@internal
def read_number(at, end):
    """Read an integer or a float of any width: where it ends, and its value as a float64."""
    after, integer = read_unsigned(at, end)
    if after != 0:
        return after, np.float64(integer)
    if at >= end:
        return int64(0), 0.0
    head = int64(byte_at(at))
    if head >= FIX_NEGATIVE:
        return at + 1, np.float64(head - 256)
    if head == FLOAT64 and end - at > 8:
        return at + 9, float_of(big_endian(at + 1, int64(8)))
    if head == FLOAT32 and end - at > 4:
        return at + 5, np.float64(single_of(big_endian(at + 1, int64(4))))
    if INT8 <= head <= INT64:
        size = 1 << (head - INT8)
        if end - at - 1 < size:
            return int64(0), 0.0
        # It is negative, or it would have been read above: the bits above it are ones.
        value = int64(big_endian(at + 1, size))
        if size < 8:
            value -= int64(1) << (8 * size)
        return at + 1 + size, np.float64(value)
    return int64(0), 0.0


@internal
def read_vector(at, end, count, to, offsets):
    """Read a bin of ``count`` float32, or an array of as many numbers, and write them to ``to``.

    In an array nil is a missing value and becomes NaN, as in wire/elements.py. Where ``offsets`` is
    the address of float64[2 * count] and not 0, the first of them are subtracted, and a bin, which
    has lost too much, is refused. The others say where what float32 loses of a number is written,
    -1 for nowhere.

    Returns
    -------
    int64
        Where it ends. The values may be anything, also infinite or NaN.
    """
    start, length = read_bin(at, end)
    if start != 0:
        if length != 4 * count or offsets != 0:
            return int64(0)
        copy_bytes(to, start, length)
        return start + length
    start, length = read_array(at, end)
    if start == 0 or length != count:
        return int64(0)
    values = floats_at(to, count)
    at = start
    for n in range(count):
        if is_nil(at, end):
            at, value = at + 1, np.nan
        else:
            at, value = read_number(at, end)
        if at == 0:
            return int64(0)
        if offsets != 0:
            table = doubles_at(offsets, 2 * count)
            value -= table[n]
            if table[count + n] >= 0.0:
                place = floats_at(to + 4 * int64(table[count + n]), int64(1))
                lost = value - np.float64(f32(value)) if abs(value) < np.inf else 0.0
                place[0] = f32(lost)
        values[n] = f32(value)
    return at


@internal
def read_id(at, end):
    """Read a stream's id.

    Returns
    -------
    after : int64
        Where it ends.
    id : int64
        The integer's bits; or the address of the text.
    length : int64
        Bytes of the text, 1 to 255, the first of them not NUL; 0 for an integer.
    """
    start, length = read_text(at, end)
    if start != 0:
        if length == 0 or length > 255 or byte_at(start) == _ZERO:
            return int64(0), int64(0), int64(0)
        return start + length, start, length
    after, value = read_unsigned(at, end)
    return after, int64(value), int64(0)


@internal
def is_utf8(at, length):
    """Tell whether bytes are UTF-8 as Python reads it: shortest forms, no surrogates."""
    end = at + length
    while at < end:
        if end - at >= 8 and word_at(at) & _HIGHS == _ZERO:
            at += 8
            continue
        head = int64(byte_at(at))
        if head < 0x80:
            at += 1
            continue
        # How many bytes follow, and the bounds of the first of them.
        low, high = 0x80, 0xBF
        if 0xC2 <= head <= 0xDF:
            more = 1
        elif 0xE0 <= head <= 0xEF:
            more = 2
            if head == 0xE0:
                low = 0xA0
            elif head == 0xED:
                high = 0x9F
        elif 0xF0 <= head <= 0xF4:
            more = 3
            if head == 0xF0:
                low = 0x90
            elif head == 0xF4:
                high = 0x8F
        else:
            return False
        if end - at - 1 < more or not low <= int64(byte_at(at + 1)) <= high:
            return False
        for n in range(2, more + 1):
            if int64(byte_at(at + n)) & 0xC0 != 0x80:
                return False
        at += 1 + more
    return True
