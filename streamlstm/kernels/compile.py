"""Compile every kernel once, before anything is promised to be quick."""

import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from numba import config, float32, int64, types

from . import idblocks, step
from .cache import is_cached

Progress = Callable[[int, int, str], None]

_lock = threading.Lock()
_ready: set[str] = set()

_IDS, _THREADS = "stream ids", "several threads"

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


def _kernels() -> dict[str, list[tuple[Any, Any]]]:
    """Return the kernels by what the person is told they are for, with their signatures."""
    kernels = {
        _IDS: list(idblocks.SIGNATURES.items()),
        "one thread": [(step.step_block, _SIGNATURE)],
    }
    if can_run_parallel():
        kernels[_THREADS] = [(step.step_parallel, _SIGNATURE)]
    return kernels


def is_warm() -> bool:
    """Tell whether all kernels are compiled, in this process or on disk."""
    return all(
        name in _ready or all(is_cached(kernel) for kernel, _ in group)
        for name, group in _kernels().items()
    )


def prepare(progress: Progress | None = None) -> None:
    """Load every kernel from disk, or compile it and keep it there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each kernel and once at the end.
    """
    kernels = _kernels()
    with _lock:
        for done, (name, group) in enumerate(kernels.items()):
            if progress is not None:
                progress(done, len(kernels), name)
            _make(name, group)
        if progress is not None:
            progress(len(kernels), len(kernels), "done")


def _make(name: str, group: list[tuple[Any, Any]]) -> None:
    if name not in _ready:
        if name == _THREADS:
            config.THREADING_LAYER = "omp"
        for kernel, signature in group:
            kernel.compile(signature)
        _ready.add(name)


@cache
def id_entries() -> SimpleNamespace:
    """Return what a table of streams is asked (idblocks.py), by name, compiled.

    These are the compiled functions themselves: they take a tenth of a microsecond a call, where
    the dispatcher, which looks at the types first, takes two if there is a str among them. So
    types and layouts must be those of the signature; nothing looks at them.
    """
    with _lock:
        _make(_IDS, list(idblocks.SIGNATURES.items()))
    return SimpleNamespace(
        **{
            kernel.py_func.__name__: kernel.get_overload(signature)
            for kernel, signature in idblocks.SIGNATURES.items()
        }
    )
