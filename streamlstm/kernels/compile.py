"""Compile every kernel once, before anything is promised to be quick."""

import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from numba import config, float32, int64, types

from . import (
    dirty,
    id_lookup,
    idle,
    layout,
    single_step,
    step,
)
from .cache import is_cached

Progress = Callable[[int, int, str], None]

_lock = threading.Lock()
_ready: set[str] = set()

_IDS, _STEP, _THREADS = "stream ids", "step", "several threads"
CHANGED, LEAVING = "changed streams", "idle streams"

Signature = tuple[Any, ...]
_slots, _matrix = types.Array(int64, 1, "C"), types.Array(float32, 2, "C")
_BY_ADDRESS: Signature = (int64,) * 4
_BLOCK: Signature = (int64, _slots, _matrix, _matrix)
_PARALLEL: Signature = (*_BLOCK, int64)


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
def _kernels() -> dict[str, list[tuple[Any, Signature]]]:
    """Return every kernel, with its signature, by what the person is told that it is for."""
    layers = (*step.LAYERS.values(), *step.SINGLES.values(), *step.SHORT.values())
    kernels: dict[str, list[tuple[Any, Signature]]] = {
        _name(function): [(function, _BY_ADDRESS)] for function in layers
    }
    kernels[_IDS] = list(id_lookup.SIGNATURES.items())
    kernels[CHANGED] = list(dirty.SIGNATURES.items())
    kernels[LEAVING] = list(idle.SIGNATURES.items())
    kernels[_STEP] = [(step.step_range, _BY_ADDRESS), (step.step_block, _BLOCK)]
    kernels[_STEP] += single_step.SIGNATURES.items()
    if can_run_parallel():
        kernels[_THREADS] = [(step.step_shared, _BY_ADDRESS), (step.step_parallel, _PARALLEL)]
    return kernels


def register(name: str, kernels: list[tuple[Any, Signature]]) -> None:
    """Let kernels that stand elsewhere be prepared here, under a name for the person to read."""
    _kernels()[name] = kernels


def _name(function: Any) -> str:
    name: str = function.py_func.__name__
    return name


def needed(kinds: Iterable[int], precision: str) -> list[str]:
    """Return the names of the kernels that step layers of these kinds (layout.py)."""
    layers = {_name(function) for kind in kinds for function in layer_kernels(kind, precision)}
    return [name for name in _kernels() if name in layers or name in (_IDS, _STEP, _THREADS)]


def layer_kernels(kind: int, precision: str) -> tuple[Any, Any]:
    """Return what steps a group of streams through a layer of a kind, and what a single one."""
    short = kind == layout.LSTM and precision in step.SHORT
    return step.LAYERS[kind], step.SHORT[precision] if short else step.SINGLES[kind]


def is_warm(names: Iterable[str] | None = None) -> bool:
    """Tell whether kernels (all, if left out) are compiled, in this process or on disk."""
    kernels = _kernels()
    return all(
        name in _ready or all(is_cached(kernel) for kernel, _ in kernels[name])
        for name in names or kernels
    )


def prepare(progress: Progress | None = None, names: Iterable[str] | None = None) -> None:
    """Load kernels from disk, or compile them and keep them there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each of them and once at the end.
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
                if name == _THREADS:
                    config.THREADING_LAYER = "omp"
                for kernel, signature in kernels[name]:
                    kernel.compile(signature)
                _ready.add(name)
        if progress is not None:
            progress(len(wanted), len(wanted), "done")


@cache
def id_entries() -> SimpleNamespace:
    """Return what a table of streams is asked (id_lookup.py), by name, compiled."""
    prepare(None, [_IDS])
    entries = {_name(kernel): entry(kernel, kind) for kernel, kind in id_lookup.SIGNATURES.items()}
    return SimpleNamespace(**entries)


@cache
def changed_entries() -> SimpleNamespace:
    """Return what tells which streams changed (dirty.py), by name, compiled."""
    prepare(None, [CHANGED])
    entries = {_name(kernel): entry(kernel, kind) for kernel, kind in dirty.SIGNATURES.items()}
    return SimpleNamespace(**entries)


@cache
def leaving_entries() -> SimpleNamespace:
    """Return what finds streams that were idle and frees their slots (idle.py), compiled."""
    prepare(None, [LEAVING])
    entries = {_name(kernel): entry(kernel, kind) for kernel, kind in idle.SIGNATURES.items()}
    return SimpleNamespace(**entries)


@cache
def step_entries() -> SimpleNamespace:
    """Return what a backend calls (step.py), by name, compiled."""
    kernels = [pair for name in (_STEP, _THREADS) for pair in _kernels().get(name, [])]
    entries = {
        _name(kernel): entry(kernel, kind) for kernel, kind in kernels if kind != _BY_ADDRESS
    }
    return SimpleNamespace(**entries)


def entry(function: Any, signature: Signature) -> Callable[..., Any]:
    """Return a compiled kernel as Python calls it quickest.

    It takes a tenth of a microsecond a call, where the dispatcher, which looks at the types first,
    takes two if there is a str among them. So types must be those of the signature; nothing looks
    at them.
    """
    fast: Callable[..., Any] = function.get_overload(signature)
    return fast


def address(function: Any) -> int:
    """Return where a compiled kernel that takes four integers stands in memory."""
    compiled = function.overloads[_BY_ADDRESS]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
