"""Scores of each output of a model, in every stream and over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...data.table import Table
from .errors import NAN, mean_change, score_errors
from .evaluation import Score
from .forecasts import Forecasts, Rows
from .intervals import pooled, score_intervals
from .stretches import MOST, worst_stretches


def score_each(
    table: Table,
    groups: Mapping[str, Rows],
    firsts: Mapping[str, int],
    forecasts: Sequence[Forecasts],
) -> list[Score]:
    """Score every output in every stream."""
    scores = []
    columns = [table.select([made.target])[:, 0].astype(np.float64) for made in forecasts]
    for stream, rows in groups.items():
        for made, values in zip(forecasts, columns, strict=True):
            scored = made.rows(rows)
            scale = mean_change(values[rows], firsts[stream])
            scores.append(
                Score(
                    stream=stream,
                    output=made.output,
                    target=made.target,
                    horizon=made.horizon,
                    errors=score_errors(made, scored, scale),
                    intervals=score_intervals(made, scored),
                    worst=worst_stretches(made, scored),
                )
            )
    return scores


def score_all(forecasts: Sequence[Forecasts], scores: Sequence[Score]) -> tuple[Score, ...]:
    """Return the score of each output over all streams."""
    totals = []
    for made in forecasts:
        parts = [s for s in scores if s.output == made.output and s.errors.values]
        known = [s.errors for s in parts if s.errors.mase == s.errors.mase]
        values = sum(errors.values for errors in known)
        mase = sum(errors.values * errors.mase for errors in known) / values if values else NAN
        by_level = zip(*(s.intervals for s in parts), strict=True)
        worst = sorted((w for s in parts for w in s.worst), key=lambda w: -w.mae)
        totals.append(
            Score(
                stream=None,
                output=made.output,
                target=made.target,
                horizon=made.horizon,
                errors=replace(score_errors(made, made.rows(), NAN), mase=mase),
                intervals=tuple(pooled(list(level)) for level in by_level),
                worst=tuple(worst[:MOST]),
            )
        )
    return tuple(totals)
