"""Attention, and products of parts of a network that it is written with, followed on labels."""

from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Attention, Conv1D, Flatten, Transpose
from .followed import Followed, Scores
from .forks import as_last, fork, multiply, weighted_sum
from .sequences import whole_sequence
from .signal import WindowNeededError
from .signals import Labels, Signal, Signals


def by_head(follow: Any, *labels: Labels, signals: Signals) -> Labels:
    """Apply a function of [B, M, K] to each head of [..., M, K].

    All that has the same values of the same signals is one head, whose streams are an axis.
    """
    lead = labels[0].shape[:-2]
    flat = [part.reshape(-1, *part.shape[-2:]) for part in labels]
    heads: dict[bytes, list[int]] = {}
    for n in range(len(flat[0])):
        located = [signals.locate(part[n]) for part in flat]
        key = b"".join(part.tobytes() for found in located for part in (found.signal, found.value))
        heads.setdefault(key, []).append(n)
    made: Labels | None = None
    for places in heads.values():
        found = follow(*(part[places] for part in flat))
        if made is None:
            made = np.empty((len(flat[0]), *found.shape[1:]), np.int64)
        made[places] = found
    assert made is not None
    return made.reshape(*lead, *made.shape[1:])


def product(values: Followed, a: Labels, b: Labels) -> Labels:
    """Follow the products of the rows of a[B, M, K] with those of b[B, N, K]."""
    signals, what = values.signals, f"{values.where} (matmul)"
    found = signals.locate(a)
    if (found.signal < 0).any() or (signals.locate(b).signal < 0).any():
        raise ConvertError(f"{what} multiplies numbers that come from the input in part only")
    first = signals[int(found.signal.flat[0])]
    if first in values.shares:
        return _seen(values, a, b, first)
    _, step = signals.steps_of(found)
    if a.shape[2] > 1 and (step != step[:, :, :1]).any():
        few, many = (a, b) if a.shape[1] <= b.shape[1] else (b, a)
        sums = [
            weighted_sum(signals, np.moveaxis(multiply(signals, row, many, what), 2, 0), what)
            for row in np.split(few, few.shape[1], axis=1)
        ]
        return np.stack(sums, axis=1 if few is a else 2)
    if b.shape[1] == 1:
        return _sums(values, multiply(signals, a, b, what), what)
    if a.shape[1] == 1:
        return np.swapaxes(_sums(values, multiply(signals, b, a, what), what), 1, 2)
    (query, streams), (key, _) = (
        whole_sequence(values, np.moveaxis(part, 1, 0), what) for part in (a, b)
    )
    scores = signals.add(
        ("scores", id(key)), key.rows, query, hidden="attention scores", rows=query.rows
    )
    values.scores[scores] = Scores(query, key)
    positions = streams[:, None] * scores.rows + np.arange(scores.rows)
    return signals.labels(scores, positions)


def _sums(values: Followed, product: Labels, what: str) -> Labels:
    """Return the labels of the sums along the last axis, which stays."""
    source, positions = values.signals.vectors(product, what)
    summed = values.signals.linear(source, np.ones((1, source.width)), None, "sum")
    return values.signals.labels(summed, positions)


def scores_of(values: Followed, source: Signal) -> Scores | None:
    """Return what a signal of attention scores, perhaps scaled, is; None for any other signal."""
    scale, base = 1.0, source
    while base.layer is not None and base.source is not None and len(base.layer.steps) == 1:
        step = base.layer.steps[0]
        if isinstance(step, str):
            return None
        weight, bias = (np.asarray(part) for part in step)
        if np.any(bias) or (weight != weight.flat[0]).any():
            return None
        scale, base = scale * float(weight.flat[0]), base.source
    if base not in values.scores:
        return None
    if not scale > 0:
        raise ConvertError(f"{values.where} scales attention by {scale:g}")
    found = values.scores[base]
    return found._replace(scale=found.scale * scale)


