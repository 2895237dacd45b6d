"""A forecast to judge an anomaly stage by: a small fixed LSTM with a linear head learnt online.

It stands in for the network and the adaptation of a model, which are not measured here. The head
has three changes of the value and the hidden state, and is learnt by recursive least squares;
values are scaled by their running mean and standard deviation.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamlstm.online.season import features

Array = NDArray[np.float64]
H, INPUTS, LAGS = 16, 6, 3
SIZE = 1 + H + LAGS
FORGETTING, MEMORY, BOUND, ERROR_BOUND = 0.999, 0.001, 8.0, 4.0


def network(seed: int = 0) -> tuple[Array, Array, Array]:
    """Return W[4H, 6], U[4H, H] and b[4H], gates i, f, g, o, with memories of 2 to 150 steps."""
    random = np.random.default_rng(seed)
    W, U = random.normal(0, 0.8, (4 * H, INPUTS)), random.normal(0, 0.9 / math.sqrt(H), (4 * H, H))
    b = np.zeros(4 * H)
    b[:H], b[H : 2 * H] = -np.linspace(0, 3, H), np.linspace(0, 5, H)
    return W, U, b


def residuals(values: Array, times: Array, seed: int = 0) -> Array:
    """Return each value minus the forecast made of it one row before; NaN in the first row."""
    made = np.full(len(values), np.nan)
    _residuals(values, features(times)[:, [5, 6, 7, 8]], *network(seed), made)
    return made


@njit(error_model="numpy")
def _residuals(values, waves, W, U, b, made):
    w, f, P = np.zeros(SIZE), np.zeros(SIZE), np.eye(SIZE)
    h, c, x, lags = np.zeros(H), np.zeros(H), np.zeros(INPUTS), np.zeros(LAGS)
    mean, spread, usual, last, forecast = values[0], 0.0, 1.0, 0.0, 0.0
    for n in range(len(values)):
        weight = max(MEMORY, 1.0 / (n + 1.0))
        z = _scaled(values[n], mean, spread)
        if n > 0:
            made[n] = values[n] - forecast
            error = z - last - np.sum(w * f)
            bound = ERROR_BOUND * usual if n > 30 else np.inf
            _learn(P, w, f, min(max(error, -bound), bound))
            usual = max(usual + weight * (min(abs(error), 5.0 * usual) - usual), 1e-3)
        move = values[n] - mean
        mean += weight * move
        spread = math.sqrt((1.0 - weight) * (spread * spread + weight * move * move))
        x[0], x[1:5], x[5] = z, waves[n], z - last
        _step(W, U, b, x, h, c)
        lags[1:] = lags[:-1].copy()
        lags[0] = z - last
        f[0], f[1 : 1 + LAGS], f[1 + LAGS :] = 1.0, lags, h
        last = z
        forecast = mean + (z + np.sum(w * f)) * _unit(mean, spread)


@njit(error_model="numpy")
def _unit(mean, spread):
    return spread if spread > 1e-9 * (abs(mean) + 1e-9) else abs(mean) * 0.01 + 1e-6


@njit(error_model="numpy")
def _scaled(value, mean, spread):
    return min(max((value - mean) / _unit(mean, spread), -BOUND), BOUND)


@njit(error_model="numpy")
def _learn(P, w, f, error):
    g, s = np.zeros(SIZE), FORGETTING
    for i in range(SIZE):
        for j in range(SIZE):
            g[i] += P[i, j] * f[j]
        s += g[i] * f[i]
    for i in range(SIZE):
        w[i] += g[i] * error / s
        for j in range(i + 1):  # and the other triangle: asymmetry would grow
            P[i, j] = P[j, i] = (P[i, j] - g[i] * g[j] / s) / FORGETTING


@njit(error_model="numpy")
def _step(W, U, b, x, h, c):
    z = b.copy()
    for k in range(4 * H):
        for j in range(INPUTS):
            z[k] += W[k, j] * x[j]
        for j in range(H):
            z[k] += U[k, j] * h[j]
    for k in range(H):
        i, f, o = _sigmoid(z[k]), _sigmoid(z[H + k]), _sigmoid(z[3 * H + k])
        c[k] = f * c[k] + i * math.tanh(z[2 * H + k])
        h[k] = o * math.tanh(c[k])


@njit(error_model="numpy")
def _sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))
