"""How good is it, against what costs nothing: persistence and the value of a season ago."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.learn.dataset import Dataset

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """Mean absolute errors on the held-back ends of the series, in the target's unit.

    Attributes
    ----------
    target : str
        The column.
    values : int
        How many values were predicted.
    model : float
        The model's error, stepped from the start of each series.
    persistence : float
        The error of saying that the value will be as it is now.
    seasonal : float or None
        The error of saying that it will be as it was a season before; None without a season.
    """

    target: str
    values: int
    model: float
    persistence: float
    seasonal: float | None


def score(
    data: Dataset, predictions: Array, targets: Sequence[str], season: int | None = None
) -> list[Score]:
    """Score predictions on the held-back ends.

    Parameters
    ----------
    data : Dataset
        Knows the series and where their ends begin.
    predictions : float[N, O]
        What the model answered to every row of the data set, in the series' unit.
    targets : sequence of str
        O names.
    season : int, optional
        Steps a season.

    Returns
    -------
    list of Score
        One for each target; empty if nothing was held back.
    """
    # Whole seasons back from the value, far enough to be known when the prediction is made.
    back = None if season is None else season * -(-data.horizon // season)
    model, persistence, seasonal = [], [], []
    for s in data.series:
        at = np.arange(max(s.validation_end, data.horizon, back or 0), len(s))
        truth = s.values[at][:, data.targets].astype(np.float64)
        model.append(np.abs(predictions[s.begin + at - data.horizon] - truth))
        persistence.append(np.abs(s.values[at - data.horizon][:, data.targets] - truth))
        seasonal.append(np.abs(s.values[at - (back or 0)][:, data.targets] - truth))
    errors, still, ago = (np.concatenate(part) for part in (model, persistence, seasonal))
    if not len(errors):
        return []
    return [
        Score(
            target=target,
            values=len(errors),
            model=float(errors[:, o].mean()),
            persistence=float(still[:, o].mean()),
            seasonal=float(ago[:, o].mean()) if back else None,
        )
        for o, target in enumerate(targets)
    ]


def find_season(values: Array) -> int | None:
    """Find the length of the strongest season of a series, in steps, by its autocorrelation.

    A season shows as a peak: values that far apart are more alike than values somewhat nearer. In
    the series itself the peak must reach 0.3 and rise 0.2 above the valley before it, or a slow
    drift would pass for one. Where drift hides the season, the changes from step to step may still
    show it: there a peak of 0.1 is enough if it comes again at twice the distance.

    Parameters
    ----------
    values : float[n]
        One target over the training stretch.

    Returns
    -------
    int or None
        At least 2 and at most a third of the series, or None if there is no such peak.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 12 or np.std(x) <= 1e-6 * np.abs(x).max():
        return None
    r = _autocorrelation(x)
    valley = np.minimum.accumulate(r)
    peaks = _peaks(r)
    peaks = peaks[(r[peaks] >= 0.3) & (r[peaks] - valley[peaks] >= 0.2)]
    if not len(peaks):
        r = _autocorrelation(np.diff(x))
        peaks = _peaks(r)
        peaks = peaks[(r[peaks] >= max(0.1, 5 / np.sqrt(len(x)))) & (2 * peaks < len(r))]
        peaks = peaks[r[2 * peaks] >= 0.6 * r[peaks]]
    if not len(peaks):
        return None
    # Every multiple of a season is one too: the shortest of those that are about as good.
    return int(peaks[r[peaks] >= 0.9 * r[peaks].max()][0])


def _autocorrelation(x: Array) -> Array:
    """Return the autocorrelation at distances 0 to a third of the series."""
    n = len(x)
    steps = np.arange(n)
    x = x - np.polynomial.Polynomial.fit(steps, x, 1)(steps)
    spectrum = np.fft.rfft(x, 1 << (2 * n - 1).bit_length())
    r = np.fft.irfft(spectrum * spectrum.conj())[: n // 3 + 2] / max(float(x @ x), 1e-300)
    # By the number of pairs, or long seasons would be held to be weaker.
    scaled: Array = r * n / (n - np.arange(len(r)))
    return scaled


def _peaks(r: Array) -> NDArray[np.intp]:
    inner = np.arange(2, len(r) - 1)
    return inner[(r[inner] >= r[inner - 1]) & (r[inner] > r[inner + 1])]
