"""How a function becomes a kernel: kept on disk where numba does so, as those for the CPU are."""

from collections.abc import Callable
from typing import Any

from numba import cuda

from ..cache import sources_hash
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
        return cuda.jit(cache=True, **options)(function)

    return decorate
