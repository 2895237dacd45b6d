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

_BY_ADDRESS = (int64,) * 4
_slots = types.Array(int64, 1, "C")
_matrix = types.Array(float32, 2, "C")


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


@cache
def _kernels() -> dict[str, tuple[Any, tuple[Any, ...]]]:
    """Return every kernel by name, with its signature."""
    by_address = [*step.LAYERS.values(), *step.SINGLES.values(), step.step_range]
    kernels: dict[str, tuple[Any, tuple[Any, ...]]] = {
        function.__name__: (function, _BY_ADDRESS) for function in by_address
    }
    kernels["one thread"] = (step.step_block, (int64, _slots, _matrix, _matrix))
    if can_run_parallel():
        signature = (int64, _slots, _matrix, _matrix, int64)
        kernels["several threads"] = (step.step_parallel, signature)
    return kernels


def is_warm() -> bool:
    """Tell whether all kernels are compiled, in this process or on disk."""
    return all(name in _ready or is_cached(kernel) for name, (kernel, _) in _kernels().items())


def prepare(progress: Progress | None = None) -> None:
    """Load every kernel from disk, or compile it and keep it there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each kernel and once at the end.
    """
    kernels = _kernels()
    with _lock:
        for done, (name, (kernel, signature)) in enumerate(kernels.items()):
            if progress is not None:
                progress(done, len(kernels), name)
            if name not in _ready:
                if name == "several threads":
                    config.THREADING_LAYER = "omp"
                kernel.compile(signature)
                _ready.add(name)
        if progress is not None:
            progress(len(kernels), len(kernels), "done")


def address(function: Any) -> int:
    """Return where a compiled kernel that takes four integers stands in memory."""
    compiled = function.overloads[_BY_ADDRESS]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_cfunc_wrapper_name))


def entry(name: str) -> Callable[..., Any]:
    """Return a compiled kernel as Python calls it quickest: types of arguments are not checked."""
    function, signature = _kernels()[name]
    fast: Callable[..., Any] = function.get_overload(signature)
    return fast
