"""Decorate kernels for CUDA; compiled code is cached on disk under a hash of all sources."""

from collections.abc import Callable
from inspect import signature
from typing import Any

from numba import cuda

from ..cache import sources_hash
from ..disk_cache import say_unkept
from .sizes import SIMULATED


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a kernel.

    Parameters
    ----------
    **options
        Passed to :func:`numba.cuda.jit`; the simulator takes none.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        if SIMULATED:
            return cuda.jit(function)
        # Numba names the file after __qualname__, and watches no other file than the function's.
        function.__qualname__ = f"{function.__name__}_{sources_hash()}"
        if "lto" in signature(cuda.jit).parameters:
            # numba-cuda's linker would optimise once more, and what the tests look at, PTX and what
            # ptxas makes of it, would not be what runs.
            options["lto"] = False
        # The function is passed at once: as a decorator with options numba-cuda loses some of them.
        try:
            return cuda.jit(function, cache=True, **options)
        except RuntimeError as error:  # no folder for it can be written
            say_unkept(str(error))
            return cuda.jit(function, **options)

    return decorate
