"""Prepares a model to replace the one that an engine runs.

All slow work is done here, while the engine steps with the old model: checks, compiled kernels,
packed weights, a first step. :meth:`streamlstm.Engine.commit_reload` then only exchanges them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.backend import Backend
from ..backends.plan import initial_row, prediction_place
from ..errors import ModelMismatchError
from ..lazy_arrays import lazy_zeros
from ..network.compatibility import describe_changes, incompatibility
from ..network.model import Model
from .last_prediction import prediction_slice
from .state_table import StateTable

Float32Array = NDArray[np.float32]


class ReloadResult(NamedTuple):
    """The difference that a reload made.

    Attributes
    ----------
    model, before : str
        Fingerprints of the model that runs now and of the one before.
    anew : bool
        Whether all streams restarted from the initial state.
    changed : list of str
        What differs, in words; empty if the models are the same.
    """

    model: str
    before: str
    anew: bool
    changed: list[str]


@dataclass(frozen=True, eq=False)
class PreparedReload:
    """A model that is ready to replace ``running``.

    Attributes
    ----------
    backend : Backend
        It has made its first step.
    initial : float32[R]
        The row of a stream that has seen nothing.
    rows : float32[S, R], on the host or elsewhere, or None
        The new rows if streams restart, else None. The first ``filled`` are initial.
    """

    running: Model
    model: Model
    backend: Backend
    initial: Float32Array
    rows: Any
    filled: int
    result: ReloadResult

    @property
    def anew(self) -> bool:
        """True if streams restart from the initial state."""
        return self.rows is not None

    def switch_rows(self, table: StateTable) -> None:
        """Let a table's streams continue or restart with the new model; under the engine's lock."""
        if self.rows is None:
            table.set_initial(self.initial)
            return
        if table.on_host:
            self.rows[self.filled : table.used_slots] = self.initial
        before, after = (
            prediction_slice(prediction_place(model)) for model in (self.running, self.model)
        )
        if _adds(self.running) != _adds(self.model):
            before = before._replace(outputs=0)  # what is kept of a prediction would mean another
        table.restart_streams(self.initial, self.rows, before, after)


def _adds(model: Model) -> object:
    """Return what is added to the outputs in a row, or something unique if that is in the row."""
    if model.has_levels:
        return object()
    return None if model.output_offsets is None else model.output_offsets.tolist()


def prepare_reload(
    running: Model, model: Model, anew: bool, table: StateTable, make: Callable[[Model], Backend]
) -> PreparedReload:
    """Make a model ready to replace another; slow, and changes nothing.

    Parameters
    ----------
    running, model : Model
    anew : bool
        Whether streams restart from the initial state.
    table : StateTable
    make : callable
        Makes the backend of a model.

    Raises
    ------
    ModelMismatchError
        If streams cannot continue with the model, and are not to restart.
    """
    reason = incompatibility(running, model)
    if reason is not None and not anew:
        raise ModelMismatchError(
            f"reload: streams cannot continue with this model: {reason}. Nothing has changed; "
            "reload one of the same layout, or restart all streams (--anew)."
        )
    backend, initial = make(model), initial_row(model)
    backend.warm_up(initial, model.observation_size, model.result_size)
    rows: Any = None
    filled = 0
    make_rows = getattr(backend, "make_rows", None)  # of a backend with rows on a device
    if anew and make_rows is not None:
        rows = make_rows(table.capacity, initial)  # all of them initial
    elif anew:
        rows = lazy_zeros(table.capacity * len(initial), np.float32)
        rows = rows.reshape(table.capacity, len(initial))
        filled = table.used_slots
        rows[:filled] = initial
    changed = describe_changes(running, model)
    result = ReloadResult(model.fingerprint, running.fingerprint, anew, changed)
    return PreparedReload(running, model, backend, initial, rows, filled, result)
