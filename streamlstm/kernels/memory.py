"""Arrays by address, and calls by address: how compiled code passes much in few arguments.

Unboxing an array costs some 30 ns in a call from Python, an integer 5. What belongs together
stands in one table of addresses; whoever makes the table keeps what it points to alive.
"""

from typing import Any

from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic


@intrinsic
def _pointer(_typing: Any, address: Any) -> Any:
    """Take an integer as an untyped pointer."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), emit


@njit(inline="always")
def array_at(address, count, dtype):
    """View ``count`` elements of ``dtype`` from ``address`` on as an array; nothing is owned."""
    return carray(_pointer(address), (count,), dtype)


@intrinsic
def call_at(_typing: Any, function: Any, task: Any, first: Any, last: Any, thread: Any) -> Any:
    """Call the C function ``void f(int64, int64, int64, int64)`` at the address ``function``."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [integer] * 4)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
        return ir.Constant(integer, 0)

    return types.int64(*[types.int64] * 5), emit
