"""Functions of the online stage once more, for CUDA: the same source, compiled for a device.

What they call in their turn is looked up in a copy of their module's names, in which

- every function of ../online is one for CUDA,
- the products of least squares, and what takes nine numbers at once, are those without vectors,
- ``min`` and ``max`` are functions of two numbers that numba's own target for CUDA compiles.
"""

import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from numba import cuda
from numba.core.dispatcher import Dispatcher

from ..online import (
    elementary,
    elementary_scalar,
    least_squares,
    least_squares_scalar,
    nine,
    nine_scalar,
)
from .sizes import SIMULATED

_PACKAGE = f"{least_squares.__name__.rpartition('.')[0]}."
_INSTEAD = {
    least_squares.__name__: least_squares_scalar,
    elementary.__name__: elementary_scalar,
    nine.__name__: nine_scalar,
}
_made: dict[str, ModuleType] = {}


def device(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels call."""
    if not SIMULATED:
        return cuda.jit(device=True)(function)

    def called(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):  # as on hardware
            return function(*arguments)

    return called


@device
def _smaller(x, y):
    """Do what Python's ``min`` does, which returns ``x`` where one of them is NaN."""
    return y if y < x else x


@device
def _larger(x, y):
    """Do what Python's ``max`` does."""
    return y if y > x else x


def twin(module: ModuleType) -> ModuleType:
    """Return a module of ../online whose functions are for CUDA, made at the first call."""
    module = _INSTEAD.get(module.__name__, module)
    if module.__name__ not in _made:
        made = _made[module.__name__] = ModuleType(module.__name__)
        names = made.__dict__
        names.update(vars(module), min=_smaller, max=_larger)
        for name, value in vars(module).items():
            names[name] = _for_cuda(value, module, names)
    return _made[module.__name__]


def _for_cuda(value: Any, module: ModuleType, names: dict[str, Any]) -> Any:
    """Return what stands in a twin for a value of its module."""
    if isinstance(value, ModuleType):
        return twin(value) if value.__name__.startswith(_PACKAGE) else value
    if not isinstance(value, Dispatcher) or not value.py_func.__module__.startswith(_PACKAGE):
        return value
    function = value.py_func
    if function.__module__ == module.__name__:
        return device(FunctionType(function.__code__, names, function.__name__))
    return getattr(twin(sys.modules[function.__module__]), function.__name__)