def masked(values: Followed, source: Signal) -> Signal | None:
    """Return scores without those of later rows; None if a signal is none of scores."""
    scores = scores_of(values, source)
    if scores is None:
        return None
    made = values.signals.add(
        ("masked",), source.width, source, hidden="masked attention scores", rows=source.rows
    )
    values.scores[made] = scores._replace(causal=True)
    return made


def shares_of(values: Followed, source: Signal) -> Signal | None:
    """Return the softmax of attention scores, perhaps scaled; None for any other signal."""
    scores = scores_of(values, source)
    if scores is None:
        return None
    made = values.signals.add(
        ("shares",), source.width, source, hidden="shares of attention", rows=source.rows
    )
    values.shares[made] = scores
    return made


def _seen(values: Followed, a: Labels, b: Labels, shares: Signal) -> Labels:
    """Follow the product of shares[B, M, K] with values b[B, N, K] of K rows."""
    query, key, scale, causal = values.shares[shares]
    what = f"{values.where} (attention)"
    value, streams = whole_sequence(values, np.moveaxis(b, 2, 0), what)
    positions = streams[:, None] * shares.rows + np.arange(shares.rows)
    if not np.array_equal(values.signals.labels(shares, positions), a):
        raise ConvertError(f"{what} takes a part of its shares")
    made = attend(values, (query, key, value), scale, causal=causal)
    return values.signals.labels(made, positions)


def attend(
    values: Followed,
    parts: tuple[Signal, Signal, Signal],
    scale: float,
    heads: int = 1,
    causal: bool = False,
) -> Signal:
    """Return attention of queries to keys and values, [rows, heads * size] each."""
    query, key, value = parts
    if not values.signals.windowed:
        raise WindowNeededError(f"{values.where} attends to all steps, a window")
    if heads == 1 and query is key is value:
        own = Attention(query.width, "each", scale, causal=causal)
        return values.signals.over_rows(query, own, "attention")
    if query.rows not in (1, key.rows) and key.rows > 1:
        return _each_query_a_head(values, parts, scale, heads, causal)
    joined = fork(values.signals, [(part, None) for part in parts], "concatenate", "attention")
    which = "last" if query.rows == 1 and joined.rows > 1 else "each"
    size = query.width // heads
    own = Attention(joined.width, which, scale, heads=heads, key_size=size, causal=causal)
    return values.signals.over_rows(joined, own, "attention")


def _each_query_a_head(
    values: Followed, parts: tuple[Signal, Signal, Signal], scale: float, heads: int, causal: bool
) -> Signal:
    """Return attention of another number of queries than of keys: each is a head of its own."""
    query, key, value = parts
    signals, T = values.signals, query.rows
    if causal:
        raise ConvertError(f"{values.where} masks other numbers of queries than of keys")
    width = value.width
    flat = signals.over_rows(signals.resolve(query), Flatten(query.width, T), "attention")
    tiled = [
        signals.linear(part, np.tile(np.eye(part.width), (T, 1)), None, "attention")
        for part in (key, value)
    ]
    joined = fork(signals, [(p, None) for p in (flat, *tiled)], "concatenate", "attention")
    size = query.width // heads
    own = Attention(joined.width, "last", scale, heads=T * heads, key_size=size)
    seen = signals.over_rows(joined, own, "attention")
    rows = signals.over_rows(seen, Transpose(T * width, 1), "attention")
    weights = {"weight": np.eye(width)[:, :, None], "bias": np.zeros(width)}
    return signals.over_rows(rows, Conv1D(1, width, width, width), "attention", weights)


def sequence(values: Followed, rows: Labels) -> tuple[Signal, Labels]:
    """Return the signal of labels[rows, B, N], all rows or the last, and the streams[B]."""
    rows = as_last(values.signals, rows) if len(rows) == 1 else rows
    return whole_sequence(values, rows, f"{values.where} (attention)")


def rows_of(values: Followed, made: Signal, streams: Labels) -> Labels:
    """Return the labels of all rows of some streams, [B, rows, N]."""
    return values.signals.labels(made, streams[:, None] * made.rows + np.arange(made.rows))
