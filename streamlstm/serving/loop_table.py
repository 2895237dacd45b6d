"""The table of the compiled loop: its arrays, laid out in memory (native/layout.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.native_view import NativeView
from ..kernels import compile
from ..lazy_arrays import lazy_zeros
from ..network.model import Model
from .extras import model_extras
from .native import block, layout
from .partitions import ARRIVING, MOVED, SUSPENDED, Partitions
from .queue_table import LoopSetup, QueueTable

# So many multiply-adds must fall to each thread for a block to be shared, some 100 us of them. An
# engine by itself shares a tenth of that; here the other threads are ZeroMQ's and the clients', and
# with 64 units two threads halved the predictions a second on two cores.
SHARE_WORK = 5_000_000


class LoopTable(QueueTable):
    """Allocates what the compiled loop of a worker needs, and keeps it alive.

    Parameters
    ----------
    view : NativeView
        Addresses of the engine's streams.
    setup : LoopSetup
    model : Model
        That of the engine.
    """

    def __init__(self, view: NativeView, setup: LoopSetup, model: Model) -> None:
        super().__init__(setup)
        self._view = view
        self._of_model: list[Any] = []
        self._of_extras: list[Any] = []
        self._of_busy: dict[bool, list[int]] = {}
        self._suspended: bool | None = None
        self._sizes = (0, 0, 0, False)
        self.fields[layout.TAKE_MESSAGE] = compile.address(block.take_message)
        self._allocate_block()
        self.follow_model(model)

    def _allocate_block(self) -> None:
        """Allocate what a block needs, but for what depends on the model."""
        fields, view, room = self.fields, self._view, layout.BLOCK_ROOM
        fields[layout.TABLE], fields[layout.TASK] = view.table, view.task
        fields[layout.SHARE_WORK] = SHARE_WORK
        fields[layout.BATCH] = self._zeros(layout.BLOCK * layout.BATCH_ROW)
        fields[layout.ROWS] = self._zeros(room * layout.ROW)
        fields[layout.JUMPS] = self._zeros(room * layout.JUMP)
        fields[layout.ORDER] = self._zeros(room)
        fields[layout.STARTS] = self._zeros(2 * room + 2)
        fields[layout.TIMES], fields[layout.TIMES_SORTED] = self._zeros(room), self._zeros(room)
        fields[layout.SLOTS], fields[layout.SLOTS_SORTED] = self._zeros(room), self._zeros(room)

    def follow_model(self, model: Model) -> None:
        """Allocate what depends on the model, if it changed; with exclusive access afterwards."""
        fields, view, room = self.fields, self._view, layout.BLOCK_ROOM
        fields[layout.THREADS], fields[layout.ROW_WORK] = view.threads, view.row_work
        self._of_offsets = self._write_offsets(model)
        size = self._write_extras(model_extras(model))
        wide = model.output_offsets is not None
        sizes = (view.inputs, view.result, size, wide)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        # A reply: an encoded id and numbers, no more bytes than these, with heads of arrays.
        numbers = 9 * view.result + 3 * 3 if wide else 4 * view.result
        reply = 128 + size + layout.MAX_ROWS * (layout.MAX_IDENTITY + 2 + 9 + numbers)
        reply += 9 * view.inputs  # behind a prediction for those who want to see what came
        arrays = {
            **dict.fromkeys((layout.X, layout.X_SORTED), 4 * room * view.inputs),
            **dict.fromkeys((layout.Y, layout.Y_SORTED), 4 * room * view.result),
            layout.REPLY: reply,
        }
        self._of_model = [lazy_zeros(size, np.uint8) for size in arrays.values()]
        for place, array in zip(arrays, self._of_model, strict=True):
            fields[place] = array.ctypes.data

    def _write_offsets(self, model: Model) -> list[NDArray[np.float64]]:
        """Write the addresses of a model's offsets; return what has to be kept alive for them."""
        levels = 1 if model.online is None else max(len(model.online.intervals), 1)
        outputs = model.output_offsets
        tables = {
            layout.INPUT_OFFSETS: _input_table(model),
            layout.OUTPUT_OFFSETS: None if outputs is None else np.tile(outputs, levels),
        }
        for place, table in tables.items():
            self.fields[place] = 0 if table is None else table.ctypes.data
        self.fields[layout.OUTPUT_COUNT] = model.output_size
        self.fields[layout.OUTPUT_LEVEL] = model.result_places.level if model.has_levels else 0
        return [table for table in tables.values() if table is not None]

    def _write_extras(self, extras: wire.Extras | None) -> int:
        """Write the tables of the map of predictions; return its bytes without numbers, at most."""
        fields = self.fields
        fields[layout.EXTRAS] = 0
        if extras is None or not extras.has_map:
            return 0
        keep = self._of_extras = []

        def place(data: bytes) -> tuple[int, int]:
            keep.append(np.frombuffer(data, np.uint8))
            return keep[-1].ctypes.data, len(data)

        table = np.zeros((len(extras.extras), layout.EXTRA), np.int64)
        for row, extra in zip(table, extras.extras, strict=True):
            row[[layout.KEY_AT, layout.KEY_SIZE]] = place(wire.pack_words([extra.key])[0])
            row[[layout.EXTRA_WHAT, layout.EXTRA_START, layout.EXTRA_COUNTED]] = extra[1:]
        words = np.zeros((len(extras.words), layout.WORD), np.uint8)
        for place_of, word in zip(words, wire.pack_words(extras.words), strict=True):
            place_of[0], place_of[1 : 1 + len(word)] = len(word), np.frombuffer(word, np.uint8)
        keep += [table, words]
        fields[layout.EXTRAS], fields[layout.EXTRA_COUNT] = table.ctypes.data, len(table)
        fields[layout.WORDS] = words.ctypes.data
        fields[[layout.LEVELS, layout.LEVELS_SIZE]] = place(extras.head())
        runs = np.zeros((len(extras.runs()), layout.RUN), np.int64)
        patches = []
        for row, run in zip(runs, extras.runs(), strict=True):
            row[[layout.RUN_AT, layout.RUN_SIZE]] = place(run.data)
            row[[layout.RUN_PATCHES, layout.RUN_WHAT]] = len(run.patches), -1
            patches += [(at, what, 4 * start) for at, what, start in run.patches]
            if run.last is not None:
                row[[layout.RUN_WHAT, layout.RUN_START, layout.RUN_COUNTED]] = run.last[1:]
        keep += [runs, np.array(patches, np.int64)]
        fields[layout.RUNS], fields[layout.RUN_COUNT] = runs.ctypes.data, len(runs)
        fields[layout.PATCHES] = keep[-1].ctypes.data
        return int(sum(array.nbytes for array in keep)) + 16 * len(table)

    def follow_partitions(self, partitions: Partitions) -> None:
        """Let the loop answer what is not for this worker of a fleet."""
        fields = self.fields
        fields[layout.STATES] = self._keep(partitions.states)
        fields[layout.OWNERS] = self._keep(partitions.owners)
        self._put_words("moved", MOVED, layout.MOVED_WORDS, layout.MOVED_SIZE)
        places = layout.ARRIVING_WORDS, layout.ARRIVING_SIZE
        for suspended, sentence in enumerate((ARRIVING, SUSPENDED)):
            self._put_words("busy", sentence, *places)
            self._of_busy[bool(suspended)] = [int(fields[place]) for place in places]
        self.say_busy(False)

    def say_busy(self, suspended: bool) -> None:
        """Choose why a partition is answered busy: it is on its way, or nothing may be answered."""
        if suspended is not self._suspended:
            self._suspended = suspended
            places = [layout.ARRIVING_WORDS, layout.ARRIVING_SIZE]
            self.fields[places] = self._of_busy[suspended]


def _input_table(model: Model) -> NDArray[np.float64] | None:
    """Return offsets of the inputs, and for each the place of its second float, -1 for none."""
    if model.input_offsets is None:
        return None
    places = np.full(model.input_size, -1.0)
    places[list(model.differences)] = model.input_size + np.arange(len(model.differences))
    return np.concatenate([model.input_offsets, places])
