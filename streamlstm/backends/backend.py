"""The interface between an engine and its backends."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


class Backend(Protocol):
    """A model in the form that its kernels take; steps rows of a state table.

    It knows nothing of stream ids.
    """

    name: str
    threads: int
    row_size: int

    @property
    def why_not_in_a_child(self) -> str:
        """What in it does not survive a fork, in a sentence; empty if all does."""

    def step_block(
        self,
        rows: Any,
        slots: NDArray[np.int64],
        X: NDArray[Any],
        Y: NDArray[Any],
        seqs: NDArray[np.uint64] | None = None,
        times: NDArray[np.float64] | None = None,
    ) -> None:
        """Advance ``rows[S, R]`` at ``slots[B]`` (each once) by X[B, F]; results to Y[B, W].

        ``times`` has event times in seconds, NaN for none, which only an online stage reads.
        ``seqs`` has the sequence numbers of the observations, 0 for none. A backend whose rows are
        not in the host's memory stores the predictions of numbered observations in the rows; for
        others the table does so.
        """

    def step_run(
        self,
        rows: Any,
        slot: NDArray[np.int64],
        X: NDArray[Any],
        Y: NDArray[Any],
        seqs: NDArray[np.uint64],
        times: NDArray[np.float64],
    ) -> None:
        """Advance one row, that at slot[1], by X[T, F] in order; results go to Y[T, W].

        ``seqs`` and ``times`` are as for :meth:`step_block`, of length T or empty.
        """

    def use_rows(self, rows: Any) -> None:
        """Let compiled functions that step single streams step these rows from now on."""

    def learn(self, rows: Any, slot: int, back: int, labels: Float32Array) -> int:
        """Learn from labels[O] of the step of a slot that came ``back`` steps before its last.

        Returns what became of them (kernels/online/outcomes.py). ``labels`` may be changed.
        """

    def reserve(self, count: int) -> Any:
        """Allocate the memory that a block of ``count`` streams needs, before anything changes.

        Raises CapacityError if there is not enough.
        """

    def single_stream(self, rows: Any, head: int) -> "SingleStream | None":
        """Return compiled functions that step single streams of a table, if there are any.

        ``head`` is the address of the table's head (kernels/id_index.py).
        """

    def warm_up(self, initial: Float32Array, inputs: int, results: int) -> None:
        """Make a first step of a temporary stream, ``initial[R]``, with F inputs and W results."""

    def take_over(self, old: Any, rows: Any) -> None:
        """Replace a backend of the same class, which must not be used any more.

        The address of its task stays valid. The rows may differ from those before.
        """


def step_one_by_one(
    backend: Backend,
    rows: Any,
    slot: NDArray[np.int64],
    X: NDArray[Any],
    Y: NDArray[Any],
    seqs: NDArray[np.uint64],
    times: NDArray[np.float64],
) -> None:
    """Do what :meth:`Backend.step_run` does in blocks of one observation."""
    for t in range(len(X)):
        row = slice(t, t + 1)
        backend.step_block(rows, slot, X[row], Y[row], seqs[row], times[row])


class SingleStream(NamedTuple):
    """Compiled functions that step one stream of a table (kernels/single_step.py).

    Attributes
    ----------
    locked : int64[1]
        While it is not 0, they do nothing and return None.
    steps : int64[1]
        Number of steps that they have made.
    step_stream, step_slot : callable
        Return a result; None if nothing was done.
    """

    locked: NDArray[np.int64]
    steps: NDArray[np.int64]
    step_stream: Callable[..., Any]
    step_slot: Callable[..., Any]
