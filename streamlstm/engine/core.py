"""The base class of the engine: backend, state table, lock, and the step itself."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..backends.backend import Backend
from ..backends.cpu import CpuBackend
from ..backends.plan import count_place, initial_row, prediction_place, result_place, stage_start
from ..backends.work import few_streams
from ..network.model import Model
from .blocks import Block, part_of, split_rounds
from .forks import fork_error, free, tell_in_child
from .input_schema import InputSchema
from .lock_flag import LockFlag
from .native_view import NativeView
from .prediction import ResultLayout
from .state_table import StateTable

Float32Array = NDArray[np.float32]


class EngineCore:
    """A model ready to run, the state of its streams, and the lock over both.

    Parameters
    ----------
    model : Model
    capacity : int
        S, how many streams can live at once.
    make : callable
        Makes the backend of a model.
    """

    # What a small step reads is found quicker here than in a dict of so many attributes.
    __slots__ = ("__dict__", "_is_quick", "_step_slot", "_step_stream")

    def __init__(self, model: Model, capacity: int, make: Callable[[Model], Backend]) -> None:
        self._make = make
        backend = make(model)
        make_rows = getattr(backend, "make_rows", None)  # of a backend with rows on a device
        self._table = StateTable(capacity, initial_row(model), make_rows)
        self._views: list[NativeView] = []
        self._is_fast = False
        self._use(model, backend)
        self._steps = 0
        self._one_slot, self._one_seq = np.zeros(1, np.int64), np.zeros(1, np.uint64)
        single = backend.single_stream(self._table.rows, self._table.address)
        # The compiled call relies on the GIL to be alone (lock_flag.py).
        self._is_fast = single is not None
        self._is_quick = self._is_fast and self._is_plain
        self._fast_steps, flag = np.zeros(1, np.int64), np.zeros(1, np.int64)
        if single is not None:
            self._fast_steps, flag = single.steps, single.locked
            self._step_stream, self._step_slot = single.step_stream, single.step_slot
        self._lock, self._flag = threading.Lock(), LockFlag(flag)
        tell_in_child(self)

    def _after_fork(self) -> None:
        """Let this copy be used in the child, which has states of its own, if that is possible."""
        why = self._backend.why_not_in_a_child
        if free(self._lock):
            why = why or "a thread was changing its states at the moment of the fork"
        if why:
            remedy = (
                "Export its streams before the fork, and import them into an engine with threads=1"
            )
            self._is_fast = self._is_quick = False
            self._flag.error = fork_error("this engine", why, remedy)

    def _use(self, model: Model, backend: Backend) -> None:
        """Step with this model from now on."""
        self._backend = backend
        self._schema = InputSchema(model)
        self._to_row, self._row_type = self._schema.to_row, self._schema.row_type
        self._width = model.result_size
        has_offsets = model.input_offsets is not None or model.output_offsets is not None
        self._is_plain = model.online is None and not has_offsets  # results are outputs
        self._is_quick = self._is_fast and self._is_plain
        self._layout = ResultLayout.of(model)
        self._one_x = np.zeros((1, model.observation_size), np.float32)
        self._one_y = np.zeros((1, model.result_size), np.float32)
        self._one_time = np.zeros(1, np.float64)
        self._prediction, self._place = prediction_place(model), result_place(model)
        self._state_size = stage_start(model)
        self._count = count_place(model)
        self._model = model
        if isinstance(backend, CpuBackend):
            for view in self._views:
                view.switch_backend(backend)

    def _step_one(self, slot: int, x: Float32Array, seq: int, time: float | None) -> Float32Array:
        """Apply one checked observation; under the lock. Return its result, float32[W]."""
        self._one_slot[0] = slot
        self._one_seq[0] = seq
        self._one_x[0] = x
        self._one_time[0] = np.nan if time is None else time
        self._table.mark_dirty(self._one_slot)
        self._backend.step_block(
            self._table.rows,
            self._one_slot,
            self._one_x,
            self._one_y,
            self._one_seq,
            self._one_time,
        )
        self._steps += 1
        if seq:
            self._table.seq[slot], self._table.producers[slot] = seq, 0
        if seq and self._table.on_host:
            self._table.rows[slot, self._place] = self._one_y[0]
        if time is not None:
            self._table.time[slot] = time
        y: Float32Array = self._one_y[0].copy()
        return y

    def _step_block(self, block: Block, X: Float32Array) -> Float32Array:
        """Apply checked observations X[B, F] in rounds with each stream once; under the lock.

        Returns
        -------
        float32[B, W]
            Their results.
        """
        slots, rows = block.slots, self._table.rows
        Y = np.empty((len(slots), self._width), np.float32)
        if not block.repeats:
            self._backend.step_block(rows, slots, X, Y, block.seqs, block.times)
        else:
            self._step_repeated(block, X, Y)
        self._steps += len(slots)
        if len(block.seqs) or len(block.times):
            self._table.write_block(slots, block.seqs, block.times, Y, self._prediction.start)
        return Y

    def _step_repeated(self, block: Block, X: Float32Array, Y: Float32Array) -> None:
        """Apply a block in rounds, and what few streams have more than others in runs of each."""
        rows, slots = self._table.rows, np.unique(block.slots)
        rounds, runs = split_rounds(block.slots, few_streams(self._model))
        before = rows[slots]  # a copy
        try:
            for chosen in rounds:
                part, *arguments = part_of(block, chosen, X, Y)
                self._backend.step_block(rows, block.slots[chosen], *arguments)
                Y[chosen] = part
            for chosen in runs:
                part, *arguments = part_of(block, chosen, X, Y)
                self._backend.step_run(rows, block.slots[chosen[:1]], *arguments)
                Y[chosen] = part
        except BaseException:  # Ctrl-C: what was done is undone
            rows[slots] = before
            raise
