"""Compile kernels, or load them from disk, before they are needed; call them from Python."""

import os
import threading
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from numba import config, float32, int64, types

from . import (
    dirty,
    eight_bits,
    eviction,
    id_lookup,
    layout,
    listing,
    objects,
    pairs,
    partition,
    recurrent_single,
    sharing,
    simd,
    single_step,
    step,
)
from .cache import is_cached
from .disk_cache import announce
from .online import label
from .online.before import before
from .online.before_block import before_tiles
from .online.behind import behind
from .online.behind_block import behind_tiles

Progress = Callable[[int, int, str], None]
Signature = tuple[Any, ...]
Signatures = dict[Any, Signature]  # of each kernel

_lock = threading.Lock()
_ready: set[str] = set()
_parallel_in: set[int] = set()  # the process that has loaded OpenMP

# Names of groups of kernels, as a display of progress shows them.
_ID_LOOKUP, _STEP = "stream id lookup", "step"
STEP_PARALLEL = "step on several threads"
ONLINE, LABELS = "online stage", "labels from outside"
PARTITION = "partitions of a fleet"
DIRTY_TRACKING, EVICTION = "dirty tracking", "eviction of idle streams"

# Kernels of the plain LSTM, where this processor adds several products of a precision at once.
NARROW: dict[str, tuple[Any, Any]] = {}
if simd.PAIRS:
    NARROW["bfloat16"] = pairs.lstm_pairs, pairs.lstm_pairs_single
if simd.BYTES:
    NARROW["int8"] = eight_bits.lstm_bytes, eight_bits.lstm_bytes_single

_slots, _matrix = types.Array(int64, 1, "C"), types.Array(float32, 2, "C")
_BY_ADDRESS: Signature = (int64,) * 4
_BLOCK: Signature = (int64, _slots, _matrix, _matrix, int64)
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


def is_forked_from_parallel() -> bool:
    """Tell whether the process that forked this one had loaded OpenMP, which ends the child."""
    return bool(_parallel_in) and os.getpid() not in _parallel_in


@cache
def _kernels() -> dict[str, Signatures]:
    """Return every group of kernels by name, those that take longest to compile first."""
    layers = (
        *step.LAYERS.values(),
        *step.SINGLES.values(),
        *recurrent_single.LSTM_16_BITS.values(),
        *(kernel for kernels in NARROW.values() for kernel in kernels),
    )
    kernels: dict[str, Signatures] = {_ID_LOOKUP: id_lookup.SIGNATURES | listing.SIGNATURES}
    block = {step.step_range: _BY_ADDRESS, step.step_block: _BLOCK, step.step_run: _BLOCK}
    kernels[_STEP] = block | single_step.SIGNATURES
    kernels[ONLINE] = dict.fromkeys((before, before_tiles, behind, behind_tiles), _BY_ADDRESS)
    kernels[LABELS] = label.SIGNATURES
    kernels[STEP_PARALLEL] = {
        step.step_shared: _BY_ADDRESS,
        sharing.step_sharing: _BY_ADDRESS,
        step.step_parallel: _PARALLEL,
    }
    kernels |= {_layer_name(function): {function: _BY_ADDRESS} for function in layers}
    kernels[DIRTY_TRACKING] = dirty.SIGNATURES
    kernels[EVICTION] = eviction.SIGNATURES
    kernels[PARTITION] = partition.SIGNATURES
    return kernels


def all_names() -> list[str]:
    """Return the names of all groups of kernels that can be compiled here."""
    return [name for name in _kernels() if name != STEP_PARALLEL or can_run_parallel()]


def all_kernels() -> list[Any]:
    """Return all kernels of these groups."""
    return [kernel for name in all_names() for kernel in _kernels()[name]]


def register(name: str, kernels: Signatures) -> None:
    """Add a group of kernels of another package, under a name that a display of progress shows."""
    _kernels()[name] = kernels


def module_of(name: str) -> str:
    """Return the module that has a group of kernels, and that registers it."""
    module: str = next(iter(_kernels()[name])).py_func.__module__
    return module


def _name(function: Any) -> str:
    name: str = function.py_func.__name__
    return name


def _layer_name(function: Any) -> str:
    """Return ``"lstm norm, single stream"`` for the kernel ``lstm_norm_single``."""
    return _name(function).replace("_single", ", single stream").replace("_", " ")


