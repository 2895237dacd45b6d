"""Attention scores of all heads at once: their softmax, and masks, followed on labels."""

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array
from .attention import by_head, masked, rows_of, shares_of
from .followed import Followed
from .over_rows import are_rows, softmax_over_rows
from .signals import Labels

LEFT_OUT = -1e4  # what is added to scores that do not count, or less


def shares_by_head(values: Followed, labels: Labels) -> Labels | None:
    """Return the labels of the softmax of attention scores; None for others."""
    if not are_scores(values, labels):
        return None

    def follow(part: Labels) -> Labels:
        source, positions = values.signals.vectors(part, values.where)
        made = shares_of(values, source)
        if made is None:
            raise ConvertError(f"{values.where} takes a softmax of a part of attention scores")
        return rows_of(values, made, positions[:, 0] // made.rows)

    return by_head(follow, labels, signals=values.signals)


def are_scores(values: Followed, labels: Labels) -> bool:
    """Return whether labels are those of attention scores, perhaps scaled."""
    number = int(values.signals.locate(labels).signal.flat[0])
    if number < 0:
        return False
    first = values.signals[number]
    while first.source is not None and not first.hidden and first.layer and first.layer.steps:
        first = first.source
    return first in values.scores


def heads_over_rows(values: Followed, labels: Labels) -> bool:
    """Return whether each head of labels[..., M, T] has its rows along the last axis."""
    heads = labels.reshape(-1, *labels.shape[-2:])
    return all(are_rows(values, heads[n : n + 1], 2) for n in range(len(heads)))


def softmax_by_head(values: Followed, labels: Labels) -> Labels:
    """Return the labels of the softmax of labels[..., M, T] over rows, each head by itself."""
    return by_head(lambda part: softmax_over_rows(values, part, 2), labels, signals=values.signals)


def mask_scores(values: Followed, labels: Labels, mask: Float64Array) -> Labels:
    """Return the labels of attention scores of which a mask leaves out those of later rows.

    Parameters
    ----------
    labels : int64[..., M, N]
    mask : float64[..., M, N]
        What is added; all below ``LEFT_OUT`` leaves out.
    """
    M, N = mask.shape[-2:]
    left_out = mask <= LEFT_OUT
    later = np.arange(N) > np.arange(N - M, N)[:, None]
    if np.where(left_out, 0, mask).any() or (left_out != later).any():
        raise ConvertError(f"{values.where} masks attention in another way than by order")

    def follow(part: Labels) -> Labels:
        source, positions = values.signals.vectors(part, values.where)
        made = masked(values, source)
        if made is None:
            raise ConvertError(f"{values.where} adds a mask to what are no attention scores")
        return rows_of(values, made, positions[:, 0] // made.rows)

    return by_head(follow, labels, signals=values.signals)
