"""Buffers that move a block of streams to a device and its predictions back."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from .graph import Graph, make_stream

Float32Array = NDArray[np.float32]


class Buffers:
    """A CUDA stream, with pinned and device memory for a block.

    Event times, slots and observations are contiguous and go to the device in one copy. The whole
    room is always copied, and the count is sent with the slots: so that one graph serves every
    block.

    Parameters
    ----------
    room : int
        Number of streams.
    F, O : int
        Widths of an observation and of a prediction (with an online stage: of a whole result).
    scratch : device array
        float32, the working memory of the kernel.
    between : int
        Floats that the launches of an online stage share; 0 if there is none. Event times go to
        the device for a stage alone.
    """

    def __init__(self, room: int, F: int, O: int, scratch: Any, between: int = 0) -> None:
        self.room, self.scratch, self.stream = room, scratch, make_stream()
        times = 2 * room if between else 0  # floats; in front, where their alignment is right
        head = times + room + 1
        self._up = cuda.pinned_array(head + room * F, np.float32)
        self._up[:] = 0
        self._down = cuda.pinned_array(room * O, np.float32)
        self._given_times = self._up[:times].view(np.float64)
        self._given_slots, self._given = self._up[times:head].view(np.int32), self._up[head:]
        self._above = cuda.device_array(head + room * F, np.float32)
        self.slots = self._above[times:head].view(np.int32)
        self.X = self._above[head:]
        if between:
            self.times = self._above[:times].view(np.float64)
            self.between = cuda.device_array(between, np.float32)
        self.Y = cuda.device_array(room * O, np.float32)
        self._answers: Float32Array = np.empty(0, np.float32)
        self._graph: Graph | None = None
        self._recorded: Callable[[], Any] = lambda: None

    def fill(
        self,
        slots: NDArray[np.int64],
        X: Float32Array,
        Y: Float32Array,
        times: NDArray[np.float64] | None = None,
    ) -> None:
        """Fill in a block; :meth:`finish` writes its predictions to Y[B, O].

        ``times`` has event times, NaN for none; None if no stream has one.
        """
        if len(self._given_times):
            self._given_times[: len(slots)] = np.nan if times is None else times
        self._given_slots[0] = len(slots)
        self._given_slots[1 : len(slots) + 1] = slots
        self._given[: X.size] = X.ravel()
        self._answers = Y

    def send(self) -> None:
        """Enqueue the copy of the block to the device."""
        self._above.copy_to_device(self._up, stream=self.stream)

    def fetch(self) -> None:
        """Enqueue the copy of the predictions to the host."""
        self.Y.copy_to_host(self._down, stream=self.stream)

    def finish(self) -> None:
        """Wait for the CUDA stream, and write the predictions."""
        self.stream.synchronize()
        self._answers[:] = self._down[: self._answers.size].reshape(self._answers.shape)

    def records(self, memory: Any) -> bool:
        """Return whether the recorded graph, if any, works on the rows ``memory``."""
        return self._graph is not None and self._recorded() is memory

    def record(self, memory: Any, work: Callable[[], None]) -> None:
        """Record ``work``, which enqueues a block on the rows ``memory``, as a graph."""
        self._graph = None
        self._graph = Graph(self.stream, work)
        self._recorded = weakref.ref(memory)

    def replay(self) -> None:
        """Enqueue the graph."""
        if self._graph is not None:
            self._graph.launch()
