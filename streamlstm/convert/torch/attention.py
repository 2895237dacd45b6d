"""Attention, and products of parts of a network that it is written with, followed on labels."""

from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ...network.layers import Attention
from .forks import as_last, fork, multiply, weighted_sum
from .layers import to_array
from .sequences import whole_sequence
from .signal import WindowNeededError
from .signals import Labels, Signal
from .values import Values


def matmul(values: Values, a: Any, b: Any) -> Labels:
    """Follow ``a @ b`` of [B, ..., M, K] and [B, ..., K, N], both from the input."""
    left, right = values.labels(a), np.swapaxes(values.labels(b), -1, -2)
    if left.ndim != right.ndim or left.ndim < 3 or left.shape[:-2] != right.shape[:-2]:
        raise ConvertError(f"{values.where} multiplies two parts of the network (matmul)")
    return _by_head(lambda *parts: _product(values, *parts), left, right)


def _by_head(follow: Any, *labels: Labels) -> Labels:
    """Apply a function of [B, M, K] to all axes between the first and the last two."""
    between = labels[0].shape[1:-2]
    flat = [part.reshape(part.shape[0], -1, *part.shape[-2:]) for part in labels]
    found = [follow(*(part[:, n] for part in flat)) for n in range(flat[0].shape[1])]
    return np.stack(found, axis=1).reshape(len(flat[0]), *between, *found[0].shape[1:])


def _product(values: Values, a: Labels, b: Labels) -> Labels:
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
    values.scores[scores] = query, key
    positions = streams[:, None] * scores.rows + np.arange(scores.rows)
    return signals.labels(scores, positions)


def _sums(values: Values, product: Labels, what: str) -> Labels:
    """Return the labels of the sums along the last axis, which stays."""
    source, positions = values.signals.vectors(product, what)
    summed = values.signals.linear(source, np.ones((1, source.width)), None, "sum")
    return values.signals.labels(summed, positions)


def shares_of(values: Values, source: Signal) -> Signal | None:
    """Return the softmax of attention scores, perhaps scaled; None for any other signal."""
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
    made = values.signals.add(
        ("shares", scale), base.width, base, hidden="shares of attention", rows=base.rows
    )
    values.shares[made] = (*values.scores[base], scale)
    return made


def _seen(values: Values, a: Labels, b: Labels, shares: Signal) -> Labels:
    """Follow the product of shares[B, M, K] with values b[B, N, K] of K rows."""
    query, key, scale = values.shares[shares]
    what = f"{values.where} (attention)"
    value, streams = whole_sequence(values, np.moveaxis(b, 2, 0), what)
    positions = streams[:, None] * shares.rows + np.arange(shares.rows)
    if not np.array_equal(values.signals.labels(shares, positions), a):
        raise ConvertError(f"{what} takes a part of its shares")
    made = attend(values, (query, key, value), scale)
    return values.signals.labels(made, positions)


