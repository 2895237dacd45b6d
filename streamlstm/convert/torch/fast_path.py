"""Operations that PyTorch calls in the place of its modules of attention where it only predicts.

They are written with the functions that the modules call else, which are followed.
"""

from typing import Any

import torch
from torch import nn

F = nn.functional
_OF_STREAMS = (1, 2)  # types of masks that leave out rows of single streams


def multi_head_attention(
    query: Any,
    key: Any,
    value: Any,
    width: int,
    heads: int,
    qkv_weight: Any,
    qkv_bias: Any,
    weight: Any,
    bias: Any,
    mask: Any = None,
    need_weights: bool = True,
    average: bool = True,
    kind: int | None = None,
) -> tuple[Any, None]:
    """Return what MultiheadAttention does of x[B, T, E], without its shares."""
    del need_weights, average
    weights, biases = qkv_weight.chunk(3), qkv_bias.chunk(3)
    parts = [
        F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
    ]
    parts = [
        x.reshape(x.shape[0], x.shape[1], heads, width // heads).transpose(1, 2) for x in parts
    ]
    if mask is not None and kind in _OF_STREAMS:
        raise RuntimeError("a mask of rows that differs from stream to stream")
    allowed = None if mask is None else ~mask if mask.dtype == torch.bool else mask
    seen = F.scaled_dot_product_attention(*parts, attn_mask=allowed)
    joined = seen.transpose(1, 2).reshape(query.shape[0], query.shape[1], width)
    return F.linear(joined, weight, bias), None


def encoder_layer(
    x: Any,
    width: int,
    heads: int,
    qkv_weight: Any,
    qkv_bias: Any,
    weight: Any,
    bias: Any,
    use_gelu: bool,
    norm_first: bool,
    epsilon: float,
    *more: Any,
) -> Any:
    """Return what TransformerEncoderLayer does of x[B, T, E]."""
    weight_1, bias_1, weight_2, bias_2, wide, bias_wide, narrow, bias_narrow = more[:8]
    mask, kind = more[8:10] if len(more) > 9 else (None, None)
    activation = F.gelu if use_gelu else F.relu

    def attend(x: Any) -> Any:
        own = (qkv_weight, qkv_bias, weight, bias, mask)
        return multi_head_attention(x, x, x, width, heads, *own, kind=kind)[0]

    def feed(x: Any) -> Any:
        return F.linear(activation(F.linear(x, wide, bias_wide)), narrow, bias_narrow)

    def norm(x: Any, weight: Any, bias: Any) -> Any:
        return F.layer_norm(x, (width,), weight, bias, epsilon)

    if norm_first:
        x = x + attend(norm(x, weight_1, bias_1))
        return x + feed(norm(x, weight_2, bias_2))
    x = norm(x + attend(x), weight_1, bias_1)
    return norm(x + feed(x), weight_2, bias_2)
