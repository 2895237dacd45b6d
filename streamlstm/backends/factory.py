"""What can advance a block of streams: the compiled kernels, or the reference.

A backend holds a model in the form that its kernels take, and steps rows of a state table. It
knows nothing of stream ids.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..kernels import layout, reference
from ..lazy_arrays import lazy_zeros
from ..network.activations import parse_activation
from ..network.layers import Layer
from ..network.model import Model
from .plan import compile_plan, row_layout
from .precision import check_precision, round_weights
from .warmup import compile_kernels

Float32Array = NDArray[np.float32]
NAMES = ("cpu", "cuda", "reference")

# So many multiply-adds must fall to a thread before it brings more than it may cost: a thread that
# still spins is there in 2 us, one that sleeps in some 10 us, in which a core does about this much.
THREAD_WORK = 300_000


class Backend(Protocol):
    """What :class:`streamlstm.Engine` asks of a backend."""

    name: str
    threads: int
    row_size: int

    def step_block(
        self,
        rows: Any,
        slots: NDArray[np.int64],
        X: NDArray[Any],
        Y: NDArray[Any],
        seqs: NDArray[np.uint64] | None = None,
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; predictions to Y[B, O].

        A backend whose rows are not in the host's memory keeps the predictions of observations
        with a number, which ``seqs`` has where there are any; for others the table does so.
        """

    def reserve(self, count: int) -> Any:
        """Take the memory that a block of so many streams needs, before anything is changed.

        Raises CapacityError if there is not enough.
        """

    def one_stream(self, rows: Any) -> "OneStream | None":
        """Return quick ways to step single streams of a table, if there are any."""

    def rehearse(self, initial: Float32Array, inputs: int, outputs: int) -> None:
        """Make a first step, of a stream with the row ``initial[R]`` that nobody has."""

    def succeed(self, old: Any, rows: Any) -> None:
        """Take the place of a backend of the same class, which is not used any more.

        What others know by its address stays where it is. The rows may be others than before.
        """


class OneStream(NamedTuple):
    """Compiled ways to step one stream of a table (kernels/onestep.py).

    Attributes
    ----------
    task : int
        Address of the task that they take.
    held : int64[1]
        They do nothing while it is not 0.
    steps : int64[1]
        How many steps they have made.
    """

    task: int
    held: NDArray[np.int64]
    steps: NDArray[np.int64]
    step_text: Callable[..., bool]
    step_integer: Callable[..., bool]
    step_slot: Callable[..., bool]