def attend(
    values: Values,
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
    joined = fork(values.signals, [(part, None) for part in parts], "concatenate", "attention")
    which = "last" if query.rows == 1 and joined.rows > 1 else "each"
    size = query.width // heads
    own = Attention(joined.width, which, scale, heads=heads, key_size=size, causal=causal)
    return values.signals.over_rows(joined, own, "attention")


def scaled_dot_product(values: Values, args: Any, kwargs: Any) -> Labels:
    """Follow ``scaled_dot_product_attention`` of [B, ..., T, K]."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if given.get("dropout_p"):
        raise ConvertError(f"{values.where} drops shares of attention even where it predicts")
    rows = given["query"].shape[-2]
    causal = bool(given.get("is_causal")) or is_causal(values, given.get("attn_mask"), rows)
    scale = given.get("scale") or given["query"].shape[-1] ** -0.5

    def follow(*labels: Labels) -> Labels:
        parts = [sequence(values, np.moveaxis(part, 1, 0)) for part in labels]
        made = attend(values, tuple(s for s, _ in parts), float(scale), causal=causal)  # type: ignore[arg-type]
        return _rows_of(values, made, parts[0][1])

    return _by_head(follow, *(values.labels(given[name]) for name in names[:3]))


def sequence(values: Values, rows: Labels) -> tuple[Signal, Labels]:
    """Return the signal of labels[rows, B, N], all rows or the last, and the streams[B]."""
    rows = as_last(values.signals, rows) if len(rows) == 1 else rows
    return whole_sequence(values, rows, f"{values.where} (attention)")


def _rows_of(values: Values, made: Signal, streams: Labels) -> Labels:
    return values.signals.labels(made, streams[:, None] * made.rows + np.arange(made.rows))


def is_causal(values: Values, mask: Any, rows: int) -> bool:
    """Return whether a mask leaves out all later rows; no mask leaves out none."""
    if mask is None:
        return False
    if values.is_live(mask) or not isinstance(mask, torch.Tensor):
        raise ConvertError(f"{values.where} masks attention by what comes")
    found = mask.detach().double().numpy()
    later = np.triu(np.ones((rows, rows)), 1) > 0
    if found.shape[-2:] == later.shape:
        left_out = found.astype(bool) if mask.dtype == torch.bool else np.isneginf(found)
        kept = np.where(left_out, 0, found) if mask.dtype != torch.bool else np.zeros_like(found)
        # PyTorch's own modules leave out what is True, its function what is False.
        if not kept.any() and ((left_out == later).all() or (left_out == ~later).all()):
            return True
    raise ConvertError(f"{values.where} masks attention in another way than by order")


def multi_head(values: Values, call: Any) -> list[Labels]:
    """Follow ``MultiheadAttention``: its outputs; shares are not followed."""
    module, given = call.module, list(call.args)
    masks, mask = given[3] if len(given) > 3 else None, given[5] if len(given) > 5 else None
    if masks is not None or module.bias_k is not None or module.add_zero_attn:
        raise ConvertError(f"{call.name} attends to further rows, or masks some")
    labels = [values.labels(part) for part in given[:3]]
    batched = labels[0].ndim == 3
    rows = [part if batched else part[:, None] for part in labels]
    rows = [part.swapaxes(0, 1) if batched and module.batch_first else part for part in rows]
    parts = [sequence(values, part) for part in rows]
    E, signals = module.embed_dim, values.signals
    if module.in_proj_weight is None:
        matrices = [getattr(module, f"{letter}_proj_weight") for letter in "qkv"]
    else:
        matrices = list(module.in_proj_weight.chunk(3))
    weights = [to_array(matrix, f"{call.name}.in_proj_weight").copy() for matrix in matrices]
    shift = np.zeros(3 * E)
    if module.in_proj_bias is not None:
        shift = to_array(module.in_proj_bias, f"{call.name}.in_proj_bias")
    causal = is_causal(values, mask, len(rows[0]))
    scale, name = (E // module.num_heads) ** -0.5, call.name
    sources = [signal for signal, _ in parts]
    if sources[0] is sources[1] is sources[2]:
        joined = signals.linear(sources[0], np.concatenate(weights), shift, f"{name}.in_proj")
        size = E // module.num_heads
        own = Attention(3 * E, "each", scale, heads=module.num_heads, key_size=size, causal=causal)
        made = signals.over_rows(joined, own, name)
    else:
        pairs = zip(sources, weights, np.split(shift, 3), strict=True)
        q, k, v = (signals.linear(s, w, b.copy(), f"{name}.in_proj") for s, w, b in pairs)
        made = attend(values, (q, k, v), scale, module.num_heads, causal)
    out = module.out_proj
    bias = None if out.bias is None else to_array(out.bias, f"{name}.out_proj.bias")
    matrix = to_array(out.weight, f"{name}.out_proj.weight").copy()
    made = signals.linear(made, matrix, bias, f"{name}.out_proj")
    found = _rows_of(values, made, parts[0][1])
    if not batched:
        return [found[0]]
    return [found if module.batch_first else found.swapaxes(0, 1)]
