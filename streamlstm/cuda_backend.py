"""The backend on an NVIDIA GPU: a model's weights and the buffers of its blocks on one device.

Rows stay on the device (device_rows.py). Slots, observations and predictions go through pinned
memory; a large block is cut into chunks that take turns on two CUDA streams, so that one is copied
while the other is computed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import config, cuda
from numpy.typing import NDArray

from .device_rows import DeviceRows
from .errors import ModelError
from .kernels import layout
from .kernels.cuda import fused, scalar
from .kernels.cuda.sizes import (
    BLOCKS,
    LANES,
    MAX_SHARED,
    SCALAR_BLOCK,
    SCALAR_BLOCKS,
    TILE,
    WARPS,
)
from .kernels.cuda.tiles import SPACE
from .model import Model
from .plan import Plan, compile_plan

Float32Array = NDArray[np.float32]

# Numba warns of every launch that leaves part of a device idle; a few streams always do.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0

CHUNK = 65_536  # streams that go to the device together
_MOST_BLOCKS = 65_535
_SMALLEST = 64  # buffers are made for so many streams; larger ones are twice as large, and so on


class CudaBackend:
    """The kernels on one device.

    Parameters
    ----------
    model : Model
    device : int
        Its number, as the NVIDIA driver counts.
    kernel : {"resident", "shared", "spilled", "scalar"}, optional
        The first that the network fits if left out: weights and values in shared memory, values
        alone, or neither. "scalar" is the readable one, which tests and benchmarks hold the others
        against. One that the network does not fit is "spilled".

    Raises
    ------
    ModelError
        If there is no such device, or nothing to use it with.
    """

    name = "cuda"
    threads = 1

    def __init__(self, model: Model, device: int = 0, kernel: str | None = None) -> None:
        check_device(device)
        self._number, self._device = device, cuda.gpus[device]
        plan = compile_plan(model, LANES)
        self.row_size = plan.row_size
        self._sizes = model.input_size, model.output_size
        self._buffers: dict[tuple[int, int], _Buffers] = {}
        with self._device:
            self._weights = cuda.to_device(plan.weights)
            self._program = cuda.to_device(plan.program)
            way = _Way.of(plan, kernel)
            self._way = way
            # One for each of two chunks that are under way together.
            self._scratch = [cuda.device_array(way.scratch, np.float32) for _ in range(2)]
            self._compile()

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
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; predictions to Y[B, O].

        Where a number of ``seqs`` is not 0, the prediction is kept in the row as well.
        """
        if seqs is None or not len(seqs):
            slots = ~slots
        elif not np.all(seqs):
            slots = np.where(seqs, slots, ~slots)
        with self._device:
            flying: list[_Buffers] = []
            for n, start in enumerate(range(0, len(slots), CHUNK)):
                if n >= 2:
                    flying.pop(0).land()
                part = slice(start, start + CHUNK)
                buffers = self._buffers_for(len(slots[part]), n % 2)
                buffers.fill(slots[part], X[part])
                self._launch(rows.memory, buffers, n % 2)
                buffers.fly(Y[part])
                flying.append(buffers)
            for buffers in flying:
                buffers.land()

    def launcher(
        self, rows: DeviceRows, slots: NDArray[np.int64], X: Float32Array
    ) -> Callable[[], None]:
        """Return what launches the kernel for a block again and again, without any copy.

        For benchmarks: what a launch alone costs.
        """
        with self._device:
            buffers = _Buffers(len(slots), *self._sizes)
            buffers.fill(slots, X)
            buffers.stream.synchronize()

        def launch() -> None:
            with self._device:
                self._launch(rows.memory, buffers, 0)

        return launch

    def one_stream(self, rows: DeviceRows) -> None:
        """Return None: a single stream goes the way of a block."""

    def rehearse(self, initial: Float32Array, inputs: int, outputs: int) -> None:
        """Do nothing: kernels were launched, and weights are there, since this was made."""

    def succeed(self, old: Any, rows: Any) -> None:
        """Do nothing: nobody knows the other one by an address."""

    def _compile(self) -> None:
        """Step an empty block, so that nobody waits for the compiler later."""
        buffers, none = self._buffers_for(0, 0), cuda.device_array(1, np.float32)
        buffers.fill(np.empty(0, np.int64), np.empty(0, np.float32))
        self._launch(none, buffers, 0)
        buffers.stream.synchronize()

    def _launch(self, memory: Any, buffers: "_Buffers", turn: int) -> None:
        way = self._way
        blocks = min(max(1, -(-buffers.count // way.width)), way.blocks)
        way.kernel[blocks, way.threads, buffers.stream, way.shared](
            self._weights,
            self._program,
            memory,
            buffers.slots,
            buffers.X,
            buffers.Y,
            self._scratch[turn],
            way.argument,
        )

    def _buffers_for(self, count: int, turn: int) -> "_Buffers":
        """Return buffers for ``count`` streams; those of both turns may be in use at once."""
        room = _SMALLEST
        while room < count:
            room *= 2
        key = room, turn
        if key not in self._buffers:
            self._buffers[key] = _Buffers(room, *self._sizes)
        return self._buffers[key]


class _Way(NamedTuple):
    """How a network is launched.

    Attributes
    ----------
    kernel : kernel
    width : int
        Streams of a block of threads.
    threads, blocks : int
        Of a block, and of a grid at most.
    shared : int
        Bytes of shared memory of a block.
    scratch : int
        Floats of global memory.
    argument : int
        The last one of the kernel.
    """

    kernel: Any
    width: int
    threads: int
    blocks: int
    shared: int
    scratch: int
    argument: int

    @classmethod
    def of(cls, plan: Plan, kernel: str | None) -> "_Way":
        program, threads = plan.program, WARPS * LANES
        if kernel == "scalar":
            size = SCALAR_BLOCK * SCALAR_BLOCKS * scalar.scratch_size(program)
            return cls(scalar.step, SCALAR_BLOCK, SCALAR_BLOCK, SCALAR_BLOCKS, 0, size, LANES)
        values, panels = fused.values(program), -(-int(program[layout.STRIDE]) // LANES)
        # More tiles than warps have panels for leave fewer blocks to fill the device.
        widths = [n * TILE for n in (4, 2, 1) if n == 1 or n * panels <= 2 * WARPS]
        for way, made, beside in (
            ("resident", fused.step_resident, len(plan.weights)),
            ("shared", fused.step_shared, 0),
        ):
            for width in widths if kernel in (None, way) else ():
                size = 4 * (fused.STARTS + beside + values * (width + SPACE))
                if size <= MAX_SHARED:
                    blocks = BLOCKS if beside else _MOST_BLOCKS
                    return cls(made, width, threads, blocks, size, 1, width)
        size = BLOCKS * values * (TILE + SPACE)
        return cls(fused.step_global, TILE, threads, BLOCKS, 4 * fused.STARTS, size, TILE)


class _Buffers:
    """A CUDA stream, and pinned and device memory for what goes up and comes down on it.

    Slots and observations stand one behind the other and go up in one copy.

    Parameters
    ----------
    room : int
        For how many streams.
    F, O : int
        Numbers of an observation and of a prediction.
    """

    def __init__(self, room: int, F: int, O: int) -> None:
        self.count, self.stream = 0, cuda.stream()
        head = room + 1
        self._up = cuda.pinned_array(head + room * F, np.float32)
        self._up[:] = 0
        self._down = cuda.pinned_array(room * O, np.float32)
        self._given_slots, self._given = self._up[:head].view(np.int32), self._up[head:]
        self._above = cuda.device_array(head + room * F, np.float32)
        self.slots = self._above[:head].view(np.int32)
        self.X = self._above[head:]
        self.Y = cuda.device_array(room * O, np.float32)
        self._answers: Float32Array = np.empty(0, np.float32)

    def fill(self, slots: NDArray[np.int64], X: Float32Array) -> None:
        """Send what a kernel on this stream is to take up."""
        self.count = self._given_slots[0] = len(slots)
        self._given_slots[1 : len(slots) + 1] = slots
        self._given[: X.size] = X.ravel()
        self._above.copy_to_device(self._up, stream=self.stream)

    def fly(self, Y: Float32Array) -> None:
        """Send for the predictions behind the kernel; :meth:`land` puts them into Y[B, O]."""
        self._answers = Y
        self.Y.copy_to_host(self._down, stream=self.stream)

    def land(self) -> None:
        """Wait for all of that."""
        self.stream.synchronize()
        self._answers[:] = self._down[: self._answers.size].reshape(self._answers.shape)


def check_device(device: int) -> None:
    """Raise ModelError if there is no CUDA device of this number."""
    if not cuda.is_available():
        raise ModelError(
            "backend: cuda was asked for, but numba finds no NVIDIA GPU with driver and toolkit "
            "here; install streamlstm[cuda] and the driver, or say backend='cpu'."
        )
    if device >= len(cuda.gpus):
        raise ModelError(
            f"backend: CUDA device {device} was asked for, but there are {len(cuda.gpus)}, counted "
            "from 0."
        )