class CpuBackend:
    """The compiled kernels, on one thread or several.

    Parameters
    ----------
    model : Model
    threads : int, optional
        How many threads a large block may use; as many as this process may run on if left out.
    weights : {"float32", "float16", "bfloat16"}
        How a single stream's step reads them; the model's are rounded to it already.

    Attributes
    ----------
    address : int
        Of the task (kernels/layout.py) that steps what it is pointed to.
    inputs, outputs : int
        F and O.
    work : int
        Multiply-adds of a step of one stream.
    thread_work : int
        So many must fall to each thread for a block to be shared.
    """

    name = "cpu"

    def __init__(self, model: Model, threads: int | None = None, weights: str = "float32") -> None:
        from ..kernels import compile, simd, step

        plan = compile_plan(model, simd.LANES, weights)
        compile_kernels(compile.needed(plan.kinds, weights))
        wanted = threads or len(os.sched_getaffinity(0))
        self.threads = wanted if compile.can_run_parallel() else 1
        self.row_size = plan.row_size
        self.thread_work = THREAD_WORK
        self.inputs, self.outputs = model.input_size, model.output_size
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
        if compile.can_run_parallel():
            self._task[layout.TASK_SHARED] = compile.address(step.step_shared)
        for kind in plan.kinds:
            group, single = compile.layer_kernels(kind, weights)
            self._task[layout.TASK_LAYERS + kind] = compile.address(group)
            self._task[layout.TASK_SINGLES + kind] = compile.address(single)
        self._observation = np.zeros(model.input_size, np.float32)
        self._task[layout.TASK_OBSERVATION] = self._observation.ctypes.data
        self.address = self._task.ctypes.data
        self._rows: Float32Array | None = None
        self._call = compile.step_entries()

    def step_block(
        self,
        rows: Float32Array,
        slots: NDArray[np.int64],
        X: Float32Array,
        Y: Float32Array,
        seqs: NDArray[np.uint64] | None = None,  # noqa: ARG002
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; predictions to Y[B, O]."""
        if rows is not self._rows:
            self._take(rows)
        threads = min(self.threads, len(slots) * self.work // self.thread_work)
        if threads > 1:
            self._call.step_parallel(self.address, slots, X, Y, threads)
        else:
            self._call.step_block(self.address, slots, X, Y)

    def prepare(
        self, rows: Float32Array, slots: NDArray[np.int64], X: Float32Array, Y: Float32Array
    ) -> tuple[int, int]:
        """Return addresses of function and task that let compiled code step this block.

        The code calls ``kernels.memory.call_at(function, task, first, last, thread)``, as often as
        it likes while nothing else uses this backend. The caller keeps the arrays alive.
        """
        self._take(rows)
        self._call.step_block(self.address, slots[:0], X, Y)
        return int(self._task[layout.TASK_STEP]), self.address

    def reserve(self, count: int) -> None:
        """Do nothing: a block needs no more memory than was taken."""

    def one_stream(self, rows: Float32Array) -> OneStream:
        """Return what steps single streams of a table in one compiled call."""
        self._take(rows)
        held, steps = (self._task[n : n + 1] for n in (layout.TASK_HELD, layout.TASK_STEPS))
        call = self._call
        return OneStream(
            self.address, held, steps, call.step_text, call.step_integer, call.step_slot
        )

    def rehearse(self, initial: Float32Array, inputs: int, outputs: int) -> None:
        """Make a first step, so that weights and scratch are in memory."""
        X, Y = np.zeros((1, inputs), np.float32), np.zeros((1, outputs), np.float32)
        self._take(initial[None].copy())
        self._call.step_block(self.address, np.zeros(1, np.int64), X, Y)

    def succeed(self, old: "CpuBackend", rows: Float32Array) -> None:
        """Go on in the task of another backend: whoever has its address steps this model."""
        task = old._task
        stays = [layout.TASK_HELD, layout.TASK_STEPS]
        self._task[stays] = task[stays]
        task[:] = self._task
        self._task, self.address = task, old.address
        self._take(rows)

    def _take(self, rows: Float32Array) -> None:
        self._task[layout.TASK_ROWS] = rows.ctypes.data
        self._rows = rows


class ReferenceBackend:
    """The NumPy specification, slow and readable; in float64 it is what others are held against.

    Parameters
    ----------
    model : Model
    dtype : dtype
        In which everything is computed.
    """

    name = "reference"
    threads = 1

    def __init__(self, model: Model, dtype: Any = np.float32) -> None:
        self._model, self._dtype = model, dtype
        places, self.row_size = row_layout(model)
        self._layers = [
            (
                partial(
                    reference.LAYERS[layer.kind],
                    weights={n: array.astype(dtype, copy=False) for n, array in arrays.items()},
                    **_options(layer),
                ),
                place,
            )
            for layer, place, arrays in zip(model.layers, places, model.weights, strict=True)
        ]

    def step_block(
        self,
        rows: NDArray[Any],
        slots: NDArray[np.int64],
        X: NDArray[Any],
        Y: NDArray[Any],
        seqs: NDArray[np.uint64] | None = None,  # noqa: ARG002
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; predictions to Y[B, O]."""
        state = [
            {name: rows[slots, columns] for name, columns in place.items()}
            for _, place in self._layers
        ]
        Y[:], state, _ = self.compute(X, state)
        for (_, place), kept in zip(self._layers, state, strict=True):
            for name, columns in place.items():
                rows[slots, columns] = kept[name]

    def reserve(self, count: int) -> None:
        """Do nothing: a block needs no more memory than was taken."""

    def one_stream(self, rows: Float32Array) -> None:
        """Return None: a single stream goes the way of a block."""

    def rehearse(self, initial: Float32Array, inputs: int, outputs: int) -> None:
        """Make a first step, of which nothing stays."""
        row, X, Y = initial[None].copy(), np.zeros((1, inputs)), np.zeros((1, outputs))
        self.step_block(row, np.zeros(1, np.int64), X, Y)

    def succeed(self, old: "ReferenceBackend", rows: Float32Array) -> None:
        """Do nothing: nobody knows the other one by an address."""

    def compute(
        self, X: NDArray[Any], state: list[dict[str, NDArray[Any]]], traced: bool = False
    ) -> tuple[NDArray[Any], list[dict[str, NDArray[Any]]], list[dict[str, NDArray[Any]]]]:
        """Take X[B, F] through all layers from a state for each; nothing is changed.

        Returns
        -------
        Y : float[B, O]
            Predictions.
        state : list of dict
            What each layer remembers after the step.
        traces : list of dict
            If ``traced``, the gates of each recurrent layer by name, and each layer's ``output``.
        """
        model = self._model
        values = model.input_scaling.apply(X.astype(self._dtype)).astype(self._dtype)
        after: list[dict[str, NDArray[Any]]] = []
        traces: list[dict[str, NDArray[Any]]] = []
        for (step, place), before in zip(self._layers, state, strict=True):
            traces.append({})
            keywords = {"trace": traces[-1]} if traced and place else {}
            # Products of finite numbers were seen to warn now and then; what is no number shows.
            with np.errstate(invalid="ignore"):
                values, kept = step(values, before, **keywords)
            after.append(kept)
            traces[-1]["output"] = values
        Y = model.output_scaling.invert(values)
        for output, source in enumerate(model.skip or ()):
            if source >= 0:
                Y[:, output] += model.skip_factors[output].astype(self._dtype) * X[:, source]
        return Y, after, traces


def _options(layer: Layer) -> dict[str, Any]:
    """Return what the reference takes as keywords: all fields but sizes, activations parsed."""
    options: dict[str, Any] = {}
    for name, value in asdict(layer).items():
        if name.endswith("activation"):
            short = name.removesuffix("_activation")
            options[short] = parse_activation(value, together=True)
        elif name == "epsilon" or name.endswith("_clip") or name in ("coupled", "reset_after"):
            options[name] = value
    return options


def compile_for(model: Model, weights: str = "float32", also: Sequence[str] = ()) -> None:
    """Compile now what an engine for ``model`` needs, and tell on standard error that it goes on.

    A program that will not wait in silence calls this before it makes the engine. ``also`` names
    other kernels that it needs.
    """
    from ..kernels import compile, simd

    plan = compile_plan(model, simd.LANES, weights)
    compile_kernels([*compile.needed(plan.kinds, weights), *also], tell=True)


def check_backend(name: str, weights: str) -> None:
    """Raise ModelError if there is no backend of that name, or no such precision of weights."""
    check_precision(weights)
    if not isinstance(name, str) or (name not in ("auto", *NAMES) and device_of(name) is None):
        raise ModelError(
            f"backend: expected auto, {', '.join(NAMES[:-1])} or {NAMES[-1]}, or cuda:N for one "
            f"of several devices, got {name!r}."
        )


def device_of(name: str) -> int | None:
    """Return the number of the CUDA device that a backend's name asks for, None if it does not."""
    found = re.fullmatch(r"cuda(?::([0-9]{1,9}))?", name)
    return None if found is None else int(found[1] or 0)


def make_backend(
    name: str, model: Model, threads: int | None = None, weights: str = "float32"
) -> Backend:
    """Make the backend called ``name``; "auto" takes the one for the CPU.

    Raises
    ------
    ModelError
        If there is no backend of that name or no device for it, or no such precision of weights.
    """
    check_backend(name, weights)
    model = round_weights(model, weights)
    device = device_of(name)
    if device is not None:
        from .cuda.backend import CudaBackend  # here, so that nobody else waits for numba.cuda

        return CudaBackend(model, device)
    return ReferenceBackend(model) if name == "reference" else CpuBackend(model, threads, weights)
