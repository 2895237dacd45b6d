"""Columns of state rows by name: taken apart and put together."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def split(rows: Array, columns: Mapping[str, int]) -> dict[str, Array]:
    """Return the columns of rows[B, n] by name, as copies."""
    ends = np.cumsum([0, *columns.values()])
    return {n: rows[:, a:b].copy() for n, (a, b) in zip(columns, pairwise(ends), strict=True)}


def join(kept: Mapping[str, Array]) -> Array:
    """Return the columns side by side."""
    return np.concatenate(list(kept.values()), axis=1)
