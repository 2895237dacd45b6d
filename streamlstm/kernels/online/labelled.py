"""Judges labels from outside; the specification is in online/labelled.py."""

import math

from numba import float64

from .. import layout
from ..cache import inlined, internal
from . import adaptation, table
from .anomaly import anomaly_step
from .drift import PACE, drift_step
from .drift import SIZE as DRIFT_SIZE
from .forecast import bounded_error
from .verdicts import NOTHING, merge

# Columns: whether any label came since the last observation, whether it showed drift, and what is
# known of such labels as `merge` returns it.
CAME, DRIFT, MOST = range(3)
HEAD = MOST + len(NOTHING)
# Then of each output that forecasts no input: whether a label came since then, its error, whether
# it was inside the interval; the test for drift; and of its anomalies.
FRESH, ERROR, COVERED, OF_DRIFT = range(4)
OF_ANOMALY = OF_DRIFT + DRIFT_SIZE


@inlined
def _inside(S, bounds, label):
    """Tell whether a label is within the bounds that were told: 1 or 0, NaN if there were none."""
    if S[bounds] != S[bounds]:
        return math.nan
    return 1.0 if S[bounds] <= label and label <= S[bounds + 1] else 0.0


@inlined
def _rank_among(program, stage, output):
    """Return how many outputs before this one forecast no input."""
    before = 0
    for n in range(output):
        if program[stage + table.TARGETS + n] < 0:
            before += 1
    return before


@internal
def _judge_label(weights, program, group, S, head, at, label, error):
    """Let the tests of one output learn from a label, and keep what they say."""
    stage, k = program[layout.STAGE], program[program[layout.STAGE] + table.ANOMALY_CONSTANTS]
    pace = float64(weights[program[group + table.DRIFT_CONSTANTS] + PACE])
    if drift_step(S, at + OF_DRIFT, 1, pace, error):
        S[head + DRIFT] = 1.0
    verdict = anomaly_step(S, at + OF_ANOMALY, label, error, math.nan, weights, k)
    known = told_by_labels(S, head)
    most = merge(verdict, known, float64(program[stage + table.SHARES]), 0.0)
    S[head + MOST], S[head + MOST + 1], S[head + MOST + 2] = most[0], most[1], most[2]
    S[head + MOST + 3], S[head + MOST + 4], S[head + MOST + 5] = most[3], most[4], most[5]


@internal
def judge_labels(weights, program, group, S, row, number, step, labels):
    """Judge the labels of the outputs of a group that forecast no input, before they are learned.

    Parameters
    ----------
    row, number : int64
        Where the stream's row begins, and the number of the observation.
    step : int64
        Where its forecasts are kept (:func:`.adaptation.find_step`).
    labels : float32[O]
        NaN for none.
    """
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    head, size = row + program[stage + table.LABELLED], program[group + table.SIZE]
    experts = adaptation.sizes_of(weights, program[group + table.ADAPTATION_CONSTANTS])[0][1]
    for n in range(size):
        label = float64(labels[first + n])
        is_open, told = adaptation.told_of(S, step, experts, n)
        if program[stage + table.TARGETS + first + n] >= 0 or not (is_open and label == label):
            continue
        rank = _rank_among(program, stage, first + n)
        at = head + HEAD + rank * program[stage + table.LABELLED_SIZE]
        error = bounded_error(label - told)
        inside = math.nan
        if program[stage + table.LEVELS] > 0:
            place = number % program[group + table.RING] * size + n
            inside = _inside(S, row + program[group + table.BOUNDS] + 2 * place, label)
        S[at + FRESH], S[at + ERROR], S[at + COVERED] = 1.0, error, inside
        if program[stage + table.ANOMALY] != 0:
            _judge_label(weights, program, group, S, head, at, label, error)
        S[head + CAME] = 1.0


@inlined
def told_by_labels(S, head):
    """Return what is known of the labels since the last observation, as `merge` returns it."""
    if S[head + CAME] == 0.0:
        return NOTHING
    at = head + MOST
    return (
        float64(S[at]), float64(S[at + 1]), float64(S[at + 2]),
        float64(S[at + 3]), float64(S[at + 4]), float64(S[at + 5]),
    )  # fmt: skip


@inlined
def first_verdict(program, S, row):
    """Return what is known before the inputs of an observation are judged."""
    place = program[program[layout.STAGE] + table.LABELLED]
    return told_by_labels(S, row + place) if place != 0 else NOTHING


@internal
def _tell(program, S, head, Y, y, w):
    stage, at = program[layout.STAGE], head + HEAD
    if S[head + DRIFT] != 0.0:
        Y[y + w * program[stage + table.DRIFT]] = 1.0
    for n in range(program[layout.OUTPUTS]):
        if program[stage + table.TARGETS + n] < 0:
            if S[at + FRESH] != 0.0:
                Y[y + w * (program[stage + table.ERROR] + n)] = S[at + ERROR]
                Y[y + w * (program[stage + table.COVERED] + n)] = S[at + COVERED]
            S[at + FRESH] = 0.0
            at += program[stage + table.LABELLED_SIZE]
    for n in range(HEAD):
        S[head + n] = 0.0


@inlined
def tell_labels(program, S, row, Y, y, w):
    """Write to the result of an observation what labels since the one before have told, once.

    Number ``n`` of the result stands at ``Y[y + w n]``.
    """
    place = program[program[layout.STAGE] + table.LABELLED]
    if place != 0 and S[row + place + CAME] != 0.0:
        _tell(program, S, row + place, Y, y, w)
