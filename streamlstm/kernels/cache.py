"""Decorators of kernels, which are cached on disk under a key that covers every kernel source.

Numba's cache watches only the file in which a function is defined: an edit of a helper in another
file would leave stale machine code. Here the name under which a kernel is cached contains a hash of
all sources in this folder, so that any edit makes a new entry. disk_cache.py says where.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit

from .disk_cache import KernelCache
from .inner_functions import InnerCompiler
from .simd import LANES, target

_HERE = Path(__file__).parent


@cache
def sources_hash(folder: Path = _HERE) -> str:
    """Return 12 hexadecimal digits that change with any kernel source, Numba, target or width.

    Parameters
    ----------
    folder : Path
        Of the kernel; the sources in it are hashed as well.
    """
    digest = hashlib.sha256(f"lanes={LANES} target={target()} {numba.__version__}".encode())
    for place in sorted({_HERE, folder}):
        for path in sorted(place.rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _hash_of(function: Callable[..., Any]) -> str:
    return sources_hash(Path(function.__code__.co_filename).parent)


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate an entry point: cached on disk, and releasing the GIL by default.

    Parameters
    ----------
    **options
        Passed to :func:`numba.njit`.
    """
    options = {"nogil": True, "error_model": "numpy", **options}

    def decorate(function: Callable[..., Any]) -> Any:
        # Numba names the cache file after __qualname__.
        function.__qualname__ = f"{function.__name__}-{_hash_of(function)}"
        dispatcher = njit(**options)(function)
        dispatcher._cache = KernelCache(function)  # what its option "cache" sets, to one that fails
        return dispatcher

    return decorate


def by_address(function: Callable[..., Any]) -> Any:
    """Decorate a kernel that only compiled code calls, by address (pointers.py)."""
    return kernel(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


_INNER: Any = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
    "pipeline_class": InnerCompiler,
}


def internal(function: Callable[..., Any]) -> Any:
    """Decorate a function that only compiled code calls.

    It gets no wrapper for Python or C, which would take as long to compile as the function.
    """
    return njit(**_INNER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Decorate a small function that LLVM inlines wherever it is called."""
    return njit(forceinline=True, **_INNER)(function)


def is_cached(dispatcher: Any) -> bool:
    """Tell whether machine code for ``dispatcher`` is on disk."""
    kept: bool = dispatcher._cache.is_kept()
    return kept
