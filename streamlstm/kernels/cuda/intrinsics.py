"""Intrinsics: loads and stores of four floats, approximate exponential and quotient.

Each is one instruction, accurate to about two units in the last place. In numba's simulator the
same names are ordinary Python.
"""

from typing import Any

from numba import float32

from .sizes import SIMULATED

if SIMULATED:

    def load_four(S: Any, at: Any) -> Any:
        """Return the four floats of ``S`` from ``at`` on, a multiple of 4."""
        return S[at], S[at + 1], S[at + 2], S[at + 3]

    def store_four(S: Any, at: Any, x0: Any, x1: Any, x2: Any, x3: Any) -> None:
        """Store four floats at ``S[at]``, a multiple of 4."""
        S[at], S[at + 1], S[at + 2], S[at + 3] = x0, x1, x2, x3

    def power_of_two(x: Any) -> Any:
        """Return 2 to the power of ``x``."""
        return float32(2.0 ** max(float(x), -126.0))

    def quotient(x: Any, y: Any) -> Any:
        """Return ``x / y``, for ``y`` within 2**-126 and 2**126."""
        return x / y

else:
    from llvmlite import ir
    from numba import types
    from numba.cuda.extending import intrinsic

    _FOUR = ir.VectorType(ir.FloatType(), 4)

    def _place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Emit a pointer to the four floats at a position of an array."""
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.bitcast(builder.gep(array.data, [arguments[1]]), _FOUR.as_pointer())

    @intrinsic
    def load_four(typing: Any, S: Any, at: Any) -> Any:
        """Return the four floats of ``S`` from ``at`` on, a multiple of 4."""
        signature = types.UniTuple(types.float32, 4)(S, at)

        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature, arguments)
            loaded = builder.load(place)
            loaded.align = 16
            floats = [builder.extract_element(loaded, ir.IntType(32)(n)) for n in range(4)]
            return context.make_tuple(builder, signature.return_type, floats)

        return signature, lower

    @intrinsic
    def store_four(typing: Any, S: Any, at: Any, x0: Any, x1: Any, x2: Any, x3: Any) -> Any:
        """Store four floats at ``S[at]``, a multiple of 4."""
        signature = types.void(S, at, *[types.float32] * 4)

        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _place(context, builder, signature, arguments)
            vector = ir.Constant(_FOUR, ir.Undefined)
            for n, value in enumerate(arguments[2:]):
                vector = builder.insert_element(vector, value, ir.IntType(32)(n))
            stored = builder.store(vector, place)
            stored.align = 16
            return context.get_dummy_value()

        return signature, lower

    def _call(name: str, arity: int) -> Any:
        """Return signature and lowering of a function of NVVM that takes and returns float32."""
        signature = types.float32(*[types.float32] * arity)

        def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(ir.FloatType(), [ir.FloatType()] * arity)
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            return builder.call(function, arguments)

        return signature, lower

    @intrinsic
    def power_of_two(typing: Any, x: Any) -> Any:
        """Return 2 to the power of ``x``."""
        return _call("llvm.nvvm.ex2.approx.ftz.f", 1)

    @intrinsic
    def quotient(typing: Any, x: Any, y: Any) -> Any:
        """Return ``x / y``, for ``y`` within 2**-126 and 2**126."""
        return _call("llvm.nvvm.div.approx.ftz.f", 2)
