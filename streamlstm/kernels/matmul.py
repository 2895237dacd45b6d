"""The register-tiled matrix product over packed weight panels.

A panel holds the weights of ``columns * LANES`` outputs: first their biases, then for each of
the K inputs one row of ``columns`` vectors. A tile multiplies ``rows`` streams with one or two
panels; its sums stay in registers for the whole of K:

    Z[row, column] = bias[column] + sum over k of A[row, k] * weight[k, column]

Every sum is taken in the same order of k with fused multiply-add, whatever the tile: a stream's
result does not depend on how many streams it is stepped with. (Where ``chains`` > 1 a sum is
split into that many interleaved ones, to hide the latency of the addition in narrow products;
then the split is the same in every tile of that width.)
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import simd


def product_tile(rows: int, columns: int, panels: int = 1, chains: int = 1) -> Any:
    """Make the intrinsic that multiplies one tile.

    Parameters
    ----------
    rows, columns, panels, chains : int
        Shape of the tile, fixed when the kernel is compiled; registers needed are about
        ``rows * columns * panels * chains + columns + 1``.

    Returns
    -------
    intrinsic
        ``tile(A, a, a_stride, W, w, w_stride, panel_stride, K, Z, z, z_stride)``: rows of A
        start at ``a + row * a_stride``; the weights of input k at ``w + k * w_stride``, of which
        the tile takes ``columns`` vectors, the bias stands one row before them; panels are
        ``panel_stride`` apart. Row r of panel p goes to ``z + (p * rows + r) * z_stride``.
    """

    @intrinsic
    def tile(
        _typing: Any,
        A: Any,
        a: Any,
        a_stride: Any,
        W: Any,
        w: Any,
        w_stride: Any,
        panel_stride: Any,
        K: Any,
        Z: Any,
        z: Any,
        z_stride: Any,
    ) -> Any:
        signature = types.void(A, *[types.intp] * 2, W, *[types.intp] * 4, Z, *[types.intp] * 2)

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _emit_tile(context, builder, signature, args, (rows, columns, panels, chains))
            return context.get_dummy_value()

        return signature, emit

    return tile


def _emit_tile(context: Any, builder: Any, signature: Any, args: Any, shape: Any) -> None:
    A, a, a_stride, W, w, w_stride, panel_stride, K, Z, z, z_stride = args
    rows, columns, panels, chains = shape
    integer = a.type

    def number(value: int) -> Any:
        return ir.Constant(integer, value)

    def address(array_index: int, array: Any, offset: Any) -> Any:
        return simd.element_pointer(context, builder, signature.args[array_index], array, offset)

    def advance(pointer: Any, count: Any) -> Any:
        return builder.gep(pointer, [count])

    inputs = [address(0, A, builder.add(a, builder.mul(a_stride, number(r)))) for r in range(rows)]
    weights = [
        address(3, W, builder.add(w, builder.mul(panel_stride, number(p)))) for p in range(panels)
    ]
    bias_row = builder.neg(w_stride)
    zero = ir.Constant(simd.VECTOR, [0.0] * simd.LANES)
    sums: dict[tuple[int, int, int, int], Any] = {}
    for p in range(panels):
        for c in range(columns):
            bias = simd.emit_load(
                builder, advance(weights[p], builder.add(bias_row, number(c * simd.LANES)))
            )
            for r in range(rows):
                for chain in range(chains):
                    # Allocas at the entry become registers: LLVM promotes every one of them.
                    slot = cgutils.alloca_once(builder, simd.VECTOR)
                    builder.store(zero if chain else bias, slot)
                    sums[p, r, c, chain] = slot

    def multiply(k: Any, chain: int) -> None:
        row = builder.mul(k, w_stride)
        loaded = [
            [
                simd.emit_load(
                    builder, advance(weights[p], builder.add(row, number(c * simd.LANES)))
                )
                for c in range(columns)
            ]
            for p in range(panels)
        ]
        for r in range(rows):
            x = simd.emit_splat(builder, builder.load(advance(inputs[r], k)))
            for p in range(panels):
                for c in range(columns):
                    slot = sums[p, r, c, chain]
                    value = builder.load(slot)
                    builder.store(simd.emit_fma(builder, x, loaded[p][c], value), slot)

    whole = builder.sub(K, builder.srem(K, number(chains)))
    with cgutils.for_range_slice(builder, number(0), whole, number(chains), integer) as (k, _):
        for chain in range(chains):
            multiply(builder.add(k, number(chain)), chain)
    for chain in range(chains - 1):
        k = builder.add(whole, number(chain))
        with builder.if_then(builder.icmp_signed("<", k, K)):
            multiply(k, chain)

    target = address(8, Z, z)
    for p in range(panels):
        for r in range(rows):
            for c in range(columns):
                parts = [builder.load(sums[p, r, c, chain]) for chain in range(chains)]
                while len(parts) > 1:
                    parts = [builder.fadd(parts[n], parts[n + 1]) for n in range(0, len(parts), 2)]
                offset = builder.mul(z_stride, number(p * rows + r))
                offset = builder.add(offset, number(c * simd.LANES))
                simd.emit_store(builder, parts[0], advance(target, offset))
