"""Finds the length of a season by autocorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def find_season(values: Array) -> int | None:
    """Find the length of the strongest season of a series, in steps, by its autocorrelation.

    A season is a peak of the autocorrelation. In the series itself the peak must reach 0.3 and rise
    0.2 above the minimum before it, or a slow drift would pass for a season. Where drift hides the
    season, the differences from step to step may still show it: there a peak of 0.1 is enough if it
    repeats at twice the lag.

    Parameters
    ----------
    values : float[n]
        One target over the training period.

    Returns
    -------
    int or None
        At least 2 and at most a third of the series, or None if there is no such peak.
    """
    x = np.asarray(values, np.float64)
    if len(x) < 12 or np.std(x) <= 1e-6 * np.abs(x).max():
        return None
    r = _autocorrelation(x)
    minimum = np.minimum.accumulate(r)
    peaks = _peaks(r)
    peaks = peaks[(r[peaks] >= 0.3) & (r[peaks] - minimum[peaks] >= 0.2)]
    if not len(peaks):
        r = _autocorrelation(np.diff(x))
        peaks = _peaks(r)
        peaks = peaks[(r[peaks] >= max(0.1, 5 / np.sqrt(len(x)))) & (2 * peaks < len(r))]
        peaks = peaks[r[2 * peaks] >= 0.6 * r[peaks]]
    if not len(peaks):
        return None
    # Every multiple of a season is one too: take the shortest of those about as high.
    return int(peaks[r[peaks] >= 0.9 * r[peaks].max()][0])


def _autocorrelation(x: Array) -> Array:
    """Return the autocorrelation at lags from 0 to a third of the series."""
    n = len(x)
    steps = np.arange(n)
    x = x - np.polynomial.Polynomial.fit(steps, x, 1)(steps)
    spectrum = np.fft.rfft(x, 1 << (2 * n - 1).bit_length())
    r = np.fft.irfft(spectrum * spectrum.conj())[: n // 3 + 2] / max(float(x @ x), 1e-300)
    # Scaled by the number of pairs, or long seasons would seem weaker.
    scaled: Array = r * n / (n - np.arange(len(r)))
    return scaled


def _peaks(r: Array) -> NDArray[np.intp]:
    """Return the lags of local maxima, 2 or more."""
    inner = np.arange(2, len(r) - 1)
    return inner[(r[inner] >= r[inner - 1]) & (r[inner] > r[inner + 1])]
