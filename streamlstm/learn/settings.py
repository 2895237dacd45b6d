"""Settings of a training run, a class a theme; `Settings` has them all.

A new setting is a field here with a line in the docstring, and an option of the same name in
``cli/train/options.py`` and ``cli/train/command.py``. `streamlstm.train` takes it by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ..errors import DataError
from ..network.checks import horizon_suffix

MOST_STEPS, MOST_HORIZONS = 1_000_000, 1_000
WHOLE_NUMBERS = {"epochs": 1, "window": 2, "batch": 1, "embedding": 1, "patience": 1, "seed": 0}
"""The least value of each setting that is a whole number."""


def parse_horizons(given: object) -> int | tuple[int, ...]:
    """Return the steps ahead: of 24, "24", "1..24", or a sequence of such, rising, each once.

    Raises
    ------
    DataError
        If it is none of these.
    """
    parts = given if isinstance(given, tuple | list | range) else (given,)
    steps: set[int] = set()
    for part in parts:
        first, dots, last = str(part).strip().partition("..")
        ends = (first, last if dots else first)
        digits = all(end.isascii() and end.isdigit() and len(end) < 20 for end in ends)
        if isinstance(part, bool) or not digits:
            raise DataError(
                f"horizon: expected steps ahead, such as 24, or 1..24 for each of these, "
                f"got {str(part)[:40]}"
            )
        begin, end = map(int, ends)
        if not 1 <= begin <= end or end > MOST_STEPS or end - begin >= MOST_HORIZONS:
            raise DataError(
                f"horizon: expected steps from 1 to {MOST_STEPS}, rising, and {MOST_HORIZONS} of "
                f"them at most, got {part}"
            )
        steps |= set(range(begin, end + 1))
    if not 1 <= len(steps) <= MOST_HORIZONS:
        raise DataError(f"horizon: expected 1 to {MOST_HORIZONS} different ones, got {len(steps)}")
    found = tuple(sorted(steps))
    return found[0] if len(found) == 1 else found


def _whole(name: str, given: object, least: int) -> int:
    """Return a whole number, also of NumPy's types.

    Raises
    ------
    DataError
        If it is none, or less than the least.
    """
    if not isinstance(given, Integral) or isinstance(given, bool) or int(given) < least:
        raise DataError(f"{name}: expected a whole number of {least} or more, got {given!r}")
    return int(given)


@dataclass(frozen=True)
class NetworkSettings:
    """What is trained.

    Attributes
    ----------
    hidden_sizes : tuple of int
        ``H`` of each recurrent layer.
    cell : str
        "lstm", "gru" or "rnn".
    layer_norm : bool
        Whether the outputs of each recurrent layer are normalised.
    residual : bool
        Whether each recurrent layer that is as wide as its inputs adds them to its outputs.
    dropout : float
        Dropout rate between layers.
    recurrent_dropout : float
        Dropout rate between steps, with the same mask at all steps of a window.
    embedding : int
        Width of the vector of each category, where the first input is one.
    quantiles : tuple of float
        Quantiles of each target in place of one forecast: between 0 and 1, rising, with 0.5.
    skip : bool
        Whether targets that are among the inputs are predicted as changes from their last value.
    linear : bool
        Whether a linear part from the last values and the season stands beside the network.
    """

    hidden_sizes: tuple[int, ...] = (64,)
    cell: str = "lstm"
    layer_norm: bool = False
    residual: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    embedding: int = 16
    quantiles: tuple[float, ...] = ()
    skip: bool = True
    linear: bool = True


@dataclass(frozen=True)
class OptimizationSettings:
    """How it is trained.

    The defaults were chosen on validation periods of two public series: the taxi and the
    transformer series of the benchmarks.

    Attributes
    ----------
    epochs : int
        Maximum number of epochs.
    window : int
        ``T``, steps that gradients flow back; the state is carried on from window to window.
    batch : int
        ``B``, windows per update.
    rate : float
        Initial learning rate of Adam.
    weight_decay : float
        How far weights shrink towards 0 with each update, as a fraction of the learning rate.
    patience : int
        Epochs without a lower validation error after which the rate is cut, or training ends.
    cuts : int
        How often the rate is cut, to a third each time, before training ends.
    shift : float
        Standard deviation of a random offset of the inputs of each window, in standard deviations
        of the inputs. A network that predicts changes then does not rely on levels, which drift:
        the later levels of the transformer series hardly occur in its training period; with the
        offset the best validation error of each of three seeds was below persistence's, without it
        of one. Unused unless all targets are predicted as changes.
    delta : float
        Error at which the loss turns from quadratic to linear, in standard deviations of the
        target. Small for series that are mostly constant and then jump: their best prediction is
        the median.
    seed : int
        The same seed gives the same weights on the same machine.
    """

    epochs: int = 300
    window: int = 64
    batch: int = 8
    rate: float = 6e-3
    weight_decay: float = 0.0
    patience: int = 15
    cuts: int = 2
    shift: float = 0.5
    delta: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class DataSettings:
    """What it is trained on.

    Attributes
    ----------
    target : tuple of str
        The columns to predict.
    classify : str or None
        The column of the class that each row is to be given, in place of a target.
    target_category : str or None
        The column of a category, of which the next is predicted from those before.
    class_weights : str
        "none", or "balanced": errors count so that every class weighs the same.
    sequence_column : str or None
        The column that names the sequence of each row. A sequence has an end; the state is reset
        before the next, and whole sequences are for training, validation and test.
    inputs : tuple of str or None
        The input columns; None for every numeric column that may help (`data.checks`).
    horizon : int or tuple of int
        Steps ahead to predict; of several each target gets an output for each.
    season : int or None
        Steps per season of the seasonal baseline; None to estimate it.
    train_fraction, validation_fraction : float
        Fractions of each series, from its start; the rest is the test set.
    time_column : str, tuple of str, or None
        The time column, if it is not to be detected; several are joined.
    stream_column : str or None
        The column that names each row's series.
    time_unit, time_format, timezone, decimal, thousands : str or None
    missing_values : tuple of str
    sort : bool
    resample : str or None
    allow_gaps : bool
        As in `data.options.ReadOptions`.
    fill : str
        What takes the place of a missing value of an input: "refuse", "last", "mean", "zero" or
        "predict", as in `Online`.
    difference : tuple of str
        Inputs that are counters: their changes go into the network, and a target among them is
        predicted as its last value and a change. The model does it in serving too.
    calendar : str or tuple of str
        Features of the event time that are inputs: some of "hour", "weekday", "yearday" and
        "since"; "none"; or "auto", by the validation period.
    zone : str
        Time zone of the calendar.
    """

    target: tuple[str, ...] = ()
    classify: str | None = None
    target_category: str | None = None
    class_weights: str = "none"
    sequence_column: str | None = None
    inputs: tuple[str, ...] | None = None
    horizon: int | tuple[int, ...] = 1
    season: int | None = None
    train_fraction: float = 0.7
    validation_fraction: float = 0.1
    time_column: str | tuple[str, ...] | None = None
    stream_column: str | None = None
    time_unit: str | None = None
    time_format: str | None = None
    timezone: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    missing_values: tuple[str, ...] = ()
    sort: bool = False
    resample: str | None = None
    allow_gaps: bool = False
    fill: str = "refuse"
    difference: tuple[str, ...] = ()
    calendar: str | tuple[str, ...] = "none"
    zone: str = "UTC"


@dataclass(frozen=True)
class OnlineSettings:
    """What stands around the network when it is served.

    Attributes
    ----------
    online : bool
        Add prediction intervals and anomaly scores, and adaptation where it helped on the
        validation rows.
    """

    online: bool = True


@dataclass(frozen=True)
class Settings(OnlineSettings, DataSettings, OptimizationSettings, NetworkSettings):
    """All settings of a training run, by name: those of the network come first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", parse_horizons(self.horizon))
        if isinstance(self.difference, str):
            object.__setattr__(self, "difference", (self.difference,))
        if isinstance(self.quantiles, float):
            object.__setattr__(self, "quantiles", (self.quantiles,))
        for name, least in WHOLE_NUMBERS.items():
            object.__setattr__(self, name, _whole(name, getattr(self, name), least))

    @property
    def reading(self) -> dict[str, Any]:
        """How to read the table, by the fields of `data.options.ReadOptions`."""
        same = (
            *("stream_column", "time_unit", "time_format", "timezone", "decimal", "thousands"),
            *("missing_values", "sort", "resample", "allow_gaps"),
        )
        times = self.time_column
        columns = (times,) if isinstance(times, str) else tuple(times or ())
        return {name: getattr(self, name) for name in same} | {"time_columns": columns}

    @property
    def class_column(self) -> str:
        """The column of the classes; empty if the targets are numbers."""
        return self.classify or self.target_category or ""

    @property
    def horizons(self) -> tuple[int, ...]:
        """The steps ahead, rising, each once."""
        return (self.horizon,) if isinstance(self.horizon, int) else self.horizon

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs: those of the targets, with several horizons ``target@+steps``."""
        steps = self.horizons
        if len(steps) == 1:
            return self.target
        return tuple(name + horizon_suffix(h) for h in steps for name in self.target)

    def of(self, *themes: type) -> dict[str, object]:
        """Return the settings of some themes by name."""
        return {name: getattr(self, name) for theme in themes for name in theme.__annotations__}
