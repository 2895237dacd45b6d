"""Compile every kernel once, before anything is promised to be quick."""

import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from numba import config, float32, int64, types

from . import step
from .cache import is_cached

Progress = Callable[[int, int, str], None]

_lock = threading.Lock()
_ready: set[str] = set()

_vector = types.Array(float32, 1, "C")
_matrix = types.Array(float32, 2, "C")
_SIGNATURE = (_vector, types.Array(int64, 1, "C"), _vector, types.Array(int64, 1, "C")) + (
    _matrix,
) * 3


@cache
def can_run_parallel() -> bool:
    """Tell whether blocks can be shared among threads here: whether there is an OpenMP runtime.

    OpenMP wakes its threads in microseconds. Numba's own workqueue layer takes more than a hundred
    and may not be entered from two threads at once; without OpenMP one thread is used.
    """
    try:
        import_module("numba.np.ufunc.omppool")
    except ImportError:
        return False
    return True


def _kernels() -> dict[str, Any]:
    kernels = {"one thread": step.step_block}
    if can_run_parallel():
        kernels["several threads"] = step.step_parallel
    return kernels


def is_warm() -> bool:
    """Tell whether all kernels are compiled, in this process or on disk."""
    return all(name in _ready or is_cached(kernel) for name, kernel in _kernels().items())


def prepare(progress: Progress | None = None) -> None:
    """Load every kernel from disk, or compile it and keep it there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each kernel and once at the end.
    """
    kernels = _kernels()
    with _lock:
        for done, (name, kernel) in enumerate(kernels.items()):
            if progress is not None:
                progress(done, len(kernels), name)
            if name not in _ready:
                if name == "several threads":
                    config.THREADING_LAYER = "omp"
                kernel.compile(_SIGNATURE)
                _ready.add(name)
        if progress is not None:
            progress(len(kernels), len(kernels), "done")
