"""Pack weights in the layout that kernels read: panels, padded vectors, gates by unit.

The layout depends on ``lanes``, the number of floats in a vector register; it is never stored.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..kernels.layout import COLUMNS, padded
from ..network.layers import GRU, LSTM
from .precision import to_16_bits, to_bytes

Float32Array = NDArray[np.float32]
Weights = Mapping[str, Float32Array]


def pack_panels(weight: Float32Array, bias: Float32Array, width: int) -> Float32Array:
    """Pack the weights of a product as panels of ``width`` outputs.

    Parameters
    ----------
    weight, bias : float32[N, K], float32[N]
        N is a multiple of ``width``.
    width : int
        Floats in one row of a panel.

    Returns
    -------
    float32[N / width, 1 + K, width], flat
        In every panel first the biases, then one row for each input.
    """
    rows = np.concatenate([bias[:, None], weight], axis=1)
    panels = rows.reshape(-1, width, rows.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(panels, dtype=np.float32).ravel()


def pack_product(weight: Float32Array, bias: Float32Array, lanes: int) -> Float32Array:
    """Pack weight[N, K], bias[N] as wide panels, then at most one of two vectors and of one."""
    N, K = weight.shape
    outputs = -(-N // lanes) * lanes
    full, shift = np.zeros((outputs, K), np.float32), np.zeros(outputs, np.float32)
    full[:N], shift[:N] = weight, bias
    parts, start = [], 0
    for columns in (COLUMNS, 2, 1):
        width = columns * lanes
        end = start + (outputs - start) // width * width
        parts.append(pack_panels(full[start:end], shift[start:end], width))
        start = end
    return np.concatenate(parts)


def pad_vectors(*vectors: Float32Array) -> Float32Array:
    """Join vectors, each padded with zeros to whole cache lines."""
    return np.concatenate([np.pad(v, (0, padded(len(v)) - len(v))) for v in vectors])


def by_unit(gates: Float32Array, count: int, lanes: int) -> Float32Array:
    """Reorder gate-major rows [count * H, ...] so that ``lanes`` units of all gates are contiguous.

    Returns
    -------
    float32[units / lanes * count * lanes, ...]
        ``units`` is H rounded up to a multiple of ``lanes``; the padding is zero.
    """
    H = len(gates) // count
    rest = gates.shape[1:]
    units = -(-H // lanes) * lanes
    full = np.zeros((count, units, *rest), np.float32)
    full[:, :H] = gates.reshape(count, H, *rest)
    full = full.reshape(count, units // lanes, lanes, *rest).swapaxes(0, 1)
    return full.reshape(count * units, *rest)


def four_gates(layer: LSTM, array: Float32Array) -> Float32Array:
    """Return rows of the gates i, f, g, o; where f is coupled to i it gets zeros."""
    if not layer.coupled:
        return array
    i, g, o = np.split(array, 3)
    return np.concatenate([i, np.zeros_like(i), g, o])


def pack_lstm(layer: LSTM, weights: Weights, lanes: int) -> Float32Array:
    """Pack an LSTM: a panel holds the gates of ``lanes`` hidden units.

    It has four sums; where f is coupled to i, its rows have only three vectors.
    """
    weight = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1)
    bias = four_gates(layer, weights["bias"])
    if layer.layer_norm:
        bias = np.zeros_like(bias)  # the bias comes after the norm
    sums = by_unit(bias, 4, lanes).reshape(-1, COLUMNS * lanes)
    return _panels(sums, [by_unit(weight, len(layer.gates), lanes)])


def pack_lstm_16_bits(layer: LSTM, weights: Weights, lanes: int, precision: str) -> Float32Array:
    """Pack a plain LSTM with weights of 16 bits, two in the place of a float; biases are float32.

    bfloat16 of two vectors are interleaved lane by lane, the first in the upper half.
    """
    width = COLUMNS * lanes
    K = layer.input_size + layer.hidden_size
    panels = pack_lstm(layer, weights, lanes).reshape(-1, K + 1, width)
    bits = to_16_bits(panels[:, 1:], precision)
    if precision == "bfloat16":
        upper, lower = np.moveaxis(bits.reshape(*bits.shape[:2], -1, 2, lanes), 3, 0)
        bits = upper.astype(np.uint32) << 16 | lower
    rows = np.ascontiguousarray(bits).reshape(len(panels), -1).view(np.float32)
    return np.concatenate([panels[:, 0], rows], axis=1).ravel()


def pack_lstm_pairs(layer: LSTM, weights: Weights, lanes: int) -> Float32Array:
    """Pack a plain LSTM with weights of bfloat16: in the place of a float those of two inputs.

    The first stands in the lower half; behind an odd last one stands a zero.
    """
    width = COLUMNS * lanes
    K = layer.input_size + layer.hidden_size
    panels = pack_lstm(layer, weights, lanes).reshape(-1, K + 1, width)
    bits = to_16_bits(panels[:, 1:], "bfloat16").astype(np.uint32)
    bits = np.pad(bits, ((0, 0), (0, K % 2), (0, 0))).reshape(len(panels), -1, 2, width)
    rows = (bits[:, :, 1] << 16 | bits[:, :, 0]).view(np.float32)
    return np.concatenate([panels[:, :1], rows], axis=1).ravel()


def pack_lstm_bytes(weights: Weights, lanes: int) -> Float32Array:
    """Pack a plain LSTM with weights of 8 bits, four in the place of a float (eight_bits.py).

    Those of x and of h have scales of their own, and begin in words of their own.
    """
    from ..kernels.narrow import SHIFT

    width = COLUMNS * lanes
    parts = [by_unit(weights["bias"][:, None], 4, lanes).reshape(-1, 1, width)]
    rows = []
    for name in ("weight_ih", "weight_hh"):
        levels, scale = to_bytes(weights[name])
        start = -SHIFT * levels.sum(1, keepdims=True, dtype=np.int32)
        for column in (start.view(np.float32), scale):
            parts.append(by_unit(column, 4, lanes).reshape(-1, 1, width))
        bytes_ = by_unit(np.pad(levels, ((0, 0), (0, -levels.shape[1] % 4))), 4, lanes)
        words = bytes_.astype(np.int8).view(np.float32)
        rows.append(words.reshape(-1, width, words.shape[1]).swapaxes(1, 2))
    return np.concatenate([*parts, *rows], axis=1).ravel()


def pack_lstm_norm(layer: LSTM, weights: Weights, lanes: int) -> Float32Array:
    """Pack gain, then bias of the gates' norms, in the order of the pre-activations."""
    parts = (four_gates(layer, weights[name]) for name in ("norm_weight", "bias"))
    return np.concatenate([by_unit(part, 4, lanes) for part in parts])


