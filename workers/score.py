"""How well live predictions turned out, against saying that nothing will change."""

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

STEADY = 5e-3  # mean change in a second, in the model unit, below which there is nothing to predict


@dataclass
class StreamScore:
    """One stream's recent past and the errors of the predictions made for it.

    Parameters
    ----------
    horizon : int
        How many steps ahead a prediction refers to.
    """

    horizon: int
    past: deque[tuple[float, float | None]] = field(default_factory=lambda: deque(maxlen=600))
    seen: int = 0
    scored: int = 0
    model_error: float = 0.0  # sums of |error|, in the model's unit
    persistence_error: float = 0.0

    @property
    def value(self) -> float:
        """What was observed last."""
        return self.past[-1][0]

    @property
    def prediction(self) -> float | None:
        """What was predicted last, for `horizon` steps from now."""
        return self.past[-1][1]

    @property
    def predicted_for_now(self) -> float | None:
        """What was predicted `horizon` steps ago, for now."""
        return self.past[-1 - self.horizon][1] if len(self.past) > self.horizon else None

    @property
    def ratio(self) -> float | None:
        """Error over persistence's; None where persistence was never wrong or nothing is scored."""
        return self.model_error / self.persistence_error if self.persistence_error > 0 else None

    @property
    def is_steady(self) -> bool:
        """Whether there was nothing to predict: less than half a percent of load, say."""
        return self.scored > 0 and self.persistence_error < STEADY * self.scored

    def add(self, value: float, prediction: float | None) -> None:
        """Take an observation and its answer; judge the prediction made for now."""
        self.seen += 1
        self.past.append((value, prediction))
        expected = self.predicted_for_now
        if expected is not None:
            self.scored += 1
            self.model_error += abs(expected - value)
            self.persistence_error += abs(self.past[-1 - self.horizon][0] - value)


class Scoreboard:
    """The score of every stream, and of all of them together.

    Parameters
    ----------
    horizon : int
        How many steps ahead a prediction refers to.
    """

    def __init__(self, horizon: int) -> None:
        self.streams: dict[str, StreamScore] = defaultdict(lambda: StreamScore(horizon))
        self.observations = 0
        self.predictions = 0
        self.errors: list[str] = []
        self.round_trips: list[float] = []  # microseconds

    def add(self, line: dict[str, Any]) -> None:
        """Take one JSON line of ``streamlstm publish --json``."""
        self.observations += 1
        if "error" in line:
            self.errors.append(line["error"]["message"])
        prediction = line.get("prediction")
        if prediction is not None:
            self.predictions += 1
            self.round_trips.append(line["round_trip_us"])
        if "value" in line:
            # A refused observation still takes its place in time, without a prediction.
            answer = None if prediction is None else prediction[0]
            self.streams[line["stream"]].add(line["value"][0], answer)

    @property
    def ratio(self) -> float | None:
        """Error of all streams over persistence's."""
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
        """Everything that was observed, for JSON; errors are means in the model's unit.

        A stream that is "steady" hardly moved: its ratio says nothing.
        """
        scored = sum(score.scored for score in self.streams.values())
        return {
            "observations": self.observations,
            "predictions": self.predictions,
            "refused": len(self.errors),
            "scored": scored,
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
    """Mean absolute errors, and their ratio where persistence made any."""
    return {
        "scored": scored,
        "model": model / scored if scored else None,
        "persistence": persistence / scored if scored else None,
        "ratio": model / persistence if persistence > 0 else None,
    }
