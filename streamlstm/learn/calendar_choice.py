"""Which features of the event time a network gets: as asked for, or by the validation period."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..network.online import CALENDAR
from .dataset import Dataset
from .fit import fit
from .settings import Settings

Array = NDArray[Any]
DAY = 86_400.0
TRIAL_EPOCHS = 8
WORTH = 0.99  # of the validation error without: what a calendar has to reach to be taken
# Spacing in seconds up to which a feature tells rows apart, and the span from which it repeats.
_PLAUSIBLE = {
    "hour": (DAY / 2, 4 * DAY),
    "weekday": (3.5 * DAY, 21 * DAY),
    "yearday": (61 * DAY, 730 * DAY),
}


def parse_calendar(given: str | Sequence[str]) -> tuple[str, ...] | None:
    """Return the features of "hour,weekday" in their order, none of "none", None of "auto".

    Raises
    ------
    DataError
        If there is no such feature.
    """
    names = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
    if names == ["auto"]:
        return None
    if names in (["none"], [], [""]):
        return ()
    if not set(names) <= set(CALENDAR) or len(set(names)) < len(names):
        raise DataError(
            f"calendar: expected auto, none, or some of {', '.join(CALENDAR)}, each once, got "
            f"{', '.join(map(str, names))}"
        )
    return tuple(sorted(names, key=list(CALENDAR).index))


def plausible(times: Array, spacing: float) -> tuple[str, ...]:
    """Return the features that can tell something of rows at such times."""
    span = float(times[-1] - times[0]) if len(times) else 0.0
    return tuple(
        name for name, (most, least) in _PLAUSIBLE.items() if spacing <= most and span >= least
    )


def choose_calendar(
    make: Callable[[tuple[str, ...]], Dataset], features: tuple[str, ...], settings: Settings
) -> tuple[str, ...]:
    """Return those of some sets of features with which a short training ends best.

    Parameters
    ----------
    make : callable
        Returns the data set with some features.
    features : tuple of str
        Those that are plausible: tried are none, the first, and all.
    settings : Settings
    """
    trial = replace(settings, epochs=min(settings.epochs, TRIAL_EPOCHS), quantiles=())
    best: tuple[str, ...] = ()
    least = WORTH * fit(make(best), trial).best.validation
    for tried in dict.fromkeys((features[:1], features)):
        if not tried:
            continue
        error = fit(make(tried), trial).best.validation
        if np.isfinite(error) and error < least:
            best, least = tried, error
    return best
