"""What an engine asks of a backend, and what the backend for the CPU offers beside it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


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
    """Compiled ways to step one stream of a table (kernels/single_step.py).

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