def pack_peephole(layer: LSTM, weights: Weights) -> Float32Array:
    """Pack the peepholes of i, f, o, each padded; zeros where there are none."""
    if not layer.peephole:
        return np.zeros(3 * padded(layer.hidden_size), np.float32)
    parts = np.split(weights["peephole"], 2 if layer.coupled else 3)
    if layer.coupled:
        parts.insert(1, np.zeros_like(parts[0]))
    return pad_vectors(*parts)


def pack_gru(layer: GRU, weights: Weights, lanes: int) -> Float32Array:
    """Pack a GRU with ``reset_after``.

    A panel has four sums (r, z, n from x, n from h) but rows of three vectors: those of x add to
    the first three sums, those of h to r, z and the fourth.
    """
    H = layer.hidden_size
    rows = [by_unit(weights[name], 3, lanes) for name in ("weight_ih", "weight_hh")]
    both = weights["bias_ih"] + weights["bias_hh"]
    bias = [both[: 2 * H], weights["bias_ih"][2 * H :], weights["bias_hh"][2 * H :]]
    sums = by_unit(np.concatenate(bias), 4, lanes).reshape(-1, 4 * lanes)
    return _panels(sums, rows)


def _panels(sums: Float32Array, parts: list[Float32Array]) -> Float32Array:
    """Join for each panel its biases sums[n] and, input by input, its rows of every part."""
    panels = []
    for n, biases in enumerate(sums):
        panels.append(biases)
        for part in parts:
            width = len(part) // len(sums)
            panels.append(part[n * width : (n + 1) * width].T.ravel())
    return np.concatenate(panels)


def pack_gru_before(layer: GRU, weights: Weights, lanes: int) -> tuple[Float32Array, Float32Array]:
    """Pack a GRU without ``reset_after``: the product of r and z, and that of n."""
    H = layer.hidden_size
    weight = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1)
    bias = weights["bias_ih"] + weights["bias_hh"]
    gates = np.zeros((2, padded(H), weight.shape[1] + 1), np.float32)
    gates[:, :H, :-1] = weight[: 2 * H].reshape(2, H, -1)
    gates[:, :H, -1] = bias[: 2 * H].reshape(2, H)
    flat = gates.reshape(2 * padded(H), -1)
    first = pack_product(np.ascontiguousarray(flat[:, :-1]), flat[:, -1], lanes)
    return first, pack_product(weight[2 * H :], bias[2 * H :], lanes)
