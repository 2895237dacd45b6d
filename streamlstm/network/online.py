"""The online stage of a model: what is done with observations and predictions beside the network.

A specification is data in the model file. What it means is in the NumPy functions of
streamlstm/online; what it remembers of a stream is in the stream's state row (backends/plan.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn

import numpy as np

from ..errors import ModelError, shown
from .time_zone import transitions

# Of the columns that the stage keeps in a state row; of a stage that fills with "mean" or
# "predict", and of one with intervals or labels of what no input is. Those of others are the same.
STATE_VERSION, FILL_VERSION, JUDGED_VERSION = 3, 4, 5
FILLS = ("refuse", "last", "mean", "zero", "predict")
CALENDAR = {"hour": 2, "weekday": 2, "yearday": 2, "since": 1}  # inputs of the network for each
ADAPTATIONS = ("none", "mix", "rls")
KINDS = ("", "spike", "level", "variance", "calm", "novelty", "missing")
SIDES = ("both", "upper", "lower")
SCALINGS = ("model", "stream")
MAX_LEVELS = 8
MAX_GAP = 2**20
MAX_SEASON = 2**16
MAX_LABELS = 2**12
MAX_HORIZON = 1_024  # of a model with a stage, which keeps forecasts until they can be judged


@dataclass(frozen=True)
class Online:
    """What stands around a network: missing values, scaling, adaptation, intervals, anomalies.

    Parameters
    ----------
    fill : {"refuse", "last", "mean", "zero", "predict"}, or one for each input
        What takes the place of a missing value (NaN; nil on the wire): the observation is refused;
        the last value; the mean of the stream; zero; or the last value moved towards the network's
        own prediction of that input, as far as that has earned trust at the ends of earlier gaps.
    max_gap : int
        After so many missing values in a row of one input the stream predicts nothing (NaN) until
        a value comes.
    calendar : sequence of {"hour", "weekday", "yearday", "since"}
        Inputs of the network that are computed from the event time and stand behind the others:
        hour of the day, day of the week and of the year, as sine and cosine each, and the time
        since the stream's last observation. An observation without a time is then refused.
    zone : str
        Time zone of the calendar, such as "Europe/Zurich".
    spacing : float
        Usual seconds between two observations, the unit of "since".
    transitions : sequence of (float, float), optional
        When the zone's offset from UTC changes, and to what, in seconds: made from ``zone`` if left
        out, and kept in the model file, so that serving needs no data of time zones.
    scale : {"model", "stream"}
        Whether inputs are scaled by the constants of training, or by a running mean and standard
        deviation of each stream, so that one model serves sensors of different level and spread.
    adapt : {"none", "mix", "rls"}
        Whether the last layer learns from each stream while it runs: "rls" by recursive least
        squares, "mix" that and the naive forecasts, weighted by how good they have been lately.
    season : int
        Steps of a season, whose last change is a feature of the adapted layer; 0 for none.
    labels : int
        For how many of its last observations a stream accepts labels from outside
        (:meth:`streamlstm.Engine.learn`); 0 if the labels are the inputs themselves.
    intervals : sequence of float
        Levels of prediction intervals, such as ``(0.5, 0.9)``; rising, each once.
    side : {"both", "upper", "lower"}
        Whether an interval has two bounds, or only an upper or a lower one.
    lower, upper : float, optional
        Bounds of the outputs themselves, such as 0 for what cannot be negative.
    anomaly : bool
        Whether observations get an anomaly score, a p-value and an alarm, and whether it is told
        when forecasts become worse than they were (drift). So do labels from outside of outputs
        that forecast no input; what they show is told with the next observation.
    alarm_rate : float
        At most so many false alarms a row, on a stream that does not change.
    difference : sequence of int
        Inputs that are counters, rising: in place of a value its change since the stream's last row
        goes into the network, taken in float64 (network.differences). Outputs that forecast them
        forecast the change, and are answered as values. ``lower`` and ``upper`` bound the change.
    targets : sequence of int, optional
        For each output the input that it forecasts, ``horizon`` steps ahead, or -1 for none. Left
        out: the input with the name of the output, else the one that ``skip`` adds to it.

    Raises
    ------
    ModelError
        If a value is not among those above.
    """

    fill: str | tuple[str, ...] = "refuse"
    max_gap: int = 100
    calendar: tuple[str, ...] = ()
    zone: str = "UTC"
    spacing: float = 1.0
    transitions: tuple[tuple[float, float], ...] = ()
    scale: str = "model"
    adapt: str = "none"
    season: int = 0
    labels: int = 0
    intervals: tuple[float, ...] = ()
    side: str = "both"
    lower: float | None = None
    upper: float | None = None
    anomaly: bool = False
    alarm_rate: float = 1e-4
    difference: tuple[int, ...] = ()
    targets: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("fill", "calendar", "intervals", "difference", "targets"):
            value = getattr(self, name)
            if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        fills = (self.fill,) if isinstance(self.fill, str) else self.fill
        if not isinstance(fills, tuple) or not fills or not all(fill in FILLS for fill in fills):
            self._refuse("fill", f"one of {', '.join(FILLS)}, or one for each input")
        for name, choices in (("scale", SCALINGS), ("adapt", ADAPTATIONS), ("side", SIDES)):
            if getattr(self, name) not in choices:
                self._refuse(name, f"one of {', '.join(choices)}")
        for name, least, most in (
            ("max_gap", 1, MAX_GAP),
            ("season", 0, MAX_SEASON),
            ("labels", 0, MAX_LABELS),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                self._refuse(name, f"an integer from {least} to {most}")
        self._check_levels()
        self._check_calendar()
        if not isinstance(self.anomaly, bool):
            self._refuse("anomaly", "True or False")
        if not _is_between(self.alarm_rate, 0, 0.05):
            self._refuse("alarm_rate", "a rate above 0 and below 0.05")
        counters = self.difference
        whole = isinstance(counters, tuple) and all(type(n) is int and n >= 0 for n in counters)
        if not whole or list(counters) != sorted(set(counters)):
            self._refuse("difference", "indices of inputs, rising, each once")
        whole = self.targets is None or (
            isinstance(self.targets, tuple)
            and all(type(n) is int and n >= -1 for n in self.targets)
        )
        if not whole:
            self._refuse("targets", "the index of an input for each output, -1 for none")
        for name in without_effect(vars(self)):
            value, needed = getattr(self, name), _NEEDS[name]
            raise ModelError(
                f"online: {name}={shown(value)} has no effect without {needed}; choose {needed}, "
                f"or leave {name} out."
            )

    def _check_levels(self) -> None:
        levels = self.intervals
        if (
            not isinstance(levels, tuple)
            or len(levels) > MAX_LEVELS
            or not all(_is_between(level, 0, 1) for level in levels)
            or list(levels) != sorted(set(levels))
        ):
            self._refuse("intervals", f"up to {MAX_LEVELS} levels between 0 and 1, rising")
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if value is not None and not _is_between(value, -3.4e38, 3.4e38):
                self._refuse(name, "a finite number, or None")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            self._refuse("lower", f"a number below upper, {self.upper}")

    def _check_calendar(self) -> None:
        features = self.calendar
        known = isinstance(features, tuple) and all(name in CALENDAR for name in features)
        if not known or list(features) != sorted(set(features), key=list(CALENDAR).index):
            self._refuse("calendar", f"some of {', '.join(CALENDAR)}, in this order")
        if not isinstance(self.zone, str):
            self._refuse("zone", "the name of a time zone, such as Europe/Zurich")
        if not _is_between(self.spacing, 0, 1e9):
            self._refuse("spacing", "the usual seconds between two observations")
        try:
            table = tuple((float(since), float(offset)) for since, offset in self.transitions)
        except (TypeError, ValueError):
            self._refuse("transitions", "pairs of seconds")
        if self.calendar and not table:
            table = transitions(self.zone)
        object.__setattr__(self, "transitions", table if self.calendar else ())
        moments = [since for since, _ in self.transitions]
        if moments != sorted(moments) or not all(map(math.isfinite, moments)):
            self._refuse("transitions", "pairs of seconds, rising")

    def _refuse(self, name: str, expected: str) -> NoReturn:
        raise ModelError(
            f"online: expected {name} to be {expected}, got {shown(getattr(self, name))}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults as plain values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            if (value := values[field.name]) != field.default
        }

    @classmethod
    def from_dict(cls, specification: dict[str, Any]) -> "Online":
        """Build a specification from what :meth:`to_dict` returned.

        Options without effect, which files of former versions may have, are left out.

        Raises
        ------
        ModelError
            If there are other fields, or values that are not valid.
        """
        try:
            useless = without_effect(specification)
            return cls(**{n: value for n, value in specification.items() if n not in useless})
        except TypeError as error:
            raise ModelError(f"online: these fields cannot be: {error}.") from None

    def options(self) -> dict[str, Any]:
        """Return what :meth:`to_dict` does but for the table of the time zone, for people."""
        return {name: value for name, value in self.to_dict().items() if name != "transitions"}

    def describe(self) -> str:
        """Return the specification as Python code, without fields that have their default value."""
        words = (f"{name}={value!r}" for name, value in self.options().items())
        return f"Online({', '.join(words)})"

    @property
    def derived(self) -> int:
        """How many inputs of the network are computed from the event time."""
        return sum(CALENDAR[name] for name in self.calendar)

    def fill_of(self, n: int) -> str:
        """Return how input ``n`` is filled."""
        return self.fill if isinstance(self.fill, str) else self.fill[n]


# The option that each of these needs to have an effect.
_NEEDS = {
    "max_gap": "fill",
    "zone": "calendar",
    "spacing": "calendar",
    "season": "adapt",
    "side": "intervals",
    "lower": "intervals",
    "upper": "intervals",
    "alarm_rate": "anomaly",
}


def without_effect(options: Mapping[str, Any]) -> list[str]:
    """Return the names of options of a stage that do nothing, because of others or their lack."""
    defaults = {field.name: field.default for field in fields(Online)}

    def is_off(name: str) -> bool:
        value = options.get(name, defaults[name])
        return value == defaults[name] or (name == "fill" and set(value) == {"refuse"})

    return [
        name
        for name, needed in _NEEDS.items()
        if options.get(name, defaults[name]) != defaults[name] and is_off(needed)
    ]


def _is_between(value: object, low: float, high: float) -> bool:
    if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
        return False
    return math.isfinite(value) and bool(low < value < high)
