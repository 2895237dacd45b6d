"""Read and make objects of Python in compiled code, in calls that keep the GIL.

Numba unboxes arguments: for each array and text it takes memory and frees it. And what Python
checks before such a call costs as much again, because a step leaves weights in the place of
Python's own data in the first level of cache. So a step of one stream is a method that gets the
objects themselves, as one written in C. They live as long as the call: its caller holds them.

The layout read here is that of CPython with a GIL, of ``PyArrayObject_fields`` in NumPy's C API,
and its function ``PyArray_Empty``; everything else are functions of CPython.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from llvmlite import ir
from numba import float64, int64, types, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

from .cache import inlined
from .pointers import copy_bytes, floats_at, half_at, int64s_at

_WORD = ir.IntType(64)
_ONE, _ZERO = np.uint64(1), np.uint64(0)

# The table of what compiled code compares with and calls, an int64 array: addresses of types and
# objects, of a function, and room for a number.
ARRAY, FLOAT32, TEXT, INTEGER, FLOAT, NONE, EMPTY, ROOM, SIZE = range(9)

# Words of an object, and of an array.
_TYPE, _DATA, _DIMENSIONS, _SHAPE, _STRIDES, _DTYPE, _WORDS = 1, 2, 3, 4, 5, 7, 8
_PYARRAY_EMPTY = 184  # in the table of NumPy's C API

METHOD = (int64, int64, int64)  # of a method in compiled code; it returns the address of an object
_FASTCALL = 0x80
_definitions: list[Any] = []


class _Definition(ctypes.Structure):
    """``PyMethodDef``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


def method(function: Any) -> Callable[[object], Callable[..., Any]]:
    """Return what binds a compiled function to an object, as a method of it for Python.

    Numba's own way into a function takes 40 ns more: Python would make a tuple for it.

    Parameters
    ----------
    function : Dispatcher
        Compiled for :data:`METHOD`: the addresses of that object and of an array of arguments, and
        how many these are.
    """
    compiled = function.overloads[METHOD]
    name = compiled.fndesc.llvm_cfunc_wrapper_name
    address = compiled.library.get_pointer_to_function(name)
    definition = _Definition(function.py_func.__name__.encode(), address, _FASTCALL, None)
    kind = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.POINTER(_Definition), ctypes.py_object, ctypes.c_void_p
    )
    make = kind(("PyCFunction_NewEx", ctypes.pythonapi))
    _definitions.append(definition)  # methods may outlive whatever made them
    return lambda owner: make(definition, owner, None)


_utf8 = types.ExternalFunction("PyUnicode_AsUTF8AndSize", int64(int64, int64))
_unsigned = types.ExternalFunction("PyLong_AsUnsignedLongLong", uint64(int64))
_double = types.ExternalFunction("PyFloat_AsDouble", float64(int64))
_error = types.ExternalFunction("PyErr_Occurred", int64())
_clear_error = types.ExternalFunction("PyErr_Clear", types.void())
_take = types.ExternalFunction("Py_IncRef", types.void(int64))


@intrinsic
def _call_empty(_typing: Any, function: Any, shape: Any, dtype: Any) -> Any:
    """Call ``PyArray_Empty`` for an array of one dimension; it takes over the dtype."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer = ir.IntType(32)
        kind = ir.FunctionType(_WORD, [integer, _WORD, _WORD, integer])
        callee = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(callee, [integer(1), args[1], args[2], integer(0)])

    return int64(int64, int64, int64), emit


@cache
def table() -> NDArray[np.int64] | None:
    """Return the table; None if this Python or NumPy lays its objects out in another way."""
    array = np.zeros(5, np.float32)[::2]
    words = (ctypes.c_int64 * _WORDS).from_address(id(array))
    if not getattr(sys, "_is_gil_enabled", lambda: True)() or (
        words[_TYPE] != id(np.ndarray)
        or words[_DATA] != array.__array_interface__["data"][0]
        or words[_DIMENSIONS] & 0xFFFFFFFF != 1
        or ctypes.c_int64.from_address(words[_SHAPE]).value != 3
        or ctypes.c_int64.from_address(words[_STRIDES]).value != 8
        or words[_DTYPE] != id(array.dtype)
    ):
        return None
    capsule = import_module("numpy._core._multiarray_umath")._ARRAY_API
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    functions = (ctypes.c_int64 * (_PYARRAY_EMPTY + 1)).from_address(get(capsule, None))
    objects = (np.ndarray, array.dtype, str, int, float, None)
    return np.array([*map(id, objects), functions[_PYARRAY_EMPTY], 0], np.int64)


@inlined
def has_type(fields, value, kind):
    """Tell whether the type of an object, and no base of it, is the one at ``kind`` of a table."""
    return int64s_at(value, int64(_WORDS))[_TYPE] == fields[kind]


@inlined
def read_text(fields, text):
    """Return the address of the UTF-8 of a str, 0 if it has a lone surrogate, and its length."""
    room = fields.ctypes.data + 8 * ROOM
    data = _utf8(text, room)
    if data == 0:
        _clear_error()
    return data, fields[ROOM]


@inlined
def read_unsigned(fields, value):
    """Return whether an object is an int of 64 bits without a sign, and its value."""
    if not has_type(fields, value, INTEGER):
        return False, _ZERO
    number = _unsigned(value)
    if number == ~_ZERO and _error() != 0:
        _clear_error()
        return False, _ZERO
    return True, number


@inlined
def read_time(fields, value):
    """Return whether an object is a finite float, or None, and its value, NaN for None."""
    if value == fields[NONE]:
        return True, np.nan
    if not has_type(fields, value, FLOAT):
        return False, np.nan
    time = _double(value)
    return time - time == 0.0, time


@inlined
def is_row(fields, value, count):
    """Tell whether an object is an array of so many float32 in one dimension, in any layout."""
    words = int64s_at(value, int64(_WORDS))
    return (
        words[_TYPE] == fields[ARRAY]
        and words[_DTYPE] == fields[FLOAT32]
        and half_at(value + 8 * _DIMENSIONS) == _ONE
        and int64s_at(words[_SHAPE], int64(1))[0] == count
    )


@inlined
def copy_row(value, to, count):
    """Copy so many float32 of an array for which :func:`is_row` holds to an address."""
    words = int64s_at(value, int64(_WORDS))
    stride = int64s_at(words[_STRIDES], int64(1))[0]
    if stride == 4:
        copy_bytes(to, words[_DATA], 4 * count)
        return
    copy = floats_at(to, count)
    for n in range(count):
        copy[n] = floats_at(words[_DATA] + stride * n, int64(1))[0]


@inlined
def data_of(array):
    """Return the address of the data of an array."""
    return int64s_at(array, int64(_WORDS))[_DATA]


@inlined
def new_floats(fields, count):
    """Return the address of a new float32[count], 0 if there is no memory, and of its numbers."""
    fields[ROOM] = count
    _take(fields[FLOAT32])
    made = _call_empty(fields[EMPTY], fields.ctypes.data + 8 * ROOM, fields[FLOAT32])
    if made == 0:
        _clear_error()
        return int64(0), int64(0)
    return made, data_of(made)


@inlined
def returned(fields, value):
    """Return the new object at an address; None for address 0."""
    if value != 0:
        return value
    _take(fields[NONE])
    return fields[NONE]
