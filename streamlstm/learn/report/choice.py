"""What of an evaluation is worth a plot: outputs, streams and stretches of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.forecasts import Forecasts, Rows

if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation

OUTPUTS = 3
CLOSE = 240  # rows of a close view


def chosen_outputs(evaluation: Evaluation) -> list[int]:
    """Return up to three outputs: the first, one in the middle and the last."""
    known = [n for n, score in enumerate(evaluation.totals) if score.errors.values]
    if len(known) <= OUTPUTS:
        return known
    return [known[0], known[len(known) // 2], known[-1]]


def chosen_streams(evaluation: Evaluation, output: int) -> list[tuple[str, str]]:
    """Return a stream, or the typical and the worst of many, each with what it is."""
    name = evaluation.totals[output].output
    scores = [s for s in evaluation.scores if s.output == name and s.errors.values]
    if len(evaluation.groups) == 1:
        return [(scores[0].stream or "", "")]
    scores.sort(key=lambda s: (np.nan_to_num(s.errors.mase, nan=-1.0), s.errors.mae))
    typical, worst = scores[len(scores) // 2], scores[-1]
    found = [(typical.stream or "", "a typical series")]
    if worst is not typical:
        found.append((worst.stream or "", "the series with the largest error"))
    return found


def last_rows(evaluation: Evaluation, made: Forecasts, stream: str, most: int = CLOSE) -> Rows:
    """Return the last scored rows of a stream."""
    return made.rows(evaluation.groups[stream])[-most:]


def worst_rows(evaluation: Evaluation, made: Forecasts, stream: str) -> Rows:
    """Return the scored rows around the worst stretch of a stream; none where there is none."""
    score = next(s for s in evaluation.scores if s.stream == stream and s.output == made.output)
    rows = made.rows(evaluation.groups[stream])
    if not score.worst or len(rows) <= CLOSE:
        return rows[:0]
    aimed = made.aimed[rows]
    first, last = (
        int(np.flatnonzero(aimed == row)[0])
        for row in (score.worst[0].first_row, score.worst[0].last_row)
    )
    begin = min(max((first + last + 1 - CLOSE) // 2, 0), len(rows) - CLOSE)
    return rows[begin : begin + CLOSE]
