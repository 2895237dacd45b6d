"""What the online stage said of single rows: alarms, and missing values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.prediction import Predictions
from .forecasts import Rows

Array = NDArray[Any]


@dataclass(frozen=True)
class Alarm:
    """An alarm.

    Attributes
    ----------
    row : int
        Row of the table.
    kind : str
        Of ``streamlstm.network.online.KINDS``.
    score, p_value : float
        How unusual the row was.
    """

    row: int
    kind: str
    score: float
    p_value: float


@dataclass(frozen=True)
class StreamReport:
    """What happened in one stream, over the rows that are evaluated.

    Attributes
    ----------
    stream : str
        Its name; "" where the table has one stream only.
    rows : int
        Its rows in the table.
    evaluated : int
        How many of them are evaluated.
    missing_values : int
        Missing cells among the model's inputs.
    missing_rows : int
        Rows that an evenly spaced stream should have and has not.
    alarms : tuple of Alarm
    alarm_rate : float
        Alarms a row.
    """

    stream: str
    rows: int
    evaluated: int
    missing_values: int
    missing_rows: int
    alarms: tuple[Alarm, ...]
    alarm_rate: float

    @property
    def kinds(self) -> dict[str, int]:
        """How many alarms there were of each kind."""
        return dict(Counter(alarm.kind for alarm in self.alarms).most_common())


def report_stream(
    stream: str, rows: Rows, first: int, inputs: Array, time: Array | None, said: Predictions
) -> StreamReport:
    """Report what happened in one stream.

    Parameters
    ----------
    stream : str
    rows : int[k]
        Its rows of the table, in order.
    first : int
        The first of them that is evaluated.
    inputs : float[n, F]
        The model's inputs.
    time : float64[n] or None
    said : Predictions
        Of all rows of the table.
    """
    live = rows[first:]
    raised = live[said.alarm[live]]
    alarms = tuple(
        Alarm(row, said[row].kind, said[row].score, said[row].p_value) for row in raised.tolist()
    )
    return StreamReport(
        stream=stream,
        rows=len(rows),
        evaluated=len(live),
        missing_values=int(np.isnan(inputs[live]).sum()),
        missing_rows=0 if time is None else missing_rows(time[live]),
        alarms=alarms,
        alarm_rate=len(alarms) / len(live) if len(live) else float("nan"),
    )


def missing_rows(time: Array) -> int:
    """Return how many rows are missing in the gaps of a stream whose rows are mostly even."""
    steps = np.diff(time)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if usual <= 0 or np.mean(np.abs(steps - usual) <= 0.1 * usual) < 0.5:
        return 0
    return int(np.maximum(np.rint(steps / usual) - 1, 0).sum())
