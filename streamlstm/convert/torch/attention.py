"""Attention of PyTorch, followed on labels."""

from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ...network.layers import Attention
from ..labels.attention import attend, by_head, product, rows_of, sequence
from ..labels.layers import to_array
from ..labels.signals import Labels
from .values import Values


def matmul(values: Values, a: Any, b: Any) -> Labels:
    """Follow ``a @ b`` of [B, ..., M, K] and [B, ..., K, N], both from the input."""
    left, right = values.labels(a), np.swapaxes(values.labels(b), -1, -2)
    if left.ndim != right.ndim or left.ndim < 3 or left.shape[:-2] != right.shape[:-2]:
        raise ConvertError(f"{values.where} multiplies two parts of the network (matmul)")
    return by_head(lambda *parts: product(values, *parts), left, right, signals=values.signals)


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
        return rows_of(values, made, parts[0][1])

    labels = (values.labels(given[name]) for name in names[:3])
    return by_head(follow, *labels, signals=values.signals)


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
    found = rows_of(values, made, parts[0][1])
    if not batched:
        return [found[0]]
    return [found if module.batch_first else found.swapaxes(0, 1)]
