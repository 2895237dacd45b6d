"""Orders the units of a heat map so that correlated ones are neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def seriate(values: Array) -> NDArray[np.intp]:
    """Order units by the correlation of their values over time.

    The Fiedler vector of the graph of correlations places every unit on a line, near those that it
    correlates with. Units that are almost constant come last.

    Parameters
    ----------
    values : float[T, H]
        One column per unit.

    Returns
    -------
    int[H]
        The units in the order of drawing.

    References
    ----------
    J. Atkins, E. Boman, B. Hendrickson, "A Spectral Algorithm for Seriation and the Consecutive
    Ones Problem", SIAM Journal on Computing 28(1), 1998.
    """
    spread = values.std(axis=0, dtype=np.float64)
    varying = np.flatnonzero(spread > 0.05 * max(spread.max(initial=0.0), 1e-12))
    constant = np.setdiff1d(np.arange(values.shape[1]), varying)
    if len(varying) < 3:
        return np.concatenate([varying, constant]).astype(np.intp)
    means = values[:, varying].mean(axis=0, dtype=np.float64)
    scaled = (values[:, varying] - means) / spread[varying]
    similarity = 0.5 + 0.5 * (scaled.T @ scaled) / len(values)
    np.fill_diagonal(similarity, 0)
    laplacian = np.diag(similarity.sum(axis=1)) - similarity
    fiedler = np.linalg.eigh(laplacian)[1][:, 1]
    # An eigenvector has no sign: the end with the larger mean is drawn on top.
    order = varying[np.argsort(fiedler, kind="stable")]
    half = len(order) // 2
    if values[:, order[:half]].mean() < values[:, order[-half:]].mean():
        order = order[::-1]
    return np.concatenate([order, constant]).astype(np.intp)
