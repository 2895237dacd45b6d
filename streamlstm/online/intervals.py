"""Prediction intervals that keep their promise while they run: the specification.

With the residual r of the forecast made h steps ago, and a pace of 2 / (1 + h):

    fast   <- fast + 0.4 pace (|r| - fast)
    slow   <- slow + 0.01 pace (|r| - slow)                     where r is not 0
    lean    = (fast - slow) / (fast + slow)
    scale   = slow (1 + w lean) / (1 - w lean)                  fast for w = 1, slow for w = 0
    w      <- w + 0.03 pace lean (|r| / scale - 1)
    largest = max(|r|, (1 - min(0.0005, alpha / 20) pace) largest)      with the smallest alpha
    q_n    <- q_n exp(0.15 pace (missed_n - alpha_n))           for each level n
    half width of level n = min(q_n scale, (1 + 0.05 sqrt(pace)) largest)
    of one side: q_n has a sign, and q_n <- q_n + 4 * 0.15 pace (missed_n - alpha_n)

w follows the gradient of the likelihood of a Laplace distribution, with lean and scale of the
time of the forecast: a stream whose large errors come together gets w near 1, noise w near 0.
``missed`` is judged by the half width of that time. So ln q_n counts the misses, and coverage
over a window of N rows differs from 1 - alpha_n by the change of ln q_n over it, divided by 0.15
pace N, whatever the series is: the identity of adaptive conformal inference (Gibbs and Candès
2021) and of the quantile tracker (Angelopoulos, Candès and Tibshirani 2023), here with steps in
proportion to the ratio. It says nothing of coverage at a certain hour or at a certain value:
coverage is marginal. Errors of overlapping forecasts hang together, about (1 + h) / 2 of them
tell as much as one, hence the pace.

No error of late was larger than ``largest``, and an interval need not be wider. Far ahead it would
be: errors that come together widen it many times before the first of them narrows it again. Since
``missed`` is judged by the width that was shown, the identity holds with the limit as without.

A residual of exactly 0 counts as covered. It does not move ``slow``, near which ``fast`` and
``q`` are held, so that a stream that was constant for long has intervals of its former size, less
a factor. The first rows have higher rates, and bounds that are wider by 1 + 3 / (pace count), 4
at most.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..kernels.online import intervals as kernel
from ..kernels.online.intervals import ABOVE, BELOW, BOTH

Array = NDArray[Any]
State = dict[str, Array]

SIDES = {"both": BOTH, "above": ABOVE, "below": BELOW}


class Level(NamedTuple):
    """One interval: the share of labels that it is to hold, and the side on which it ends.

    "both": low and high; "above": high alone, low is open; "below": low alone.
    """

    share: float
    side: str = "both"


def constants(
    levels: Sequence[Level], horizon: int, lower: float = -np.inf, upper: float = np.inf
) -> NDArray[np.float32]:
    """Return the constants that the kernel reads.

    Parameters
    ----------
    levels : sequence of Level
        Those of one side one after another and rising.
    horizon : int
        Steps from a forecast to its label.
    lower, upper : float
        Between which the labels are known to be.

    Raises
    ------
    ModelError
        If a level or its place is not possible.
    """
    if not lower < upper:
        raise ModelError(f"intervals: expected lower below upper, got {lower} and {upper}")
    for level in levels:
        if level.side not in SIDES or not 0 < level.share < 1:
            raise ModelError(
                f"intervals: expected a share between 0 and 1 and a side ({', '.join(SIDES)}), "
                f"got {level.share} and {level.side!r}"
            )
    order = [(list(SIDES).index(level.side), level.share) for level in levels]
    if order != sorted(set(order)):
        raise ModelError(
            "intervals: expected levels of both sides, then above, then below, each rising and "
            f"none twice, got {', '.join(f'{level.share} {level.side}' for level in levels)}"
        )
    firsts = kernel.TIED_SHARE * np.maximum(_first_ratios(levels), 0)
    pace = 2 / (1 + horizon)
    most, rate = 1 + kernel.BEYOND * np.sqrt(pace), pace * kernel.RATE
    rarest = 1 - max(level.share for level in levels)
    fade = pace * min(kernel.FADED, kernel.FADED_OF_MISS * rarest)
    ends = [
        (1 - share, SIDES[side], tied, np.exp(rate * share), np.exp(-rate * (1 - share)))
        for (share, side), tied in zip(levels, firsts, strict=True)
    ]
    return np.array([len(levels), pace, lower, upper, most, fade, *np.ravel(ends)], np.float32)


def columns(levels: int, ring: int) -> dict[str, int]:
    """Return how many floats the tracker of one output keeps, by name, in their order.

    ``shown`` holds, for each of the last ``ring`` forecasts, its lean, scale and half widths. A
    tracker's state has ``largest`` as well, one float that begins with 0 and stands apart in a row:
    behind all others, where rows of former versions have a padding of zeros.
    """
    heads = {"fast": 1, "slow": 1, "weight": 1, "count": 1}
    return {**heads, "ratios": levels, "shown": ring * (kernel.HALVES + levels)}


def initial(levels: Sequence[Level], ring: int) -> NDArray[np.float32]:
    """Return the columns before the first observation: ratios of a Laplace distribution."""
    shown = np.full(ring * (kernel.HALVES + len(levels)), np.nan)
    heads = [0, 0, kernel.WEIGHT_START, 0]
    return np.concatenate([heads, _first_ratios(levels), shown]).astype(np.float32)


def _first_ratios(levels: Sequence[Level]) -> Array:
    share = np.array([level.share for level in levels])
    sides = np.array([1 if level.side == "both" else 2 for level in levels])
    upper = -np.log((1 - share) * sides)
    ratios: Array = np.where((sides == 2) & (share < 0.5), np.log(2 * share), upper)
    return ratios


def step(
    residual: Array, y: Array, position: int, K: Array, state: State
) -> tuple[tuple[Array, Array], State]:
    """Learn from one residual a stream, and put intervals around one new forecast a stream.

    Parameters
    ----------
    residual : float[B]
        Label less forecast, of the forecast made ``horizon`` steps ago; NaN: not known.
    y : float[B]
        The new forecasts.
    position : int
        In the ring, of the forecast that is due, whose place the new one takes.
    K : float[M]
        :func:`constants`.
    state : dict of str to float[B, n]
        :func:`columns`, and ``largest``, float[B, 1].

    Returns
    -------
    tuple
        low and high, float[B, L], and the new state. Both are NaN before the first residual and
        where ``y`` is; a side that a level leaves open is ``lower`` or ``upper``.
    """
    state = {name: values.copy() for name, values in state.items()}
    size = kernel.HALVES + int(K[kernel.LEVELS])
    shown = state["shown"][:, position * size : (position + 1) * size]
    known = np.isfinite(residual)
    r = np.where(known, residual, 0)
    ratios = _ratios(r, shown[:, kernel.HALVES :], K, state)
    state["ratios"] = np.where(known[:, None], ratios, state["ratios"])
    largest = _largest(np.abs(r), shown[:, -1], K[kernel.FADE], state["largest"][:, 0])
    state["largest"][:, 0] = np.where(known, largest, state["largest"][:, 0])
    _learn_scale(np.abs(r), shown, known, K[kernel.PACE], state)
    shown[:] = _shown(state, K[kernel.MOST])
    return bounds(y[:, None], widths(position, K, state), K), state


def widths(position: int, K: Array, state: State) -> Array:
    """Return the half widths, float[B, L], around the forecasts at a position in the ring."""
    size = kernel.HALVES + int(K[kernel.LEVELS])
    half = state["shown"][:, position * size + kernel.HALVES : (position + 1) * size]
    rows = K[kernel.PACE] * state["count"]
    wide = np.where(rows < kernel.START_END, kernel.START_WIDTH / np.maximum(rows, 1), 0)
    return np.asarray(half + np.abs(half) * wide)


def _ends(K: Array) -> Any:
    """Return the constants of every level, each as an array [L]."""
    return K[kernel.LEVEL :].reshape(-1, kernel.LEVEL_SIZE).T


def _ratios(r: Array, half: Array, K: Array, state: State) -> Array:
    alpha, side, least, wider, narrower = _ends(K)
    above = (r[:, None] > half) & (side != BELOW)
    below = (-r[:, None] > half) & (side != ABOVE)
    missed = above | below
    count = state["count"] + 1
    start = kernel.START_RATE / np.maximum(count, kernel.START_ROWS)
    move = K[kernel.PACE] * np.where(count >= kernel.STARTED, kernel.RATE, start) * (missed - alpha)
    factor = np.where(count < kernel.STARTED, np.exp(move), np.where(missed, wider, narrower))
    both = np.maximum(state["ratios"] * factor, kernel.RATIO_SMALLEST)
    one = np.maximum(state["ratios"] + kernel.ONE_SIDED * move, -kernel.RATIO_LARGEST)
    ratios = np.where(side == BOTH, both, one)
    tied = (r == 0)[:, None] & ~missed & (state["ratios"] <= least)
    ratios = np.where(tied | np.isnan(half), state["ratios"], ratios)
    ratios = np.minimum(ratios, kernel.RATIO_LARGEST)
    for same in (side == BOTH, side == ABOVE, side == BELOW):
        ratios[:, same] = np.minimum.accumulate(ratios[:, same][:, ::-1], axis=1)[:, ::-1]
    return ratios


def _learn_scale(size: Array, shown: Array, known: Array, pace: Any, state: State) -> None:
    old = {name: state[name][:, 0] for name in ("fast", "slow", "weight", "count")}
    count, begun = old["count"] + 1, old["slow"] > 0
    fast, slow = np.where(begun, old["fast"], 1), np.where(begun, old["slow"], 1)
    scale = shown[:, kernel.SCALE]
    judged = begun & (scale > 0)
    surprise = np.minimum(size / np.where(judged, scale, 1), kernel.SURPRISE) - 1
    weight = old["weight"] + pace * kernel.WEIGHT_RATE * shown[:, kernel.LEAN] * surprise
    weight = np.clip(weight, kernel.WEIGHT_LEAST, kernel.WEIGHT_MOST)
    first = np.where(size > 0, np.clip(size, kernel.SMALLEST, kernel.LARGEST), 0)
    size = np.minimum(size, kernel.APART * np.maximum(fast, slow))
    fast = fast + np.maximum(pace * kernel.FAST_RATE, 1 / count) * (size - fast)
    moved = slow + np.maximum(pace * kernel.SLOW_RATE, 1 / count) * (size - slow)
    moved = np.clip(np.minimum(moved, kernel.APART * fast), kernel.SMALLEST, kernel.LARGEST)
    slow = np.where(size > 0, moved, slow)
    fast = np.minimum(np.maximum(fast, slow / kernel.APART), kernel.LARGEST)
    new = {
        "fast": np.where(begun, fast, first),
        "slow": np.where(begun, slow, first),
        "weight": np.where(judged, weight, old["weight"]),
        "count": np.minimum(count, kernel.COUNTED),
    }
    for name, values in new.items():
        state[name][:, 0] = np.where(known, values, old[name])


def _largest(size: Array, half: Array, fade: Any, largest: Array) -> Array:
    """Return the largest error of late; that of a row of a former version is taken from a width."""
    begun = np.where(np.isnan(half), size, np.maximum(size, np.abs(half)))
    faded = np.maximum(size, largest * (1 - fade))
    return np.minimum(np.where(largest > 0, faded, begun), kernel.LARGEST)


def _shown(state: State, most: Any) -> Array:
    """Return lean, scale and half widths of the forecast of this step."""
    fast, slow = state["fast"], state["slow"]
    lean = np.where(slow > 0, (fast - slow) / np.where(slow > 0, fast + slow, 1), 0)
    turn = state["weight"] * lean
    scale = np.where(state["count"] > 0, slow * (1 + turn) / (1 - turn), np.nan)
    half, limit = state["ratios"] * scale, most * state["largest"]
    half = np.where((half > limit) & (limit > 0), limit, half)
    return np.concatenate([lean, scale, half], axis=1)


def bounds(y: Array, half: Array, K: Array) -> tuple[Array, Array]:
    """Return low and high, float[..., L], of forecasts y[..., 1] and half widths[..., L]."""
    side = _ends(K)[kernel.SIDE]
    lower, upper = K[kernel.LOWER], K[kernel.UPPER]
    low, high = np.clip(y - half, lower, upper), np.clip(y + half, lower, upper)
    unknown = np.isnan(low)
    low = np.where((side == ABOVE) & ~unknown, lower, low)
    return low, np.where((side == BELOW) & ~unknown, upper, high)
