"""The register-tiled matrix product over packed weight panels.

A panel holds the weights of ``columns * LANES`` outputs: first their biases, then for each of
the K inputs one row of ``columns`` vectors. A tile multiplies ``rows`` streams with one or two
panels; its sums stay in registers for the whole of K:

    Z[row, column] = bias[column] + sum over k of A[row, k] * weight[k, column]

Every sum is taken in the same order of k with fused multiply-add, whatever the tile: a stream's
result does not depend on how many streams it is stepped with. (Where ``chains`` > 1 a sum is
split into that many interleaved ones, to hide the latency of the addition in narrow products;
then the split is the same in every tile of that width.)

The rows of a panel may be narrower than its sums: with two ``phases`` the first K inputs add to
some sums and the next ones to others, as in a GRU, whose candidate keeps what comes from the
input apart from what comes from the state.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import narrow, simd

Phase = Sequence[tuple[int, int]]  # pairs: which vector of a weight row adds to which sum


def product_tile(
    rows: int,
    phases: Sequence[Phase],
    panels: int = 1,
    chains: int = 1,
    storage: str = "float32",
    *,
    outer: bool = False,
) -> Any:
    """Make the intrinsic that multiplies one tile.

    Parameters
    ----------
    rows, panels, chains : int
        Shape of the tile, fixed when the kernel is compiled; registers needed are about
        ``rows * sums * panels * chains + columns + 1``.
    storage : {"float32", "float16", "bfloat16", "pairs"}
        Of the weights, not of the biases. Where it has 16 bits, a row of a panel has half as many
        floats as sums; ``w_stride`` counts weights. With "pairs" two inputs of bfloat16 stand in
        the place of each float of A, B and W, and count as one of K.
    phases : one or two sequences of (vector, sum)
        For each stretch of inputs, which vectors of a weight row add to which sums.
    outer : bool
        Add ``A^T W`` to Z, the sum of the outer products of the rows of both: input k of row r is
        at ``A[a + k * stride + r]``, and every sum starts with what Z holds in place of a bias.

    Returns
    -------
    intrinsic
        ``tile(A, a, B, b, stride, W, w, bias_size, w_stride, panel_stride, K0, K1, Z, z,
        z_stride)``: the K0 inputs of a row start at ``A[a + row * stride]``, the K1 inputs of the
        second phase at ``B[b + row * stride]``. A panel starts at ``w`` with ``bias_size``
        floats of biases, one vector a sum; then come K0 + K1 rows of ``w_stride`` floats; panels
        are ``panel_stride`` apart. Row r of panel p goes to ``z + (p * rows + r) * z_stride``,
        sum s of it to its place s.
    """

    @intrinsic
    def tile(
        _typing: Any,
        A: Any,
        a: Any,
        B: Any,
        b: Any,
        stride: Any,
        W: Any,
        w: Any,
        bias_size: Any,
        w_stride: Any,
        panel_stride: Any,
        K0: Any,
        K1: Any,
        Z: Any,
        z: Any,
        z_stride: Any,
    ) -> Any:
        integer = types.intp
        signature = types.void(
            A, integer, B, integer, integer, W, *[integer] * 6, Z, integer, integer
        )

        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            shape = rows, phases, panels, chains, storage, outer
            _Tile(context, builder, signature, args, *shape).emit()
            return context.get_dummy_value()

        return signature, emit

    return tile


class _Tile:
    """Emits the LLVM code of one tile."""

    def __init__(
        self,
        context: Any,
        builder: Any,
        signature: Any,
        args: Any,
        rows: int,
        phases: Sequence[Phase],
        panels: int,
        chains: int,
        storage: str,
        outer: bool,
    ) -> None:
        A, a, B, b, stride, W, w, bias_size, w_stride, panel_stride, K0, K1, Z, z, z_stride = args
        self.builder, self.integer = builder, a.type
        self.rows, self.phases, self.panels, self.chains = rows, phases, panels, chains
        self.stride, self.w_stride, self.z_stride = stride, w_stride, z_stride
        self.outer = outer
        row_stride = self.number(1) if outer else stride
        self.lengths = (K0, K1)[: len(phases)]

        def address(position: int, array: Any, offset: Any) -> Any:
            types = signature.args
            return simd.element_pointer(context, builder, types[position], array, offset)

        self.inputs = [
            [
                address(
                    position, array, builder.add(offset, builder.mul(row_stride, self.number(r)))
                )
                for r in range(rows)
            ]
            for position, array, offset in ((0, A, a), (2, B, b))
        ]
        self.biases = [
            address(5, W, builder.add(w, builder.mul(panel_stride, self.number(p))))
            for p in range(panels)
        ]
        self.storage = storage
        of_floats = storage in ("float32", "pairs")
        kind = (ir.FloatType() if of_floats else ir.IntType(16)).as_pointer()
        self.weights = [
            builder.bitcast(self.advance(bias, bias_size), kind) for bias in self.biases
        ]
        self.target = address(12, Z, z)

    def number(self, value: int) -> Any:
        return ir.Constant(self.integer, value)

    def advance(self, pointer: Any, count: Any) -> Any:
        return self.builder.gep(pointer, [count])

    def load_bias(self, pointer: Any, column: int) -> Any:
        return simd.emit_load(self.builder, self.advance(pointer, self.number(column * simd.LANES)))

    def load_weights(self, panel: Any, vector: int, row: Any) -> Any:
        builder, lanes = self.builder, simd.LANES
        if self.storage == "bfloat16":
            start = builder.add(row, self.number(vector // 2 * 2 * lanes))
            return narrow.emit_load_bfloat16(builder, self.advance(panel, start), vector % 2 == 0)
        place = self.advance(panel, builder.add(row, self.number(vector * lanes)))
        load = narrow.emit_load_float16 if self.storage == "float16" else simd.emit_load
        return load(builder, place)

    def emit(self) -> None:
        self.start_sums()
        weights = self.weights
        for phase, length, inputs in zip(self.phases, self.lengths, self.inputs, strict=False):
            self.emit_phase(phase, length, inputs, weights)
            size = self.builder.mul(length, self.w_stride)
            weights = [self.advance(panel, size) for panel in weights]
        self.store_sums()

    def start_sums(self) -> None:
        """Start every sum with its bias, or what Z holds; further chains with zero."""
        builder = self.builder
        zero = ir.Constant(simd.VECTOR, [0.0] * simd.LANES)
        used = sorted({column for phase in self.phases for _, column in phase})
        self.sums: dict[tuple[int, int, int], list[Any]] = {}
        for p in range(self.panels):
            for column in used:
                first = None if self.outer else self.load_bias(self.biases[p], column)
                for r in range(self.rows):
                    if self.outer:
                        first = simd.emit_load(builder, self.place(p, r, column))
                    # Allocas at the entry become registers: LLVM promotes every one of them.
                    chain = [cgutils.alloca_once(builder, simd.VECTOR) for _ in range(self.chains)]
                    builder.store(first, chain[0])
                    for slot in chain[1:]:
                        builder.store(zero, slot)
                    self.sums[p, r, column] = chain

    def emit_phase(self, phase: Phase, length: Any, inputs: list[Any], weights: list[Any]) -> None:
        """Add ``length`` inputs, the k-th to chain k modulo ``chains``."""
        builder, chains = self.builder, self.number(self.chains)
        whole = builder.sub(length, builder.srem(length, chains))
        start = self.number(0)
        with cgutils.for_range_slice(builder, start, whole, chains, self.integer) as (k, _):
            for chain in range(self.chains):
                place = builder.add(k, self.number(chain))
                self.multiply(phase, place, chain, inputs, weights)
        for chain in range(self.chains - 1):
            k = builder.add(whole, self.number(chain))
            with builder.if_then(builder.icmp_signed("<", k, length)):
                self.multiply(phase, k, chain, inputs, weights)

    def multiply(
        self, phase: Phase, k: Any, chain: int, inputs: list[Any], weights: list[Any]
    ) -> None:
        builder = self.builder
        row = builder.mul(k, self.w_stride)
        element = builder.mul(k, self.stride) if self.outer else k
        loaded = [
            {vector: self.load_weights(panel, vector, row) for vector, _ in phase}
            for panel in weights
        ]
        for r in range(self.rows):
            x = simd.emit_splat(builder, builder.load(self.advance(inputs[r], element)))
            for p in range(self.panels):
                for vector, column in phase:
                    slot = self.sums[p, r, column][chain]
                    add = narrow.emit_pairs if self.storage == "pairs" else simd.emit_fma
                    builder.store(add(builder, x, loaded[p][vector], builder.load(slot)), slot)

    def store_sums(self) -> None:
        builder = self.builder
        for (p, r, column), chain in self.sums.items():
            parts = [builder.load(slot) for slot in chain]
            while len(parts) > 1:
                parts = [builder.fadd(a, b) for a, b in list(pairwise(parts))[::2]]
            simd.emit_store(builder, parts[0], self.place(p, r, column))

    def place(self, p: int, r: int, column: int) -> Any:
        """Return the address of a sum in Z."""
        offset = self.builder.mul(self.z_stride, self.number(p * self.rows + r))
        offset = self.builder.add(offset, self.number(column * simd.LANES))
        return self.advance(self.target, offset)
