"""Labels from outside are judged as values are: the specification.

Of an output that forecasts no input what should have been comes by ``learn`` alone. Such a label is
what came, and its error the label less what had been told of its observation: both go through the
test for drift (drift.py) and the anomaly stage (anomaly.py), which keep columns of their own for
each such output, in the order in which labels arrive. The anomaly stage gets no time, since nobody
says when a label was measured.

A label is answered with nothing but that it came. What it has shown is told with the stream's next
observation, once: of several labels the most unusual verdict, the alarm of any, drift of any, and
of each output the error of its last label and whether that was inside the interval told for it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import labelled as kernel
from . import anomaly, drift
from .columns import join, split

Array = NDArray[Any]

HEAD = {"came": 1, "drift": 1, "most": kernel.HEAD - kernel.MOST}


class Verdict(NamedTuple):
    """What is known of the labels since the last observation, each float[B].

    ``rank`` is that of ``kind``, -1 for none, and ``of_kind`` the p-value that goes with it.
    """

    score: Array
    p_value: Array
    alarm: Array
    kind: Array
    rank: Array
    of_kind: Array


def columns(judged: bool) -> dict[str, int]:
    """Return how many floats are kept of an output, by name, in their order, behind ``HEAD``.

    ``judged``: whether there is an anomaly stage.
    """
    found = {"fresh": 1, "error": 1, "covered": 1}
    tests = {"drift": sum(drift.columns().values()), "anomaly": sum(anomaly.columns().values())}
    return {**found, **tests} if judged else found


def initial(outputs: int, judged: bool) -> NDArray[np.float32]:
    """Return what the columns of so many outputs hold before the first label."""
    return np.zeros(kernel.HEAD + outputs * sum(columns(judged).values()), np.float32)


def judge(
    label: float, error: float, inside: float, pace: Array, constants: Array, shares: int,
    head: dict[str, Array], kept: dict[str, Array],
) -> tuple[dict[str, Array], dict[str, Array]]:  # fmt: skip
    """Judge one label of one output.

    Parameters
    ----------
    label, error : float
        What came, and less what had been told.
    inside : float
        1 if it was inside the interval that had been told, 0 if not, NaN if there was none.
    pace, constants : float32[...]
        Of drift and anomaly.
    shares : int
        Of all that is judged of the stream, which share the rate of alarms.
    head, kept : dict of str to float[1, n]
        ``HEAD``, and :func:`columns`.

    Returns
    -------
    tuple of dict
        Head and columns after it.
    """
    dtype = kept["error"].dtype
    kept = {**kept, "fresh": np.ones((1, 1), dtype)}
    kept["error"], kept["covered"] = (np.full((1, 1), n, dtype) for n in (error, inside))
    if "anomaly" in kept:
        r = np.array([error])
        found, tested = drift.step(r, pace, split(kept["drift"], drift.columns()))
        said, made = anomaly.step(
            np.array([label]), r, np.full(1, np.nan), constants,
            split(kept["anomaly"], anomaly.columns()),
        )  # fmt: skip
        kept["drift"], kept["anomaly"] = join(tested), join(made)
        head = {**head, "most": _merge(said, head, shares).astype(dtype)}
        head["drift"] = np.where(found[:, None], 1, head["drift"]).astype(dtype)
    return {**head, "came": np.ones((1, 1), dtype)}, kept


def known(head: dict[str, Array]) -> Verdict:
    """Return what labels have shown since the last observation."""
    came = head["came"][:, 0] != 0
    return Verdict(*(np.where(came, *pair) for pair in zip(head["most"].T, _NOTHING, strict=True)))


_NOTHING = (0.0, 1.0, 0.0, 0.0, -1.0, 2.0)


def _merge(said: tuple[Array, ...], head: dict[str, Array], shares: int) -> Array:
    """Return what is known with one more verdict, float[1, 6]."""
    score, p_value, alarm, kind = said
    before, p = known(head), np.minimum(p_value * shares, 1)
    rank = np.where(alarm > 0, 3, np.where(kind > 0, 2, 0))
    more = (rank > before.rank) | ((rank == before.rank) & (p < before.of_kind))
    merged = Verdict(
        np.maximum(before.score, score),
        np.minimum(before.p_value, p),
        np.maximum(before.alarm, alarm),
        np.where(more, np.where(rank > 0, kind, 0), before.kind),
        np.where(more, rank, before.rank),
        np.where(more, p, before.of_kind),
    )
    return np.stack(merged, axis=1)
