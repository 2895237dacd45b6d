"""Write the msgpack of PREDICTION, PREDICTIONS and ``busy``, in the shortest form.

A function writes at an int64 address and returns the address behind what it wrote; its caller has
made enough room.
"""

import numpy as np
from numba import int64, uint64

from ...kernels.cache import inlined, internal
from ...kernels.pointers import (
    bits_of,
    byte_at,
    copy_bytes,
    doubles_at,
    floats_at,
    half_at,
    int64s_at,
    put_byte,
    put_half,
    swapped,
)
from ...wire.extras import COUNT, FIXED, FLOATS, NUMBER, WIDE
from . import layout, reader

_BYTE = np.uint64(255)


@inlined
def write_byte(at, value):
    """Write one byte."""
    put_byte(at, uint64(value))
    return at + 1


@internal
def write_big_endian(at, value, size):
    """Write the low ``size`` bytes of a uint64, the highest first."""
    for n in range(size):
        put_byte(at + n, value >> np.uint64(8 * (size - 1 - n)) & _BYTE)
    return at + size


@internal
def write_unsigned(at, value):
    """Write a uint64."""
    if value < uint64(0x80):
        return write_byte(at, value)
    size, head = 1, reader.UINT8
    while size < 8 and value >> np.uint64(8 * size) != uint64(0):
        size, head = 2 * size, head + 1
    return write_big_endian(write_byte(at, head), value, size)


@internal
def _write_length(at, head, length, size):
    """Write a type's first byte and a length of ``size`` bytes."""
    return write_big_endian(write_byte(at, head), uint64(length), size)


@internal
def write_array(at, count):
    """Write the head of an array."""
    if count < 16:
        return write_byte(at, reader.FIX_ARRAY + count)
    if count < 2**16:
        return _write_length(at, int64(reader.ARRAY16), count, int64(2))
    return _write_length(at, int64(reader.ARRAY32), count, int64(4))


@internal
def write_bin_head(at, size):
    """Write the head of a bin."""
    if size < 2**8:
        return _write_length(at, int64(reader.BIN8), size, int64(1))
    if size < 2**16:
        return _write_length(at, int64(reader.BIN16), size, int64(2))
    return _write_length(at, int64(reader.BIN32), size, int64(4))


@inlined
def write_bytes(at, address, size):
    """Write ``size`` bytes from ``address``."""
    copy_bytes(at, address, size)
    return at + size


@internal
def write_id(at, id, length):
    """Write a stream's id, as :func:`streamlstm.serving.native.reader.read_id` gives it."""
    if length == 0:
        return write_unsigned(at, uint64(id))
    if length < 32:
        at = write_byte(at, reader.FIX_TEXT + length)
    else:
        at = _write_length(at, int64(reader.TEXT8), length, int64(1))
    return write_bytes(at, id, length)


@internal
def write_topic(at, id, length):
    """Write the topic of a stream; see :func:`streamlstm.wire.topic`."""
    if length == 0:
        return write_big_endian(write_byte(at, int64(0)), uint64(id), int64(8))
    return write_bytes(at, id, length)


@internal
def write_wide(loop, at, y, start, count):
    """Write ``count`` numbers of the result at ``y`` from ``start`` on as float64.

    They are outputs or their bounds; what is added to each output is added to them. Nil stands for
    what is unknown, NaN.
    """
    at = write_array(at, count)
    moved, O = doubles_at(loop[layout.OUTPUT_OFFSETS], count), loop[layout.OUTPUT_COUNT]
    numbers, level = floats_at(y + 4 * start, count), loop[layout.OUTPUT_LEVEL]
    levels = floats_at(y + 4 * level, 2 * O)
    for n in range(count):
        number = np.float64(numbers[n]) + moved[n]
        if level != 0:
            number += np.float64(levels[n % O]) + np.float64(levels[O + n % O])
        at = write_number(at, number)
    return at


@internal
def write_number(at, number):
    """Write a float64, nil for NaN."""
    if number != number:
        return write_byte(at, int64(reader.NIL))
    at = write_byte(at, int64(reader.FLOAT64))
    return write_big_endian(at, uint64(bits_of(number)), int64(8))


