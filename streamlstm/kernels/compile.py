"""Compile every kernel once, before anything is promised to be quick."""

import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any

from numba import config, float32, int64, types

from . import layout, step
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
    layers = [*step.LAYERS.values(), *step.SINGLES.values(), *step.SHORT.values()]
    kernels: dict[str, tuple[Any, tuple[Any, ...]]] = {
        function.__name__: (function, _BY_ADDRESS) for function in (*layers, step.step_range)
    }
    kernels["one thread"] = (step.step_block, (int64, _slots, _matrix, _matrix))
    if can_run_parallel():
        signature = (int64, _slots, _matrix, _matrix, int64)
        kernels["several threads"] = (step.step_parallel, signature)
    return kernels


def needed(kinds: Iterable[int], precision: str) -> list[str]:
    """Return the names of the kernels that step layers of these kinds (layout.py)."""
    layers = {step.LAYERS[kind].__name__ for kind in kinds}
    layers |= {single(kind, precision).__name__ for kind in kinds}
    every = {function.__name__ for function in (*step.LAYERS.values(), *step.SINGLES.values())}
    every |= {function.__name__ for function in step.SHORT.values()}
    return [name for name in _kernels() if name in layers or name not in every]


def single(kind: int, precision: str) -> Any:
    """Return the kernel that steps a single stream through a layer of this kind."""
    short = kind == layout.LSTM and precision in step.SHORT
    return step.SHORT[precision] if short else step.SINGLES[kind]


def is_warm(names: Iterable[str] | None = None) -> bool:
    """Tell whether kernels (all, if left out) are compiled, in this process or on disk."""
    kernels = _kernels()
    return all(name in _ready or is_cached(kernels[name][0]) for name in names or kernels)


def prepare(progress: Progress | None = None, names: Iterable[str] | None = None) -> None:
    """Load kernels from disk, or compile them and keep them there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each kernel and once at the end.
    names : iterable of str, optional
        Which ones, as :func:`needed` gives them; all if left out.
    """
    kernels = _kernels()
    wanted = list(names or kernels)
    with _lock:
        for done, name in enumerate(wanted):
            if progress is not None:
                progress(done, len(wanted), name)
            if name not in _ready:
                if name == "several threads":
                    config.THREADING_LAYER = "omp"
                kernel, signature = kernels[name]
                kernel.compile(signature)
                _ready.add(name)
        if progress is not None:
            progress(len(wanted), len(wanted), "done")


def address(function: Any) -> int:
    """Return where a compiled kernel that takes four integers stands in memory."""
    compiled = function.overloads[_BY_ADDRESS]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def entry(name: str) -> Callable[..., Any]:
    """Return a compiled kernel as Python calls it quickest: types of arguments are not checked."""
    function, signature = _kernels()[name]
    fast: Callable[..., Any] = function.get_overload(signature)
    return fast