def needed(
    kinds: Iterable[int],
    precision: str,
    threads: int = 1,
    online: bool = False,
    labels: bool = False,
) -> list[str]:
    """Return the names of the groups of kernels that step layers of these kinds (layout.py)."""
    functions = (function for kind in kinds for function in layer_kernels(kind, precision))
    names = {_ID_LOOKUP, _STEP} | {_layer_name(function) for function in functions}
    if threads > 1:
        names.add(STEP_PARALLEL)
    names |= {ONLINE} if online else set()
    names |= {LABELS} if labels else set()
    return [name for name in _kernels() if name in names]


def layer_kernels(kind: int, precision: str) -> tuple[Any, Any]:
    """Return the kernels of a kind of layer: for a group of streams, and for a single stream."""
    single = step.SINGLES[kind]
    if kind == layout.LSTM:
        if precision in NARROW:
            return NARROW[precision]
        single = recurrent_single.LSTM_16_BITS.get(precision, single)
    return step.LAYERS[kind], single


def is_warm(names: Iterable[str] | None = None) -> bool:
    """Tell whether kernels (all, if left out) are compiled, in this process or on disk."""
    kernels = _kernels()
    return all(
        name in _ready or all(is_cached(kernel) for kernel in kernels[name])
        for name in names or all_names()
    )


def prepare(progress: Progress | None = None, names: Iterable[str] | None = None) -> None:
    """Load kernels from disk, or compile and cache them there.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each group of them and once at the end.
    names : iterable of str, optional
        Of the groups, as :func:`needed` returns them; all if left out.
    """
    kernels = _kernels()
    wanted = list(names or all_names())
    with _lock:
        for done, name in enumerate(wanted):
            if progress is not None:
                progress(done, len(wanted), name)
            if name not in _ready:
                if name == STEP_PARALLEL:
                    config.THREADING_LAYER = "omp"
                    _parallel_in.add(os.getpid())
                for kernel in kernels[name]:
                    if not is_cached(kernel):
                        announce(kernel)
                for kernel, signature in kernels[name].items():
                    kernel.compile(signature)
                _ready.add(name)
        if progress is not None:
            progress(len(wanted), len(wanted), "done")


def _entries(kernels: Signatures) -> SimpleNamespace:
    """Return compiled kernels as Python calls them, by name."""
    return SimpleNamespace(
        **{_name(kernel): entry(kernel, kind) for kernel, kind in kernels.items()}
    )


@cache
def id_entries() -> SimpleNamespace:
    """Return the entry points of the table of streams (id_lookup.py, listing.py), compiled."""
    prepare(None, [_ID_LOOKUP])
    return _entries(_kernels()[_ID_LOOKUP])


@cache
def dirty_entries() -> SimpleNamespace:
    """Return the entry points of dirty tracking (dirty.py), by name, compiled."""
    prepare(None, [DIRTY_TRACKING])
    return _entries(dirty.SIGNATURES)


@cache
def eviction_entries() -> SimpleNamespace:
    """Return the entry points of eviction (eviction.py), by name, compiled."""
    prepare(None, [EVICTION])
    return _entries(eviction.SIGNATURES)


@cache
def partition_entries() -> SimpleNamespace:
    """Return the entry points of partitions (partition.py), by name, compiled."""
    prepare(None, [PARTITION])
    return _entries(partition.SIGNATURES)


@cache
def label_entries() -> SimpleNamespace:
    """Return the entry point of labels (online/label.py), compiled."""
    prepare(None, [LABELS])
    return _entries(label.SIGNATURES)


@cache
def step_entries(parallel: bool = False) -> SimpleNamespace:
    """Return the entry points of a backend (step.py, single_step.py), by name, compiled before.

    Those of single_step.py are to be bound (objects.py).
    """
    kernels = _kernels()[_STEP] | (_kernels()[STEP_PARALLEL] if parallel else {})
    others = (_BY_ADDRESS, objects.METHOD)
    entries = _entries({kernel: kind for kernel, kind in kernels.items() if kind not in others})
    for kernel in single_step.SIGNATURES:
        setattr(entries, _name(kernel), objects.method(kernel))
    return entries


def entry(function: Any, signature: Signature) -> Callable[..., Any]:
    """Return a compiled kernel in the form that Python calls fastest.

    A call takes a tenth of a microsecond; through the dispatcher, which looks at the types first,
    it takes two if there is a str among them. The types must be those of the signature; nothing
    checks them.
    """
    fast: Callable[..., Any] = function.get_overload(signature)
    return fast


def address(function: Any) -> int:
    """Return the address in memory of a compiled kernel that takes four integers."""
    compiled = function.overloads[_BY_ADDRESS]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
