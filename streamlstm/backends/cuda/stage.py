"""The online stage of a model on a CUDA device: what its launches need beside the network's."""

from dataclasses import replace
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ...kernels import layout
from ...kernels.cuda import online
from ...kernels.cuda.sizes import SCALAR_BLOCK, SCALAR_BLOCKS
from ...kernels.layout import padded
from ...kernels.online import table
from ..plan import Plan
from .buffers import Buffers

Float32Array = NDArray[np.float32]


def network_alone(plan: Plan) -> Plan:
    """Return the plan of a model's network without scaling and skip; state rows are the same.

    Its weights are those of the model with a few more behind them: both programs may use them.
    """
    program, weights = plan.program.copy(), plan.weights
    inputs = int(program[layout.HEADER + layout.LAYER_INPUTS])
    outputs = int(program[layout.OUTPUTS])
    zeros, ones = np.zeros(inputs, np.float32), np.ones(inputs, np.float32)
    program[layout.INPUTS], program[layout.SKIP] = inputs, -1
    program[layout.INPUT_SCALING] = len(weights)
    program[layout.OUTPUT_SCALING] = len(weights) + 2 * inputs
    size = 2 * (inputs + outputs)
    padding = np.zeros(padded(size) - size, np.float32)  # the kernels align what is behind weights
    added = zeros, ones, np.ones(outputs, np.float32), np.zeros(outputs, np.float32), padding
    return replace(plan, program=program, weights=np.concatenate([weights, *added]))


class DeviceStage:
    """The stage's program on the current device, and its launches.

    Parameters
    ----------
    plan : Plan
        Of the model with its stage.
    weights : device array
        Those of :func:`network_alone`.
    takes_labels : bool
        Whether labels may come from outside.
    """

    def __init__(self, plan: Plan, weights: Any, takes_labels: bool) -> None:
        program = plan.program
        stage = int(program[layout.STAGE])
        self._weights, self._program = weights, cuda.to_device(program)
        self._doubles = cuda.to_device(program.view(np.float64))
        self._inputs = int(program[layout.HEADER + layout.LAYER_INPUTS])
        self._outputs = int(program[layout.OUTPUTS])
        scratch = int(program[stage + table.SCRATCH])
        self._takes_labels = takes_labels
        self._work = 2 * padded(self._outputs) + scratch
        # Of a label: one is learned from at a time.
        self._labels = cuda.device_array(self._outputs, np.float32)
        self._learning = cuda.device_array(scratch, np.float32)
        self._outcome = cuda.device_array(1, np.int64)

    def between(self, room: int) -> int:
        """Return how many floats the launches of a block of ``room`` streams share."""
        return room * (self._inputs + self._outputs) + _threads(room) * self._work

    def prepare(self, memory: Any, buffers: Buffers) -> tuple[Any, Any]:
        """Enqueue what comes before the network; return where its inputs and outputs are."""
        outputs = buffers.room * self._inputs
        work = outputs + buffers.room * self._outputs
        online.prepare[_threads(buffers.room) // SCALAR_BLOCK, SCALAR_BLOCK, buffers.stream](
            self._weights,
            self._program,
            self._doubles,
            memory,
            buffers.slots,
            buffers.times,
            buffers.X,
            buffers.between,
            work,
            self._work,
        )
        return buffers.between[:outputs], buffers.between[outputs:work]

    def conclude(self, memory: Any, buffers: Buffers) -> None:
        """Enqueue what comes behind the network."""
        outputs = buffers.room * self._inputs
        online.conclude[_threads(buffers.room) // SCALAR_BLOCK, SCALAR_BLOCK, buffers.stream](
            self._weights,
            self._program,
            memory,
            buffers.slots,
            buffers.times,
            buffers.X,
            buffers.between,
            outputs,
            outputs + buffers.room * self._outputs,
            self._work,
            buffers.Y,
        )

    def compile_learning(self, memory: Any) -> None:
        """Compile what learns from labels, where the model takes any."""
        if self._takes_labels:
            self.learn(memory, [], 0, np.zeros(self._outputs, np.float32))

    def learn(self, memory: Any, slots: list[int], back: int, labels: Float32Array) -> int:
        """Learn from labels of the stream in a slot, as the backend's method says.

        Without a slot nothing happens, but the kernel is compiled.
        """
        self._labels.copy_to_device(labels)
        chosen = cuda.to_device(np.array(slots, np.int64))
        online.learn[1, 1](
            self._weights,
            self._program,
            memory,
            chosen,
            back,
            self._labels,
            self._learning,
            self._outcome,
        )
        return int(self._outcome.copy_to_host()[0])


def _threads(room: int) -> int:
    """Return how many threads take the streams of buffers, one after another."""
    return SCALAR_BLOCK * min(-(-room // SCALAR_BLOCK), SCALAR_BLOCKS)
