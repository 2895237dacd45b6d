"""What was told of each row beside what it was: the arrays that scores are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...network.model import Model
from ..classes.dataset import UNKNOWN
from ..classes.kinds import has_logarithms

Array = NDArray[Any]
Rows = NDArray[np.intp]
MIN_BEFORE = 10  # rows before the scored ones that say how frequent classes are


@dataclass(frozen=True, eq=False)
class ToldClasses:
    """The classes that a model told of a table of n rows.

    Row ``t`` holds what was told when row ``t`` of the table had come: of itself, or of the next
    row of the same stream for next events.

    Attributes
    ----------
    classes : tuple of str
    own, truth : int[n]
        The class that stands in each row, and the one that it had to tell; -1 for none.
    told : int[n]
        The class with the largest share.
    share : float64[n]
        Its share.
    log_share : float64[n]
        The logarithm of the share of the true class; NaN without one.
    aimed : int[n]
        The row of the table that was told of; -1 where the stream ends before.
    scored : bool[n]
        Which rows are scored.
    """

    classes: tuple[str, ...]
    own: Rows
    truth: Rows
    told: Rows
    share: NDArray[np.float64]
    log_share: NDArray[np.float64]
    aimed: Rows
    scored: NDArray[np.bool_]

    def rows(self, of: Rows | None = None) -> Rows:
        """Return the scored rows, all or those of a stream."""
        return np.flatnonzero(self.scored) if of is None else of[self.scored[of]]


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is known of classes without a model.

    Attributes
    ----------
    shares : float64[C]
        How frequent each was: in the rows before the scored ones, or, where fewer than ten came
        before, in the scored ones themselves.
    followers : int[C] or None
        Of next events what followed most often on each.
    """

    shares: NDArray[np.float64]
    followers: Rows | None


def told_classes(
    model: Model,
    results: Array,
    own: Rows,
    groups: Sequence[Rows],
    first: Sequence[int],
    warm_up: int = 0,
) -> ToldClasses:
    """Lay what a model told beside what it was.

    Parameters
    ----------
    model : Model
    results : float32[n, W]
        The result of every row.
    own : int[n]
        The class that stands in each row; -1 for none.
    groups : sequence of int[k]
        The rows of each stream, in order.
    first : sequence of int
        For each stream the first of its rows whose class is scored.
    warm_up : int
        So many first rows of each stream tell nothing that is scored.
    """
    n, horizon = len(results), model.horizon
    shares = results[:, : model.output_size].astype(np.float64)
    truth, aimed = np.full(n, UNKNOWN), np.full(n, -1, np.intp)
    scored = np.zeros(n, bool)
    for rows, start in zip(groups, first, strict=True):
        made = np.arange(len(rows) - horizon)  # positions whose target is in the table
        if not len(made):
            continue
        aimed[rows[made]] = rows[made + horizon]
        truth[rows[made]] = own[rows[made + horizon]]
        scored[rows[made[made >= max(start - horizon, warm_up, 0)]]] = True
    scored &= (truth != UNKNOWN) & np.isfinite(shares).all(axis=1)
    logs = has_logarithms(model)
    with np.errstate(invalid="ignore"):  # a stream after a long gap tells nothing
        of_truth = shares[np.arange(n), np.maximum(truth, 0)]
        log_share = of_truth if logs else np.log(np.maximum(of_truth, 1e-30))
    told = np.where(np.isfinite(shares), shares, -np.inf).argmax(axis=1)
    share = shares[np.arange(n), told]
    return ToldClasses(
        classes=model.outputs,
        own=own,
        truth=truth,
        told=told,
        share=np.exp(share) if logs else share,
        log_share=np.where(truth == UNKNOWN, np.nan, log_share),
        aimed=aimed,
        scored=scored,
    )


def baseline_of(told: ToldClasses, next_event: bool) -> Baseline:
    """Return what the rows before the scored ones say of classes."""
    known = (told.truth != UNKNOWN) & (told.aimed >= 0)
    before = np.flatnonzero(known & ~told.scored)
    rows = before if len(before) >= MIN_BEFORE else told.rows()
    C = len(told.classes)
    counts = np.bincount(told.truth[rows], minlength=C) + 1
    followers = None
    if next_event:
        pairs = np.zeros((C, C), np.int64)
        np.add.at(pairs, (told.own[rows], told.truth[rows]), 1)
        followers = pairs.argmax(axis=1)
    return Baseline(counts / counts.sum(), followers)
