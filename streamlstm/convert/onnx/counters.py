"""Counters in a graph: their last values as a state, their changes and levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...kernels.online.differences import LARGEST
from .writer import Writer

if TYPE_CHECKING:
    from ...network.model import Model

LAST, SEEN = "counters", "counters.seen"
WIDE = (LAST, f"{LAST}.next")
"""States that are float64, as the observation is."""


def counter_states(model: Model) -> list[tuple[str, int]]:
    """Return names and widths of the states: last values, and whether there were any."""
    counters = model.differences
    return [(LAST, len(counters)), (SEEN, 1)] if counters else []


def add_changes(w: Writer, model: Model, source: str) -> dict[str, str]:
    """Write what takes the changes of counters that are not filled.

    Parameters
    ----------
    w : Writer
    model : Model
        With counters.
    source : str
        Name of the observation, float64[batch, F].

    Returns
    -------
    dict of str to str
        Names of the observation with changes, by "observation", of what is added to the outputs, by
        "levels", and of each new state by its name.
    """
    counters, D = list(model.differences), len(model.differences)
    now = w.node("Gather", source, w.indices(*counters), axis=1)
    # The change of a counter that has begun again is not known: 0.
    change = w.node("Max", w.node("Sub", now, LAST), w.constant(0.0, np.float64))
    change = w.node("Min", change, w.constant(LARGEST, np.float64))
    known = w.node("Greater", SEEN, w.constant(0.0))
    change = w.node("Where", known, change, w.constant(0.0, np.float64))
    among_inputs, of_outputs = np.zeros((D, model.input_size)), np.zeros((D, model.output_size))
    among_inputs[range(D), counters] = 1
    for output, target in enumerate(model.targets):
        if target in counters:
            of_outputs[counters.index(target), output] = 1
    spread = w.node("MatMul", change, w.constant(among_inputs, np.float64))
    is_counter = w.constant(among_inputs.any(axis=0), np.bool_)
    return {
        "observation": w.node("Where", is_counter, spread, source),
        "levels": w.node("MatMul", now, w.constant(of_outputs, np.float64)),
        LAST: now,
        SEEN: w.node("Max", SEEN, w.constant(1.0)),
    }
