"""Load translated kernels and launch them on arrays of numpy."""

import ctypes
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from .__main__ import build


class FaultError(Exception):
    """What a kernel did that hardware, or the order of its threads, would not forgive."""


class _Piece(ctypes.Structure):
    _fields_ = [("start", ctypes.c_size_t), ("size", ctypes.c_size_t)]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_size_t),
        ("pieces", ctypes.POINTER(_Piece)),
        ("count", ctypes.c_size_t),
        ("message", ctypes.c_char_p),
        ("room", ctypes.c_size_t),
    ]


class _Kernel(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("params", ctypes.c_size_t),
        ("sizes", ctypes.POINTER(ctypes.c_size_t)),
        ("static_shared", ctypes.c_size_t),
        ("run", ctypes.c_void_p),
    ]


class Module:
    """Kernels of one module of PTX."""

    def __init__(self, ptx: str) -> None:
        library = ctypes.CDLL(str(_translated(ptx)))
        count = ctypes.c_size_t.in_dll(library, "softgpu_kernel_count").value
        self.kernels = list((_Kernel * count).in_dll(library, "softgpu_kernels"))
        self._library = library

    def launch(self, grid: int, block: int, shared: int, *arguments: Any) -> None:
        """Run the first kernel; arrays are one-dimensional, and all memory that it may touch.

        An array is passed as numba does: owner, parent, items, bytes of one, data, shape, strides.
        """
        kernel, params, pieces = self.kernels[0], [], []
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                data, size = argument.ctypes.data, argument.itemsize
                params += [0, 0, argument.size, size, data, argument.size, size]
                pieces.append((data, argument.nbytes))
            else:
                params.append(argument)
        assert len(params) == kernel.params
        values = (ctypes.c_int64 * len(params))(*params)
        pointers = (ctypes.c_void_p * len(params))(
            *(ctypes.addressof(values) + 8 * n for n in range(len(params)))
        )
        known = (_Piece * len(pieces))(*sorted(pieces))
        message = ctypes.create_string_buffer(4000)
        launch = _Launch(
            (grid, 1, 1),
            (block, 1, 1),
            shared,
            known,
            len(pieces),
            ctypes.cast(message, ctypes.c_char_p),
            len(message),
        )
        run = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(_Launch)
        )(kernel.run)
        if run(pointers, ctypes.byref(launch)):
            raise FaultError(message.value.decode())


def _translated(ptx: str) -> Path:
    """Return a module as a shared object, made once for each text."""
    made = build() / f"module-{sha256(ptx.encode()).hexdigest()[:16]}.so"
    if not made.exists():
        fresh = made.with_name(f"{made.stem}-{os.getpid()}.so")
        source = fresh.with_suffix(".ptx")
        source.write_text(ptx)
        ran = subprocess.run(
            [sys.executable, "-m", "tests.softgpu.translate", str(source), str(fresh)],
            capture_output=True,
            text=True,
            timeout=300,
        )
        if ran.returncode:
            raise ValueError(ran.stderr)
        fresh.rename(made)
    return made
