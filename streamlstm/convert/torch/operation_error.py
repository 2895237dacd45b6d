"""What ends a run of a program: an operation that cannot be called."""

from collections.abc import Callable
from typing import Any

from ..common.frameworks import first_line

Run = Callable[[str, Any, list[Any]], Any]  # name, schema, arguments


class OperationError(RuntimeError):
    """An operation of a program cannot be called with what it is given.

    No :class:`.ConvertError`: another form of input may fit.

    Parameters
    ----------
    name : str
        Of the operation.
    error : Exception
        What PyTorch raised.
    done : int
        Operations that ran before.
    """

    def __init__(self, name: str, error: Exception, done: int) -> None:
        super().__init__(f"{name}: {first_line(error)}")
        self.done = done
