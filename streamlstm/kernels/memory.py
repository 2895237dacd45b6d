"""Arrays by address, and calls by address: how compiled code passes much in few arguments.

Unboxing an array costs some 30 ns in a call from Python, an integer 5. What belongs together
stands in one table of addresses; whoever makes the table keeps what it points to alive.
"""

from typing import Any

from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
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
def call_at(_typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call the compiled function of four int64 that stands at an address; it returns nothing.

    The convention is Numba's own: room for a result and for an exception, then the arguments, and
    a status is returned. A wrapper in C's convention would cost some ns and take as long to
    compile as the function. No kernel raises, so the status is not looked at.
    """

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        integer, untyped = ir.IntType(64), ir.IntType(8).as_pointer()
        room = cgutils.alloca_once(builder, untyped)
        exception = cgutils.alloca_once(builder, untyped)
        kind = ir.FunctionType(ir.IntType(32), [room.type, exception.type, *[integer] * 4])
        callee = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(callee, [room, exception, *args[1:]])
        return ir.Constant(integer, 0)

    return types.int64(*[types.int64] * 5), emit
