"""Scores live predictions against persistence, the forecast that nothing changes."""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

LEVEL = 0.9  # of the intervals that are shown
STEADY = 5e-3  # a stream whose mean change per second, in the model's unit, is less is steady


class Sample(NamedTuple):
    """An observation, and the prediction made with it; None where there is none."""

    value: float
    prediction: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass
class StreamScore:
    """Recent values and predictions of one stream, and the sums of its errors.

    Parameters
    ----------
    horizon : int
        Steps ahead of a prediction.
    quiet : int
        First observations that are not scored: the model gets to know the stream.
    """

    horizon: int
    quiet: int = 0
    past: deque[Sample] = field(default_factory=lambda: deque(maxlen=600))
    seen: int = 0
    scored: int = 0
    judged: int = 0  # values that had an interval, and those inside
    covered: int = 0
    alarms: int = 0
    alarm: str = ""  # the kind of the alarm that the last observation has
    model_error: float = 0.0  # sums of |error|, in the model's unit
    persistence_error: float = 0.0

    @property
    def value(self) -> float:
        """The last observation."""
        return self.past[-1].value

    @property
    def prediction(self) -> float | None:
        """The last prediction, for `horizon` steps from now."""
        return self.past[-1].prediction

    @property
    def predicted_for_now(self) -> float | None:
        """The prediction made `horizon` steps ago, for now."""
        return self._before.prediction if self._before else None

    @property
    def _before(self) -> Sample | None:
        """What came `horizon` steps ago."""
        return self.past[-1 - self.horizon] if len(self.past) > self.horizon else None

    @property
    def ratio(self) -> float | None:
        """Error relative to persistence; None if persistence has no error or nothing is scored."""
        return self.model_error / self.persistence_error if self.persistence_error > 0 else None

    @property
    def is_steady(self) -> bool:
        """Whether the stream hardly changes, so that its ratio means nothing."""
        return self.scored > 0 and self.persistence_error < STEADY * self.scored

    @property
    def is_learning(self) -> bool:
        """Whether the observations so far are too few for a verdict."""
        return self.seen <= self.quiet

    def add(self, sample: Sample, alarm: str = "") -> None:
        """Add an observation and its prediction; score the earlier prediction for now."""
        self.seen += 1
        self.past.append(sample)
        self.alarm = alarm
        self.alarms += bool(alarm)
        before = self._before
        if before is None or before.prediction is None or self.is_learning:
            return
        self.scored += 1
        self.model_error += abs(before.prediction - sample.value)
        self.persistence_error += abs(before.value - sample.value)
        if before.low is not None and before.high is not None:
            self.judged += 1
            self.covered += before.low <= sample.value <= before.high


class Scoreboard:
    """The scores of all streams, and their totals.

    Parameters
    ----------
    horizon : int
        Steps ahead of a prediction.
    quiet : int
        First observations of each stream that are not scored.
    """

    def __init__(self, horizon: int, quiet: int = 0) -> None:
        self.streams: dict[str, StreamScore] = defaultdict(lambda: StreamScore(horizon, quiet))
        self.observations = 0
        self.predictions = 0
        self.errors: list[str] = []
        self.round_trips: list[float] = []  # microseconds

    def add(self, line: dict[str, Any]) -> None:
        """Add one JSON line of ``streamlstm publish --json``."""
        self.observations += 1
        if "error" in line:
            self.errors.append(line["error"]["message"])
        prediction = line.get("prediction")
        if prediction is not None:
            self.predictions += 1
            self.round_trips.append(line["round_trip_us"])
        if "value" in line:
            # A refused observation still counts as a time step, without a prediction.
            said = (
                line[key][0] if line.get(key) else None for key in ("prediction", "low", "high")
            )
            alarm = line.get("kind", "") if line.get("alarm") else ""
            self.streams[line["stream"]].add(Sample(line["value"][0], *said), alarm)

    @property
    def is_learning(self) -> bool:
        """Whether no stream has had enough observations for a verdict."""
        return all(score.is_learning for score in self.streams.values())

    @property
    def coverage(self) -> float | None:
        """The share of values that were inside the interval forecast for them."""
        judged = sum(score.judged for score in self.streams.values())
        covered = sum(score.covered for score in self.streams.values())
        return covered / judged if judged else None

    @property
    def alarms(self) -> int:
        """Observations with an alarm."""
        return sum(score.alarms for score in self.streams.values())

    @property
    def ratio(self) -> float | None:
        """Error of all streams relative to persistence."""
        persistence = sum(score.persistence_error for score in self.streams.values())
        model = sum(score.model_error for score in self.streams.values())
        return model / persistence if persistence > 0 else None

    def round_trip(self, percent: float) -> float | None:
        """Nearest-rank percentile of the round trips in microseconds."""
        if not self.round_trips:
            return None
        ranked = sorted(self.round_trips)
        return ranked[max(math.ceil(percent / 100 * len(ranked)) - 1, 0)]

    def summary(self) -> dict[str, Any]:
        """All results, for JSON; errors are means in the model's unit.

        The ratio of a "steady" stream, which hardly changed, means nothing.
        """
        scored = sum(score.scored for score in self.streams.values())
        return {
            "observations": self.observations,
            "predictions": self.predictions,
            "refused": len(self.errors),
            "scored": scored,
            "alarms": self.alarms,
            "coverage": self.coverage,
            "round_trip_us": {"p50": self.round_trip(50), "p99": self.round_trip(99)},
            "error": _errors(
                scored,
                sum(score.model_error for score in self.streams.values()),
                sum(score.persistence_error for score in self.streams.values()),
            ),
            "streams": {
                name: {
                    **_errors(score.scored, score.model_error, score.persistence_error),
                    "steady": score.is_steady,
                }
                for name, score in self.streams.items()
            },
        }


def _errors(scored: int, model: float, persistence: float) -> dict[str, float | int | None]:
    """Return mean absolute errors, and their ratio if persistence has any error."""
    return {
        "scored": scored,
        "model": model / scored if scored else None,
        "persistence": persistence / scored if scored else None,
        "ratio": model / persistence if persistence > 0 else None,
    }
