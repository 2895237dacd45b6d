"""Step a model with the kernel `step_shared` directly, and compare with the reference."""

import numpy as np

from streamlstm import Embedding, Model
from streamlstm.backends.plan import Plan, compile_plan, initial_row
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.kernels import layout
from streamlstm.kernels.cuda import sizes
from streamlstm.kernels.cuda.layers import values
from streamlstm.kernels.cuda.tiles import SPACE

from .machine import Module


def step(module: Module, model: Model, B: int, steps: int = 3) -> float:
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
        *launch, last = _launch(plan, B)
        arrays = plan.weights, plan.program, rows.ravel(), given, X.ravel(), Y, _garbage(1)
        module.launch(*launch, *arrays, last)
        same = np.isnan(Y.reshape(expected.shape)) == np.isnan(expected)  # before a window is full
        off = max(off, 0.0 if same.all() else np.inf)
        off = max(off, float(np.nanmax(np.abs(Y.reshape(expected.shape) - expected), initial=0)))
        off = max(off, float(np.nanmax(np.abs(rows - truth))))
    return off


def _launch(plan: Plan, B: int) -> tuple[int, int, int, int]:
    """Return grid, block and shared memory of a launch, and how many streams a block takes."""
    count = values(plan.program)
    width = sizes.MAX_STREAMS if count < 200 else sizes.TILE
    shared = 4 * (sizes.STARTS + count * (width + SPACE))
    return min(3, -(-B // width)), sizes.WARPS * sizes.LANES, shared, width


def _garbage(size: int) -> np.ndarray:
    return np.full(size, np.nan, np.float32)
