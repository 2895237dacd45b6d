"""Which outputs of a model are forecasts, of which column, and which are bounds around one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import DataError
from ...network.model import Model
from ..classes.kinds import tells_classes

_QUANTILE = re.compile(r"(?P<base>.+)_q(?P<percent>\d+(\.\d+)?)")


class Pair(NamedTuple):
    """Two outputs that are quantiles, the lower and the upper bound of an interval.

    Attributes
    ----------
    level : float
        The share of values between them.
    low, high : int
        Outputs.
    """

    level: float
    low: int
    high: int


class Point(NamedTuple):
    """An output that is a forecast.

    Attributes
    ----------
    output : int
    target : str
        The column that it forecasts.
    pairs : tuple of Pair
        The quantiles around it, the narrowest first.
    """

    output: int
    target: str
    pairs: tuple[Pair, ...]


def find_points(
    model: Model, names: Sequence[str], given: Sequence[str] | None = None
) -> tuple[Point, ...]:
    """Return the outputs of a model that are forecasts; of quantiles the medians.

    Parameters
    ----------
    model : Model
    names : sequence of str
        Columns of the table.
    given : sequence of str, optional
        The columns as the user names them, one for each output.

    Raises
    ------
    DataError
        If there is an output of which nothing in the table says what it forecasts.
    """
    if tells_classes(model):
        raise DataError(
            "expected a model that forecasts numbers; the outputs of this one are the shares of "
            f"classes ({', '.join(model.outputs[:5])}, ...)"
        )
    groups = _quantiles(model.outputs)
    bounds = {n for by_level in groups.values() for n in by_level.values()}
    medians = {by_level[50.0]: _pairs(by_level) for by_level in groups.values()}
    outputs = [n for n in range(model.output_size) if n not in bounds or n in medians]
    if given and len(given) not in (1, len(outputs)):
        forecasts = ", ".join(model.outputs[n] for n in outputs)
        raise DataError(
            f"target: expected one column for each forecast ({forecasts}), got {', '.join(given)}"
        )
    columns = list(given or ()) * (len(outputs) if given and len(given) == 1 else 1)
    found = columns or [_column(model, n, names) for n in outputs]
    return tuple(
        Point(n, column, medians.get(n, ())) for n, column in zip(outputs, found, strict=True)
    )


def target_columns(model: Model, names: Sequence[str]) -> tuple[str, ...]:
    """Return for each output the column that it forecasts, of quantiles too.

    Raises
    ------
    DataError
        If there is an output of which nothing in the table says what it forecasts.
    """
    return tuple(_column(model, n, names) for n in range(model.output_size))


def forecast_of(output: str) -> str:
    """Return what an output forecasts by its name, of a quantile without its level."""
    quantile = _QUANTILE.fullmatch(output)
    return quantile["base"] if quantile else output


def _column(model: Model, output: int, names: Sequence[str]) -> str:
    """Return the column that an output forecasts, by its name or by its input."""
    name, source = model.outputs[output], model.targets[output]
    for candidate in (name, forecast_of(name)):
        for base in (candidate, candidate.rpartition("@+")[0]):
            if base in names:
                return base
    if source >= 0:
        return model.inputs[source]
    raise DataError(
        f"expected a column {name!r} with what came, to compare the model's output with; the "
        f"columns are {', '.join(names)}. Name the column with --target, once for each output"
    )


def _quantiles(outputs: Sequence[str]) -> dict[str, dict[float, int]]:
    """Return the outputs of quantiles that have a median: by what they forecast and percent."""
    found: dict[str, dict[float, int]] = {}
    for n, name in enumerate(outputs):
        if quantile := _QUANTILE.fullmatch(name):
            found.setdefault(quantile["base"], {})[float(quantile["percent"])] = n
    return {base: levels for base, levels in found.items() if 50.0 in levels}


def _pairs(by_level: dict[float, int]) -> tuple[Pair, ...]:
    """Return the quantiles of the same distance from the median as intervals."""
    pairs = []
    for percent in sorted((p for p in by_level if p < 50), reverse=True):
        other = round(100 - percent, 6)
        if other in by_level:
            level = round((other - percent) / 100, 8)
            pairs.append(Pair(level, by_level[percent], by_level[other]))
    return tuple(pairs)
