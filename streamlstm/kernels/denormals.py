"""Treat numbers that are too small for full precision as zero, for a while.

A mean that decays on a constant stream ends among the denormal numbers, below 1e-38, where every
operation takes a hundred cycles: a step took 30 us instead of 2. ARM computes with them at full
speed.
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_IS_X86 = platform.machine() in ("x86_64", "AMD64")
_FLUSH = 0x8040  # results that are denormal become zero, and so do operands
_INT, _BYTE = ir.IntType(32), ir.IntType(8)


def _call(builder: Any, name: str, room: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer()])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [builder.bitcast(room, _BYTE.as_pointer())])


@intrinsic
def flush_denormals(_typing: Any) -> Any:
    """Compute with zero in place of denormal numbers; return what :func:`restore` takes."""

    def emit(_context: Any, builder: Any, _signature: Any, _args: Any) -> Any:
        room = cgutils.alloca_once(builder, _INT)
        if not _IS_X86:
            return ir.Constant(ir.IntType(64), 0)
        _call(builder, "llvm.x86.sse.stmxcsr", room)
        before = builder.load(room)
        builder.store(builder.or_(before, ir.Constant(_INT, _FLUSH)), room)
        _call(builder, "llvm.x86.sse.ldmxcsr", room)
        return builder.zext(before, ir.IntType(64))

    return types.int64(), emit


@intrinsic
def restore(_typing: Any, before: Any) -> Any:
    """Compute with denormal numbers as before :func:`flush_denormals`."""

    def emit(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        if _IS_X86:
            room = cgutils.alloca_once(builder, _INT)
            builder.store(builder.trunc(args[0], _INT), room)
            _call(builder, "llvm.x86.sse.ldmxcsr", room)
        return context.get_dummy_value()

    return types.void(types.int64), emit
