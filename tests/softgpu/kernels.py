"""Step a model with a compiled kernel directly, and compare with the reference."""

import numpy as np

from streamlstm import Embedding, Model
from streamlstm.backends.plan import compile_plan, initial_row
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.kernels import layout
from streamlstm.kernels.cuda import fused, scalar, sizes
from streamlstm.kernels.cuda.tiles import SPACE

from .machine import Module

SCALAR_BLOCKS = 2


def step(module: Module, kernel: str, model: Model, B: int, steps: int = 3) -> float:
    """Step B of a few more streams; return by how much the predictions and rows are off at most."""
    plan, rng = compile_plan(model, sizes.LANES), np.random.default_rng(1)
    rows = np.tile(initial_row(model).astype(np.float32), (B + 3, 1))
    truth, reference = rows.astype(float), ReferenceBackend(model, np.float64)
    off, kept = 0.0, plan.program[layout.PREDICTION]
    for _ in range(steps):
        slots = rng.permutation(B + 3)[:B]
        numbered = rng.random(B) < 0.5
        X = rng.standard_normal((B, model.input_size)).astype(np.float32)
        if isinstance(model.layers[0], Embedding):
            X[:, 0] = rng.integers(0, model.layers[0].categories, B)
        expected = np.empty((B, model.output_size))
        reference.step_block(truth, slots, X.astype(float), expected)
        truth[slots[numbered], kept : kept + model.output_size] = expected[numbered]
        Y = np.full(B * model.output_size, np.nan, np.float32)
        given = np.concatenate([[B], np.where(numbered, slots, ~slots)]).astype(np.int32)
        *launch, scratch, last = _launch(kernel, plan, B)
        arrays = plan.weights, plan.program, rows.ravel(), given, X.ravel(), Y, scratch
        module.launch(*launch, *arrays, last)
        off = max(off, float(np.max(np.abs(Y.reshape(expected.shape) - expected))))
        off = max(off, float(np.max(np.abs(rows - truth))))
    return off


def _launch(kernel, plan, B):
    """Return grid, block, shared memory, scratch and the last argument of a launch."""
    if kernel == "scalar":
        size = SCALAR_BLOCKS * sizes.SCALAR_BLOCK * scalar.scratch_size(plan.program)
        return SCALAR_BLOCKS, sizes.SCALAR_BLOCK, 0, _garbage(size), sizes.LANES
    values, threads = fused.values(plan.program), sizes.WARPS * sizes.LANES
    if kernel == "spilled":
        grid = min(2, -(-B // sizes.TILE))
        scratch = _garbage(grid * values * (sizes.TILE + SPACE))
        return grid, threads, 4 * fused.STARTS, scratch, sizes.TILE
    width = sizes.MAX_STREAMS if values < 200 else sizes.TILE
    beside = len(plan.weights) if kernel == "resident" else 0
    shared = 4 * (fused.STARTS + beside + values * (width + SPACE))
    return min(3, -(-B // width)), threads, shared, _garbage(1), width


def _garbage(size: int) -> np.ndarray:
    return np.full(size, np.nan, np.float32)
