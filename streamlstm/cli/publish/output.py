"""Output of ``streamlstm publish``: one line an observation, and a summary."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.client.fields import as_fields
from streamlstm.engine.prediction import Prediction
from streamlstm.errors import RemoteError

from ..console import counted, err
from ..said import digits, in_words, name_of
from .sources import Observation


class PredictionPrinter:
    """Prints each prediction or refusal, and a summary at the end.

    Parameters
    ----------
    as_json : bool
        Print one JSON object a line instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._round_trips: list[float] = []  # in microseconds
        self.refusals = self.alarms = 0

    @property
    def observations(self) -> int:
        """Number of observations that were answered or refused."""
        return len(self._round_trips) + self.refusals

    def answered(self, observation: Observation, observed: Prediction, seconds: float) -> None:
        """Print a prediction, how sure it is, and its round trip in seconds."""
        self._round_trips.append(1e6 * seconds)
        self.alarms += observed.alarm
        if self._json:
            self._line(
                **_fields(observation),
                **as_fields(observed),
                round_trip_us=round(1e6 * seconds, 1),
            )
        else:
            print(
                f"{name_of(observation.stream)}  {numbers(observation.values)}  ->  "
                f"{in_words(observed)}   {1e6 * seconds:.0f} us",
                flush=True,
            )

    def refused(self, observation: Observation, error: RemoteError) -> None:
        """Print why an observation was refused."""
        self.refusals += 1
        if self._json:
            reason = {"code": error.code, "message": str(error)}
            self._line(**_fields(observation), error=reason)
        else:
            err.print(
                f"{name_of(observation.stream)}: refused, {error.code}: {error}", markup=False
            )

    def summarize(self) -> None:
        """Print the summary on stderr."""
        summary = f"{counted(len(self._round_trips), 'prediction')}, {self.refusals:,} refused"
        if self.alarms:
            summary += f", {counted(self.alarms, 'alarm')}"
        if self._round_trips:
            p50, p99 = np.percentile(self._round_trips, [50, 99])
            summary += f"; round trip p50 {p50:.0f} us, p99 {p99:.0f} us"
        err.print(summary)

    def _line(self, **fields: Any) -> None:
        print(json.dumps(fields), flush=True)


def _fields(observation: Observation) -> dict[str, Any]:
    return {
        "time": time.time() if observation.time is None else observation.time,
        "stream": observation.stream,
        "value": [None if v != v else v for v in observation.values.tolist()],
    }


def numbers(values: NDArray[Any]) -> str:
    """Format values, separated by spaces."""
    return " ".join(map(digits, values.tolist()))
