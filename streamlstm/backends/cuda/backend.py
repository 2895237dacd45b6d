"""The backend for an NVIDIA GPU: weights of a model and buffers of its blocks on one device.

Rows stay on the device (backends/cuda/rows.py). Slots, observations and predictions go through
pinned memory; a large block is cut into chunks that alternate between two CUDA streams, so that one
is copied while the other is computed. Copies and launch of a chunk are recorded as a CUDA graph.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numba import config, cuda
from numpy.typing import NDArray

from ...errors import CapacityError, ModelError
from ...kernels.cuda.schedule import has_schedule, with_schedule
from ...kernels.cuda.sizes import LANES, MAX_SHARED, STARTS
from ...network.model import Model
from ..backend import step_one_by_one
from ..plan import compile_plan, initial_row
from . import graph
from .buffers import Buffers
from .launch import Launch
from .rows import DeviceRows
from .stage import DeviceStage, network_alone

Float32Array = NDArray[np.float32]

# Numba warns of every launch that leaves part of a device idle, as a block of a few streams does.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
# At level INFO it logs all memory that is freed: raised, unless the program has set a level.
_LOG = logging.getLogger("numba.cuda.cudadrv.driver")
if _LOG.level == logging.NOTSET:
    _LOG.setLevel(logging.WARNING)

KERNELS = ("resident", "shared", "spilled", "scalar")
CHUNK = 65_536  # streams that go to the device together
_TRIED = 9  # streams of the table on which graphs are tested
_SMALLEST = 64  # the room of buffers is a multiple of so many streams


class CudaBackend:
    """The kernels on one device.

    Parameters
    ----------
    model : Model
    device : int
        Its number, as the NVIDIA driver counts.
    kernel : {"resident", "shared", "spilled", "scalar"}, optional
        If left out, the first that the network fits: weights and values in shared memory, values
        alone, or neither. "scalar" is the readable one, with which tests and benchmarks compare
        the others. "spilled" replaces one that the network does not fit, and "scalar" where there
        is a window or a convolution.
    graphs : bool
        Whether to launch blocks as CUDA graphs, if cuda-bindings are installed.

    Attributes
    ----------
    graphs : bool
        Whether blocks are launched as graphs.

    Raises
    ------
    ModelError
        If there is no such device or kernel, or no driver and toolkit.
    CapacityError
        If the device has not enough memory; also when a block is stepped, which changes nothing.
    """

    name = "cuda"
    threads = 1
    why_not_in_a_child = "what is on a GPU is not copied by a fork"

    def __init__(
        self, model: Model, device: int = 0, kernel: str | None = None, graphs: bool = True
    ) -> None:
        if kernel not in (None, *KERNELS):
            raise ModelError(f"kernel: expected {', '.join(KERNELS)}, or None, got {kernel!r}.")
        check_device(device)
        self._number, self._device = device, cuda.gpus[device]
        plan = compile_plan(model, LANES)
        self.row_size = plan.row_size
        self._sizes = model.observation_size, model.result_size
        self._initial = initial_row(model)
        network = plan if model.online is None else network_alone(plan)
        if has_schedule(network.kinds):
            network = replace(network, program=with_schedule(network.program))
        self._buffers: dict[tuple[int, int], Buffers] = {}
        with self._device, self._memory():
            self._weights = cuda.to_device(network.weights)
            self._program = cuda.to_device(network.program)
            self._stage: DeviceStage | None = None
            if model.online is not None:
                self._stage = DeviceStage(plan, self._weights, model.online.labels > 0)
            cuda.synchronize()  # the buffers' streams do not wait for these copies
            self._config = Launch.of(network, kernel, device)
            # One for each of two chunks in flight.
            self._scratch = [cuda.device_array(self._config.scratch, np.float32) for _ in range(2)]
            self._compile()
        self.graphs = graphs and graph.AVAILABLE
        if self.graphs:
            self._try_graphs()

    def make_rows(self, capacity: int, initial: Float32Array) -> DeviceRows:
        """Return rows for a state table, on the device."""
        return DeviceRows(capacity, initial, self._number)

    def step_block(
        self,
        rows: DeviceRows,
        slots: NDArray[np.int64],
        X: Float32Array,
        Y: Float32Array,
        seqs: NDArray[np.uint64] | None = None,
        times: NDArray[np.float64] | None = None,
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; results to Y[B, W].

        Where a number of ``seqs`` is not 0, the result is stored in the row as well.
        """
        if times is not None and not len(times):
            times = None
        if seqs is None or not len(seqs):
            slots = ~slots
        elif not np.all(seqs):
            slots = np.where(seqs, slots, ~slots)
        parts = [slice(n, n + CHUNK) for n in range(0, len(slots), CHUNK)]
        # All of them first: if memory is missing, nothing has been stepped.
        ready = self.reserve(len(slots))
        with self._device:
            in_flight: list[Buffers] = []
            for part, buffers in zip(parts, ready, strict=True):
                if len(in_flight) == 2:
                    in_flight.pop(0).finish()
                due = None if times is None else times[part]
                buffers.fill(slots[part], X[part], Y[part], due)
                self._enqueue(rows.memory, buffers)
                in_flight.append(buffers)
            for buffers in in_flight:
                buffers.finish()

    def reserve(self, count: int) -> list[Buffers]:
        """Return buffers for each chunk of a block of ``count`` streams.

        They stay allocated for later blocks of that size or smaller.

        Raises
        ------
        CapacityError
            If the device has not enough.
        """
        sizes = [min(CHUNK, count - n) for n in range(0, count, CHUNK)]
        with self._device:
            return [self._buffers_for(size, n % 2) for n, size in enumerate(sizes)]

    def launcher(
        self, rows: DeviceRows, slots: NDArray[np.int64], X: Float32Array
    ) -> Callable[[], None]:
        """Return a function that launches the kernel for a block, without any copy.

        For benchmarks of the launch alone.
        """
        with self._device:
            buffers = self._make_buffers(len(slots), 0)
            buffers.fill(slots, X, np.empty(0, np.float32))
            buffers.send()
            buffers.stream.synchronize()

        def launch() -> None:
            with self._device:
                self._launch(rows.memory, buffers)

        return launch

    def single_stream(self, rows: DeviceRows, head: int) -> None:
        """Return None: a single stream is stepped as a block."""

    def step_run(self, rows: Any, slot: NDArray[np.int64], *arrays: Any) -> None:
        """Advance one row by many observations, as :meth:`.backend.Backend.step_run` says."""
        step_one_by_one(self, rows, slot, *arrays)

    def use_rows(self, rows: DeviceRows) -> None:
        """Do nothing: rows are given with every block."""

    def learn(self, rows: DeviceRows, slot: int, back: int, labels: Float32Array) -> int:
        """Learn from labels[O] of a step, as :meth:`..backend.Backend.learn` says."""
        assert self._stage is not None
        with self._device:
            return self._stage.learn(rows.memory, [slot], back, labels)

    def warm_up(self, initial: Float32Array, inputs: int, results: int) -> None:
        """Do nothing: the constructor has launched kernels and copied weights."""

    def take_over(self, old: Any, rows: Any) -> None:
        """Do nothing: this backend has no task with an address."""

    def _compile(self) -> None:
        """Step an empty block, so that kernels are compiled now."""
        launch, buffers = self._config, self._buffers_for(0, 0)
        buffers.fill(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))
        buffers.send()
        none, width = cuda.device_array(1, np.float32), launch.widths[0]
        # Without weights, since a kernel that keeps them in shared memory has no room yet.
        arrays = self._weights[:0], self._program, none, buffers.slots, buffers.X, buffers.Y
        threads, shared = launch.threads, 4 * STARTS
        kernel = launch.kernel[1, threads, buffers.stream, shared]
        kernel(*arrays, buffers.scratch, launch.argument or width)
        if self._stage is not None:
            self._stage.prepare(none, buffers)
            self._stage.conclude(none, buffers)
            self._stage.compile_learning(none)
        buffers.stream.synchronize()
        if launch.shared(launch.widths[-1]) > MAX_SHARED:
            graph.allow_shared(launch.kernel, self._number)

    def _enqueue(self, memory: Any, buffers: Buffers) -> None:
        """Enqueue the copies and the step of a block, as a graph or one after the other."""

        def work() -> None:
            buffers.send()
            self._launch(memory, buffers)
            buffers.fetch()

        if self.graphs and not buffers.records(memory):
            try:
                buffers.record(memory, work)
            except RuntimeError as error:
                self._refuse_graphs(f"{error}")
        if self.graphs:
            buffers.replay()
        else:
            work()

    def _refuse_graphs(self, why: str) -> None:
        self.graphs = False
        warnings.warn(
            f"CUDA graphs are not used, which costs some microseconds a block: {why}",
            RuntimeWarning,
            stacklevel=2,
        )

    def _launch(self, memory: Any, buffers: Buffers) -> None:
        """Enqueue the kernels, for as many streams as the buffers have room for."""
        launch, X, Y = self._config, buffers.X, buffers.Y
        if self._stage is not None:
            X, Y = self._stage.prepare(memory, buffers)
        width = launch.width(buffers.room)
        blocks = min(-(-buffers.room // width), launch.blocks)
        shared = launch.shared(width)
        launch.kernel[blocks, launch.threads, buffers.stream, shared](
            self._weights,
            self._program,
            memory,
            buffers.slots,
            X,
            Y,
            buffers.scratch,
            launch.argument or width,
        )
        if self._stage is not None:
            self._stage.conclude(memory, buffers)

    def _try_graphs(self) -> None:
        """Step some streams with and without a graph; every bit must be the same.

        If the driver refuses a graph, or a graph computes something else, a warning says so, and no
        state is lost.
        """
        rng, found = np.random.default_rng(0), []
        slots, count = rng.permutation(_TRIED), _TRIED - 1
        X = rng.uniform(0, 1, (3, count, self._sizes[0])).astype(np.float32)
        seqs, wanted = rng.integers(0, 2, count).astype(np.uint64), self.graphs
        for self.graphs in (False, wanted):
            rows = self.make_rows(_TRIED, self._initial)
            Y = np.zeros((3, count, self._sizes[1]), np.float32)
            for n in range(3):
                self.step_block(rows, np.roll(slots, n)[:count], X[n], Y[n], seqs)
            found.append(Y.tobytes() + rows[np.arange(_TRIED)].tobytes())
        if found[0] != found[1]:
            self._refuse_graphs(
                "stepping with one does not give what stepping without gives. Please report this, "
                "with the versions of numba-cuda and of the driver."
            )

    def _buffers_for(self, count: int, turn: int) -> Buffers:
        """Return buffers for ``count`` streams; ``turn`` is 0 or 1, for two chunks in flight."""
        step = _SMALLEST
        while 8 * step < count:
            step *= 2
        room = max(1, -(-count // step)) * step  # at most a quarter more than is needed
        key = room, turn
        if key not in self._buffers:
            try:
                with self._memory():
                    self._buffers[key] = self._make_buffers(room, turn)
            except CapacityError:  # use larger ones if there are any
                larger = [key for key in self._buffers if key[0] > room and key[1] == turn]
                if not larger:
                    raise
                self._buffers[key] = self._buffers[min(larger)]
        return self._buffers[key]

    def _make_buffers(self, room: int, turn: int) -> Buffers:
        between = 0 if self._stage is None else self._stage.between(room)
        return Buffers(room, *self._sizes, self._scratch[turn], between)

    @contextmanager
    def _memory(self) -> Iterator[None]:
        """Turn errors of the driver about missing memory into CapacityError."""
        try:
            yield
        except Exception as error:  # of the driver; each package has its own class
            if "OUT_OF_MEMORY" not in str(error):
                raise
            raise CapacityError(
                f"CUDA device {self._number} has no memory left for the model and for blocks of so "
                "many streams; choose a smaller capacity or a smaller model, or step fewer at a "
                "time."
            ) from error


def check_device(device: int) -> None:
    """Raise ModelError if there is no CUDA device of this number."""
    if not cuda.is_available():
        raise ModelError(
            "backend: cuda was asked for, but numba finds no NVIDIA GPU with driver and toolkit "
            "here; install 'numba-cuda[cu12]' and the driver, or use backend='cpu'."
        )
    if device >= len(cuda.gpus):
        raise ModelError(
            f"backend: CUDA device {device} was asked for, but there are {len(cuda.gpus)}, counted "
            "from 0."
        )
