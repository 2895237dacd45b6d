"""The backend for the CPU: compiled kernels over a state table, on one or several threads."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from ..errors import ForkError
from ..kernels import layout
from ..lazy_arrays import lazy_zeros
from ..network.model import Model
from .backend import SingleStream
from .plan import compile_plan
from .warmup import compile_kernels

Float32Array = NDArray[np.float32]

# Multiply-adds for each thread that make a further thread worth a try: one that still spins starts
# in 2 us, one that sleeps in some 10 us, in which a core does about this much.
THREAD_WORK = 300_000

# A run of one stream is made in calls of so many observations or multiply-adds, some milliseconds:
# between two of them Python sees to signals.
RUN_ROWS, RUN_WORK = 10_000, 400_000_000

_OPENMP = "OpenMP, which shares blocks among threads, does not survive a fork"


def _do_nothing(*_arguments: object) -> None:
    """Step no stream where this Python's objects cannot be read (kernels/objects.py)."""


class CpuBackend:
    """The compiled kernels, on one thread or several.

    Parameters
    ----------
    model : Model
    threads : int
        How many threads may share a large block.
    weights : {"float32", "float16", "bfloat16", "int8"}
        Precision in which they are read where that is quicker; the model's are rounded already.

    Attributes
    ----------
    address : int
        Address of the task (kernels/layout.py).
    inputs, outputs, result : int
        F, O and W.
    work : int
        Multiply-adds of a step of one stream.
    thread_work : int
        Multiply-adds for each thread from which on a block may be shared.
    sharing : int64[...]
        The table of the rule that shares blocks (kernels/sharing.py).
    """

    name = "cpu"

    def __init__(self, model: Model, threads: int = 1, weights: str = "float32") -> None:
        from ..kernels import compile, simd, step
        from ..kernels.online.before import before
        from ..kernels.online.before_block import before_tiles
        from ..kernels.online.behind import behind
        from ..kernels.online.behind_block import behind_tiles

        self.threads = threads if threads > 1 and compile.can_run_parallel() else 1
        if self.threads > 1 and compile.is_forked_from_parallel():
            raise ForkError(
                f"threads: expected 1, got {self.threads}: {_OPENMP}, and the process from which "
                "this one was forked has used it. Start processes with spawn, or use one thread"
            )
        plan = compile_plan(model, simd.LANES, weights, sequences=True)
        has_stage = model.online is not None
        compile_kernels(compile.needed(plan.kinds, weights, self.threads, has_stage))
        self.row_size = plan.row_size
        self.thread_work = THREAD_WORK
        self.inputs, self.outputs = model.observation_size, model.output_size
        self.result = model.result_size
        self.work = plan.work
        self._plan = plan
        size = step.scratch_size(plan.program)
        self._scratch = lazy_zeros(self.threads * size, np.float32)
        self._groups = np.zeros((self.threads, layout.GROUP_SIZE), np.int64)
        self._task = np.zeros(layout.TASK, np.int64)
        self._task[layout.TASK_STEP] = compile.address(step.step_range)
        self._task[layout.TASK_WEIGHTS] = plan.weights.ctypes.data
        self._task[layout.TASK_PROGRAM] = plan.program.ctypes.data
        self._task[layout.TASK_SCRATCH] = self._scratch.ctypes.data
        self._task[layout.TASK_SCRATCH_SIZE] = size
        self._task[layout.TASK_GROUPS] = self._groups.ctypes.data
        if self.threads > 1:
            self._prepare_sharing()
        if has_stage:
            self._task[layout.TASK_BEFORE] = compile.address(before)
            self._task[layout.TASK_BEFORE_TILES] = compile.address(before_tiles)
            self._task[layout.TASK_BEHIND] = compile.address(behind)
            self._task[layout.TASK_BEHIND_TILES] = compile.address(behind_tiles)
        for kind in plan.kinds:
            group, single = compile.layer_kernels(kind, weights)
            self._task[layout.TASK_LAYERS + kind] = compile.address(group)
            self._task[layout.TASK_SINGLES + kind] = compile.address(single)
        self._observation = np.zeros(model.observation_size, np.float32)
        self._task[layout.TASK_OBSERVATION] = self._observation.ctypes.data
        self.address = self._task.ctypes.data
        self._rows: Float32Array | None = None
        self._call = compile.step_entries(self.threads > 1)

    @property
    def why_not_in_a_child(self) -> str:
        """What does not survive a fork: OpenMP, which ends the child that uses it."""
        return _OPENMP if self.threads > 1 else ""

    def _prepare_sharing(self) -> None:
        from ..kernels import compile, sharing, step

        clock = ctypes.cast(ctypes.CDLL(None).clock_gettime, ctypes.c_void_p).value or 0
        self.sharing = np.zeros(sharing.SHARING, np.int64)
        self.sharing[sharing.CLOCK] = clock
        self.sharing[sharing.PARALLEL] = compile.address(step.step_shared)
        self._task[layout.TASK_SHARED] = compile.address(sharing.step_sharing)
        self._task[layout.TASK_SHARING] = self.sharing.ctypes.data

    def step_block(
        self,
        rows: Float32Array,
        slots: NDArray[np.int64],
        X: Float32Array,
        Y: Float32Array,
        seqs: NDArray[np.uint64] | None = None,  # noqa: ARG002 - of devices
        times: NDArray[np.float64] | None = None,
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; results to Y[B, W]."""
        at = 0 if times is None or not len(times) else times.ctypes.data
        if rows is not self._rows:
            self.use_rows(rows)
        threads = min(self.threads, len(slots) * self.work // self.thread_work)
        if threads > 1:
            self._call.step_parallel(self.address, slots, X, Y, at, threads)
        else:
            self._call.step_block(self.address, slots, X, Y, at)

    def step_run(
        self,
        rows: Float32Array,
        slot: NDArray[np.int64],
        X: Float32Array,
        Y: Float32Array,
        seqs: NDArray[np.uint64],  # noqa: ARG002 - of devices
        times: NDArray[np.float64],
    ) -> None:
        """Advance one row, that at slot[1], by X[T, F] in order; results go to Y[T, W]."""
        if rows is not self._rows:
            self.use_rows(rows)
        size = max(min(RUN_ROWS, RUN_WORK // max(self.work, 1)), 1)
        for start in range(0, len(X), size):
            at = times.ctypes.data + 8 * start if len(times) else 0
            piece = slice(start, start + size)
            self._call.step_run(self.address, slot, X[piece], Y[piece], at)

    def prepare(
        self, rows: Float32Array, slots: NDArray[np.int64], X: Float32Array, Y: Float32Array
    ) -> tuple[int, int]:
        """Return the addresses of function and task with which compiled code steps this block.

        It calls ``kernels.pointers.call_at(function, task, first, last, thread)``, repeatedly while
        nothing else uses this backend. The caller keeps the arrays alive.
        """
        self.use_rows(rows)
        self._call.step_block(self.address, slots[:0], X, Y, 0)
        return int(self._task[layout.TASK_STEP]), self.address

    def learn(self, rows: Float32Array, slot: int, back: int, labels: Float32Array) -> int:
        """Learn from labels[O] of a step, as :meth:`.backend.Backend.learn` says."""
        from ..kernels.compile import label_entries

        if rows is not self._rows:
            self.use_rows(rows)
        outcome: int = label_entries().learn_label(self.address, slot, back, labels)
        return outcome

    def reserve(self, count: int) -> None:
        """Do nothing: a block needs no further memory."""

    def single_stream(self, rows: Float32Array, head: int) -> SingleStream:
        """Return functions that step a single stream of a table in one compiled call."""
        from ..kernels.single_step import place

        self.use_rows(rows)
        locked, steps = (self._task[n : n + 1] for n in (layout.TASK_LOCKED, layout.TASK_STEPS))
        call = self._call
        table = place(head, self.address)
        if table is None:
            return SingleStream(locked, steps, _do_nothing, _do_nothing)
        return SingleStream(locked, steps, call.step_stream(table), call.step_slot(table))

    def warm_up(self, initial: Float32Array, inputs: int, results: int) -> None:
        """Make a first step, so that weights and scratch are in memory."""
        X, Y = np.zeros((1, inputs), np.float32), np.zeros((1, results), np.float32)
        self.use_rows(initial[None].copy())
        self._call.step_block(self.address, np.zeros(1, np.int64), X, Y, 0)

    def take_over(self, old: "CpuBackend", rows: Float32Array) -> None:
        """Move into the task of another backend: calls with its address then step this model."""
        task = old._task
        kept = [layout.TASK_LOCKED, layout.TASK_STEPS]
        self._task[kept] = task[kept]
        task[:] = self._task
        self._task, self.address = task, old.address
        self.use_rows(rows)

    def use_rows(self, rows: Float32Array) -> None:
        """Let the task step these rows, until a block of others comes."""
        self._task[layout.TASK_ROWS] = rows.ctypes.data
        self._rows = rows
