"""A model made ready to follow the one that an engine runs.

All that takes long is done here, while the engine steps with the old model: checks, the compiled
kernels, packed weights, a first step. :meth:`streamlstm.Engine.follow` then only exchanges them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.backend import Backend
from ..backends.plan import initial_row
from ..errors import ModelMismatchError
from ..lazy_arrays import lazy_zeros
from ..network.compatibility import changes_between, difference
from ..network.model import Model
from .state_table import StateTable

Float32Array = NDArray[np.float32]


class Reloaded(NamedTuple):
    """What a change of model has changed.

    Attributes
    ----------
    model, before : str
        Fingerprints of the model that runs now and of the one before.
    anew : bool
        Whether the memory of every stream began anew.
    changed : list of str
        What is another, in words; empty if the models are the same.
    """

    model: str
    before: str
    anew: bool
    changed: list[str]


@dataclass(frozen=True, eq=False)
class Next:
    """A model that is ready, for an engine that ran ``running`` when it was made.

    Attributes
    ----------
    backend : Backend
        It has made its first step.
    initial : float32[R]
        The row of a stream that has seen nothing.
    rows : float32[S, R], on the host or elsewhere, or None
        Where streams begin anew; None where they go on. The first ``filled`` are initial rows.
    """

    running: Model
    model: Model
    backend: Backend
    initial: Float32Array
    rows: Any
    filled: int
    what: Reloaded

    @property
    def anew(self) -> bool:
        """Whether streams begin anew."""
        return self.rows is not None


def make_next(
    running: Model, model: Model, anew: bool, table: StateTable, make: Callable[[Model], Backend]
) -> Next:
    """Make a model ready; takes its time, and changes nothing.

    Parameters
    ----------
    running, model : Model
    anew : bool
        Whether streams begin anew.
    table : StateTable
    make : callable
        Makes the backend of a model.

    Raises
    ------
    ModelMismatchError
        If streams cannot go on with the model, and are not to begin anew.
    """
    reason = difference(running, model)
    if reason is not None and not anew:
        raise ModelMismatchError(
            f"reload: streams cannot go on with this model: {reason}. Nothing has changed; reload "
            "one of the same layout, or let the streams begin anew (--anew)."
        )
    backend, initial = make(model), initial_row(model)
    backend.rehearse(initial, model.input_size, model.output_size)
    rows: Any = None
    filled = 0
    make_rows = getattr(backend, "make_rows", None)  # of one that keeps them elsewhere
    if anew and make_rows is not None:
        rows = make_rows(table.capacity, initial)  # all of them initial
    elif anew:
        rows = lazy_zeros(table.capacity * len(initial), np.float32)
        rows = rows.reshape(table.capacity, len(initial))
        filled = table.used
        rows[:filled] = initial
    what = Reloaded(model.fingerprint, running.fingerprint, anew, changes_between(running, model))
    return Next(running, model, backend, initial, rows, filled, what)
