"""In which order units stand in a heat map, so that those that move together are neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def similar_first(values: Array) -> NDArray[np.intp]:
    """Order units by similarity of what they do over time.

    The Fiedler vector of the graph of correlations places every unit on a line, near those that it
    moves with. Units that hardly move say little and stand at the end.

    Parameters
    ----------
    values : float[T, H]
        One column a unit.

    Returns
    -------
    int[H]
        The units in the order in which to draw them.

    References
    ----------
    J. Atkins, E. Boman, B. Hendrickson, "A Spectral Algorithm for Seriation and the Consecutive
    Ones Problem", SIAM Journal on Computing 28(1), 1998.
    """
    spread = values.std(axis=0, dtype=np.float64)
    moving = np.flatnonzero(spread > 0.05 * max(spread.max(initial=0.0), 1e-12))
    still = np.setdiff1d(np.arange(values.shape[1]), moving)
    if len(moving) < 3:
        return np.concatenate([moving, still]).astype(np.intp)
    scaled = (values[:, moving] - values[:, moving].mean(axis=0, dtype=np.float64)) / spread[moving]
    similarity = 0.5 + 0.5 * (scaled.T @ scaled) / len(values)
    np.fill_diagonal(similarity, 0)
    laplacian = np.diag(similarity.sum(axis=1)) - similarity
    fiedler = np.linalg.eigh(laplacian)[1][:, 1]
    # An eigenvector has no sign: the end with the larger mean goes on top, in every picture.
    order = moving[np.argsort(fiedler, kind="stable")]
    half = len(order) // 2
    if values[:, order[:half]].mean() < values[:, order[-half:]].mean():
        order = order[::-1]
    return np.concatenate([order, still]).astype(np.intp)