@internal
def write_inputs(at, x, count, offsets):
    """Write the ``count`` inputs at ``x`` as they came: what reader.read_vector has read."""
    if offsets == 0:
        return write_bytes(write_bin_head(at, 4 * count), x, 4 * count)
    at, values, table = write_array(at, count), floats_at(x, count), doubles_at(offsets, 2 * count)
    for n in range(count):
        number = np.float64(values[n]) + table[n]
        if table[count + n] >= 0.0:
            number += np.float64(floats_at(x + 4 * int64(table[count + n]), int64(1))[0])
        at = write_number(at, number)
    return at


@inlined
def write_outputs(loop, at, y, size):
    """Write the outputs of a result at ``y``: a bin of ``size`` bytes, or with offsets an array."""
    if loop[layout.OUTPUT_OFFSETS] != 0:
        return write_wide(loop, at, y, int64(0), size // 4)
    return write_bytes(write_bin_head(at, size), y, size)


@internal
def write_prediction(loop, at, id, length, seq, y, size):
    """Write a PREDICTION of the result at ``y``, whose first ``size`` bytes are the outputs."""
    extras = loop[layout.EXTRAS]
    at = write_array(at, int64(4 if extras == 0 else 5))
    at = write_unsigned(at, uint64(layout.PREDICTION))
    at = write_id(at, id, length)
    at = write_unsigned(at, seq)
    at = write_outputs(loop, at, y, size)
    if extras == 0:
        return at
    patch = loop[layout.PATCHES]
    for n in range(loop[layout.RUN_COUNT]):
        run = int64s_at(loop[layout.RUNS] + 8 * layout.RUN * n, layout.RUN)
        start = at
        at = write_bytes(at, run[layout.RUN_AT], run[layout.RUN_SIZE])
        stop = patch + 8 * layout.PATCH * run[layout.RUN_PATCHES]
        while patch < stop:
            _put(start, int64s_at(patch, layout.PATCH), y)
            patch += 8 * layout.PATCH
        if run[layout.RUN_WHAT] >= FIXED:
            at = _write_varying(loop, at, run, y)
    return at


@inlined
def _put(start, patch, y):
    """Put a number of the result at ``y`` into the run at ``start``."""
    place, source = start + patch[layout.PATCH_PLACE], y + patch[layout.PATCH_SOURCE]
    if patch[layout.PATCH_WHAT] == FLOATS:
        put_half(place, half_at(source))
    elif patch[layout.PATCH_WHAT] == NUMBER:
        put_half(place, swapped(half_at(source)))
    else:
        is_true = floats_at(source, int64(1))[0] > 0.0
        put_byte(place, uint64(reader.NIL + 2 + is_true))


@inlined
def _write_varying(loop, at, run, y):
    """Write what follows a run: a value of the result at ``y`` whose size varies."""
    what, start = run[layout.RUN_WHAT], run[layout.RUN_START]
    if what == WIDE:
        return write_wide(loop, at, y, start, run[layout.RUN_COUNTED])
    number = int64(floats_at(y + 4 * start, int64(1))[0])
    if what == COUNT:
        return write_unsigned(at, uint64(number))
    word = loop[layout.WORDS] + layout.WORD * number
    copy_bytes(at, word + 1, int64(layout.WORD - 1))  # a constant: quicker than the bytes it has
    return at + int64(byte_at(word))


@internal
def write_extras(loop, at, first, count, width):
    """Write the map of a PREDICTIONS of ``count`` results of ``width`` bytes from ``first`` on."""
    at = write_bytes(at, loop[layout.LEVELS], loop[layout.LEVELS_SIZE])
    for n in range(loop[layout.EXTRA_COUNT]):
        extra = int64s_at(loop[layout.EXTRAS] + 8 * layout.EXTRA * n, layout.EXTRA)
        at = write_bytes(at, extra[layout.KEY_AT], extra[layout.KEY_SIZE])
        size, wide = 4 * extra[layout.EXTRA_COUNTED], extra[layout.EXTRA_WHAT] == WIDE
        at = write_array(at, count) if wide else write_bin_head(at, size * count)
        for row in range(count):
            y, start = first + width * row, extra[layout.EXTRA_START]
            if wide:
                at = write_wide(loop, at, y, start, size // 4)
            else:
                at = write_bytes(at, y + 4 * start, size)
    return at
