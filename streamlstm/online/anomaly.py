"""How abnormal a value is: score, p-value, alarm and kind: the specification.

A value has, in units of the running standard deviation, the error of the forecast that was made of
it, and the error of a calendar model (season.py). Let u and v be these in units of their mean size
so far, which learns from errors clipped at 5 times that (Huber 1964):

    short    = mean of u, clipped at 4, over 5 rows
    long     = mean of v, clipped at 4, over 24 rows
    activity = mean of |u|, clipped at 8, over 6 rows
    change   = log(activity + 0.02) - its mean over a long time

Means over a long time weigh a row by 0.001, at first by 1 / (rows so far + 1); those of sizes and
of the logarithm by 2 / (rows so far + 2), so that they forget the start. Of n values, m were
outside the range of all before them, by a part d of it; with y = log(1 + 10 d) and its mean,

    novelty  = log10((n + 1) / (m + 1)) + y / (mean of y ln 10)         decades; an exponential law

**Score**: what is news. A record is the largest size so far, forgotten at 0.0003 a row;

    surprise = log+(2 |short| / record) + log+(2 |long| / record) + log+(2 calm / record)
               + novelty / 2

with log+ = max(0, log) and calm = max(0, -change). It is the score where it is above the highest
so far, which is forgotten over a tenth of all rows, and 0 elsewhere. It ranks rows, also those of
several streams.

**p-value**: what is rare. How many times its usual size is the most unusual of

    |u| ("spike"), |short| and |long| ("level"), 1.2 change ("variance"), -0.9 change ("calm"),
    1.8 1.5^novelty ("novelty"; this needs no usual size)

and which share of rows was as unusual? The sizes that 1/2, 1/10, 1/100 and 1/1000 of rows exceed
are tracked, as logarithms (Robbins and Monro 1951), joined and continued by exponentials.

Two more are rare by themselves, and are told instead where they are rarer. **Stuck** ("calm"): of n
values, a repeated the one before, and at most L in succession (counted as 4 at least); k > L in
succession have

    p = (n - a)^(1 - k / L),

the law of the longest run, once values have changed 100 times. A run makes L at most four times
as long. **Slow** ("level"): with the mean of v, clipped at 4, over 100 rows, and r its size as a
multiple of the usual one (weights of 0.0002, learned from at most 3 times that), from the 1,000th
row on

    p = exp(-0.32 r^2) where r > 5.5,

what a normal distribution has beyond r times its mean size, at most.

**Alarm**: raised in the row in which p falls below rate 10^-(0.5 + rise), unless one still stands:
one of the last 16 rows had p < 0.01. Each one adds 0.1 to ``rise``, each row takes 0.06 rate from
it. So T rows have 0.6 rate T + 10 (change of rise) alarms, whatever the stream is (the argument of
adaptive conformal inference, Gibbs and Candès 2021), while rise is within its bounds, -2 and 4. The
kind is told as long as the alarm stands; it becomes another one where another lasts.

A missing value has score 0, p-value 1 and kind "missing"; an alarm is raised when 8 are missing in
succession, or twice as many as ever before. Where 32 rows in succession are out of all bounds, or
change by less than a millionth of the standard deviation but not by 0, the stream has become
another one, and all is learnt anew but the threshold. Of the first 100 rows nothing is said.

What it does not promise: that an alarm is a fault, nor a rate of alarms on a stream that changes.
The p-value says how rare the value is among all rows, not among rows of a certain hour. What comes
over thousands of rows, or on a stream that wanders as far by itself, is missed.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..kernels.online import anomaly_columns as kernel
from ..kernels.online.tail import HELD_BY, LEAST_LOG_P, LOG10
from . import season, tail

Array = NDArray[Any]
State = dict[str, Array]

KINDS = ("none", "spike", "level", "variance", "calm", "novelty", "missing")
ALARM_RATE = 1e-4  # by default
_UNIT = kernel.NOVELTY_UNIT
_NAMES = (
    "count", "mean", "spread", "low", "high", "error", "season_error", "short", "long",
    "activity", "usual", "short_record", "long_record", "calm_record", "short_size", "long_size",
    "change_size", "slow", "slow_size", "novelties", "novelty", "peak", "last", "strange", "kind",
    *tail.NAMES,
)  # fmt: skip
_RARE_NAMES = ("gap", "longest_gap", "repeats", "longest_run", "alike")
_SCALARS = {*_NAMES, *_RARE_NAMES}  # of which there is one a stream


def constants(alarm_rate: float = ALARM_RATE) -> NDArray[np.float32]:
    """Return the constants that the kernel reads.

    Parameters
    ----------
    alarm_rate : float
        Of false alarms a row, at most.

    Raises
    ------
    ModelError
        If the rate is not above 0 and at most 0.05.
    """
    if not 0.0 < alarm_rate <= 0.05:
        raise ModelError(
            f"anomaly: expected an alarm rate above 0 and at most 0.05, got {alarm_rate}: it is "
            "the share of rows that may raise a false alarm, such as 0.0001."
        )
    return np.array([alarm_rate, math.log(alarm_rate)], np.float32)


def columns() -> dict[str, int]:
    """Return how many floats are kept of a stream and target, by name, in their order."""
    return {**dict.fromkeys(_NAMES, 1), **season.columns(), **dict.fromkeys(_RARE_NAMES, 1)}


def initial() -> NDArray[np.float32]:
    """Return what the columns hold before the first value."""
    return np.zeros(sum(columns().values()), np.float32)


def step(
    value: Array, residual: Array, time: Array, K: Array, state: State
) -> tuple[tuple[Array, Array, Array, Array], State]:
    """Judge a value of each of B streams, and learn from it.

    Parameters
    ----------
    value : float[B]
        NaN where it is missing.
    residual : float[B]
        Value minus forecast; NaN where there was none.
    time : float64[B]
        Seconds since 1970; NaN where unknown, then the calendar model is left alone.
    K : float[2]
        As :func:`constants` returns it.
    state : dict of float[B, n]
        By the names of :func:`columns`.

    Returns
    -------
    outputs : tuple of float[B]
        Score (0 or more), p-value (above 0, at most 1), alarm (0 or 1), kind (place in KINDS).
    state : dict
        After the step.
    """
    dtype = state["mean"].dtype
    old = {n: a[:, 0] if n in _SCALARS else a for n, a in state.items()}
    here = ~np.isnan(value)
    x = np.clip(np.where(here, value, 0.0), -kernel.HUGE, kernel.HUGE)
    outputs, new = _judge(x, residual, time, K, old)
    alarm, gap = _missing(old)
    columns_of_missing = {**old, "gap": gap}
    made = {
        name: np.where(here if a.ndim == 1 else here[:, None], a, columns_of_missing[name])
        for name, a in new.items()
    }
    score, p_value, alarm_now, kind = outputs
    rows = {n: (a[:, None] if n in _SCALARS else a).astype(dtype) for n, a in made.items()}
    return (
        np.where(here, score, 0.0),
        np.where(here, p_value, 1.0),
        np.where(here, alarm_now, alarm),
        np.where(here, kind, kernel.MISSING),
    ), rows


def _missing(s: State) -> tuple[Array, Array]:
    gap = np.minimum(s["gap"] + 1, kernel.COUNTED)
    longest = np.maximum(kernel.GAP_ALARM, kernel.GAP_RATIO * s["longest_gap"])
    return ((gap >= longest) & (gap - 1 < longest)).astype(float), gap


def _judge(
    x: Array, residual: Array, time: Array, K: Array, s: State
) -> tuple[tuple[Array, Array, Array, Array], State]:
    """Return the outputs for values that are there, and the state after them."""
    s = {name: a.astype(np.float64, copy=True) for name, a in s.items()}
    s["longest_gap"], s["gap"] = np.maximum(s["longest_gap"], s["gap"]), np.zeros_like(x)
    anew = (s["count"] == 0) | (s["strange"] >= kernel.STRANGE_ROWS)
    _restart(s, anew, x)
    stuck = np.where(anew, 0.0, _stuck(s, x, ~anew))
    count, spread = s["count"], _spread(s)
    weight = np.maximum(kernel.MEMORY, 1.0 / (count + 1.0))
    fresh = np.maximum(kernel.MEMORY, kernel.FRESH / (count + kernel.FRESH))
    z = np.clip((x - s["mean"]) / spread, -kernel.BOUND, kernel.BOUND)
    u, slow = _errors(s, residual / spread, z, time, weight)
    change = _change(s, fresh)
    short, long = abs(s["short"]), abs(s["long"])
    novelty = _novelty(s, x, spread)
    surprise = kernel.NOVELTY_WEIGHT * novelty
    for name, size in (("short", short), ("long", long), ("calm", np.maximum(-change, 0.0))):
        surprise = surprise + _news(s, f"{name}_record", size)
    of_short, of_long, unrest = (
        _times_usual(s, f"{name}_size", size, fresh)
        for name, size in (("short", short), ("long", long), ("change", abs(change)))
    )
    up, level = change >= 0, np.maximum(of_short, of_long)
    changes = np.where(up, kernel.UNREST * unrest, 0.0), np.where(up, 0.0, kernel.CALMNESS * unrest)
    novel = np.where(novelty > 0, kernel.NOVEL_SIZE * kernel.DECADE**novelty, 0.0)
    parts = np.array([abs(u), level, *changes, novel])
    _count_strange(s, x, spread, u, z)
    _scale(s, x, spread, weight)
    s["count"] = np.minimum(count + 1, kernel.COUNTED)
    return _conclude(s, surprise, parts, np.stack([slow, stuck]), count, K)


def _stuck(s: State, x: Array, where: Array) -> Array:
    """Return log p of so many values without a change; count them ``where`` nothing began anew."""
    changes, repeats = s["count"] - 1 - s["alike"], s["repeats"]
    longest = np.maximum(s["longest_run"], kernel.LEAST_RUN)
    same = where & (x.astype(np.float32) == s["last"].astype(np.float32))
    most = np.where(changes == 0, repeats, kernel.RUN_GROWTH * longest)
    ended = np.maximum(s["longest_run"], np.minimum(repeats, most))
    s["longest_run"] = np.where(~same & (repeats > 0), ended, s["longest_run"])
    s["repeats"] = np.where(same, np.minimum(repeats + 1, kernel.COUNTED), 0)
    s["alike"] = np.where(same, np.minimum(s["alike"] + 1, kernel.COUNTED), s["alike"])
    told = same & (changes >= kernel.START) & (repeats >= longest)
    rare = -np.log(np.maximum(changes, 1)) * ((repeats + 1) / longest - 1)
    return np.where(told, rare, 0.0)


def _slow(s: State, v: Array) -> Array:
    """Return log p of the mean of many errors of the season, 0 where it is not rare."""
    usual = np.maximum(s["slow_size"], kernel.LEAST_SIZE)
    s["slow"] = s["slow"] + (v - s["slow"]) * kernel.PER_SLOW
    size = abs(s["slow"])
    weight = np.maximum(kernel.SLOW_MEMORY, kernel.FRESH / (s["count"] + kernel.FRESH))
    s["slow_size"] = usual + weight * (np.minimum(size, kernel.SLOW_LEARNED * usual) - usual)
    ratio = size / usual
    told = (ratio > kernel.SLOW_TOLD) & (s["count"] >= kernel.SLOW_START)
    return np.where(told, -kernel.SLOW_TAIL * ratio**2, 0.0)


def _restart(s: State, where: Array, x: Array) -> None:
    """Forget everything but the gaps, and where the threshold of alarms is."""
    kept = ("gap", "longest_gap", "kind", *tail.NAMES)  # what repeats itself is forgotten
    first: dict[str, Any] = {"mean": x, "low": x, "high": x, "last": x}
    first["season_inverse"] = season.identity()
    for name in s.keys() - set(kept):
        here = where if s[name].ndim == 1 else where[:, None]
        s[name] = np.where(here, first.get(name, 0.0), s[name])


def _count_strange(s: State, x: Array, spread: Array, u: Array, z: Array) -> None:
    """Count rows beyond all bounds, and those with changes that are far too small but not 0."""
    change = abs(x.astype(np.float32) - s["last"].astype(np.float32)).astype(np.float64)
    s["last"] = x
    strange = (abs(u) >= kernel.BOUND) | (abs(z) >= kernel.BOUND)
    strange |= (change > 0) & (change < kernel.STILL * spread)
    s["strange"] = np.where(strange, s["strange"] + 1, 0)


def _conclude(
    s: State, surprise: Array, parts: Array, others: Array, count: Array, K: Array
) -> tuple[tuple[Array, Array, Array, Array], State]:
    """Return score, p-value, alarm and kind; nothing of them is learnt of the first values.

    ``others`` are log p of a slow change and of a value that is stuck, float[2, B].
    """
    told, early = dict(s), count < kernel.START
    score = np.where(surprise > told["peak"], surprise, 0.0)
    fade = 1.0 - 1.0 / np.maximum(kernel.QUIET * count, kernel.QUIET_LEAST)
    told["peak"] = np.maximum(surprise, told["peak"] * fade)
    most = np.maximum(np.max(parts, axis=0), kernel.LEAST_SIZE)
    seen = np.maximum(count - kernel.START, 0.0)
    log_p = tail.log_tail_probability(told, np.log(most), seen)
    kind = 1 + np.argmax(parts, axis=0)
    kind = np.where(others[0] < log_p, kernel.LEVEL, kind)
    kind = np.where(others[1] < np.minimum(log_p, others[0]), kernel.CALM, kind)
    log_p = np.maximum(np.minimum(log_p, others.min(axis=0)), LEAST_LOG_P)
    alarm, stands = tail.alarmed(told, log_p, K)
    lasts = (kind > kernel.SPIKE) & ((kind != kernel.VARIANCE) | (parts[0] > kernel.LASTING))
    newer = (alarm > 0) | ((stands > 0) & (log_p < HELD_BY) & lasts)
    kind = np.where(newer, kind, np.where(stands > 0, told["kind"], 0))
    told["kind"] = kind
    s["kind"] = np.zeros_like(kind)
    state = {
        name: np.where(early if a.ndim == 1 else early[:, None], s[name], a)
        for name, a in told.items()
    }
    return (
        np.where(early, 0.0, score),
        np.where(early, 1.0, np.exp(log_p)),
        np.where(early, 0.0, alarm),
        np.where(early, 0.0, kind),
    ), state


def _spread(s: State) -> Array:
    mean = abs(s["mean"])
    known = (s["spread"] > 1e-9 * mean) & (s["spread"] > kernel.TINY)
    return np.where(known, s["spread"], 0.01 * mean + kernel.TINY)


def _scale(s: State, x: Array, spread: Array, weight: Array) -> None:
    bound = 4.0 * kernel.BOUND * spread
    move = np.clip(x - s["mean"], -bound, bound)
    s["mean"] = s["mean"] + weight * move
    s["spread"] = np.sqrt((1.0 - weight) * (s["spread"] ** 2 + weight * move**2))


def _errors(s: State, error: Array, z: Array, time: Array, weight: Array) -> tuple[Array, Array]:
    """Update the means of both errors.

    Returns that of the forecast in units of the usual one, and log p of the mean of many others.
    """
    made, late = ~np.isnan(error), s["count"] > 30
    error = np.clip(np.where(made, error, 0.0), -2 * kernel.BOUND, 2 * kernel.BOUND)
    u, usual = _unit(s["error"], error, weight)
    s["error"] = np.where(made, usual, s["error"])
    bounded = np.clip(u, -kernel.ERROR_BOUND, kernel.ERROR_BOUND)
    for name, now, rows in (
        ("short", bounded, kernel.SHORT_ROWS),
        ("activity", np.minimum(abs(u), kernel.ACTIVITY_BOUND), kernel.ACTIVITY_ROWS),
    ):
        s[name] = np.where(made, s[name] + (now - s[name]) / rows, s[name])
    bound = np.where(late, 4.0 * s["season_error"], kernel.HUGE)
    learns = (s["count"] < kernel.SETTLED) | (s["count"] % 2 == 0)
    miss, of_season = season.step(z, time, bound, learns, {n: s[n] for n in season.columns()})
    s.update(of_season)
    v, s["season_error"] = _unit(s["season_error"], miss, weight)
    bounded = np.clip(v, -kernel.ERROR_BOUND, kernel.ERROR_BOUND)
    s["long"] = s["long"] + (bounded - s["long"]) / kernel.LONG_ROWS
    return np.where(made, u, 0.0), _slow(s, bounded)


def _unit(usual: Array, error: Array, weight: Array) -> tuple[Array, Array]:
    known, size = usual > 0, abs(error)
    unit = np.where(known, error / np.where(known, usual, 1.0), 0.0)
    learned = np.where(known, np.minimum(size, kernel.LEARNED_BOUND * usual), size)
    usual = np.maximum(usual + weight * (learned - usual), kernel.LEAST_ERROR)
    return np.clip(unit, -kernel.SINGLE_BOUND, kernel.SINGLE_BOUND), usual


def _change(s: State, weight: Array) -> Array:
    active = np.log(s["activity"] + kernel.LEAST_ACTIVITY)
    s["usual"] = s["usual"] + weight * (active - s["usual"])
    return active - s["usual"]


def _news(s: State, name: str, size: Array) -> Array:
    """Return log(2 size / record), at least 0, and let the record grow and fade."""
    record = s[name]
    known = record > 0
    ratio = np.where(known, 2.0 * size / np.where(known, record, 1.0), 0.0)
    record = record * (1.0 - kernel.FORGET)
    grown = np.where(known, np.minimum(size, kernel.RECORD_GROWTH * record), size)
    record = np.where(size > record, grown, record)
    s[name] = np.where(record > kernel.TINY, record, 0.0)
    return np.asarray(np.log(np.clip(ratio, 1.0, kernel.RATIO)))


def _times_usual(s: State, name: str, size: Array, weight: Array) -> Array:
    """Return a size in units of its mean, and learn that."""
    usual = np.maximum(s[name], kernel.LEAST_SIZE)
    s[name] = usual + weight * (np.minimum(size, kernel.LEARNED_BOUND * usual) - usual)
    return size / usual


def _novelty(s: State, x: Array, spread: Array) -> Array:
    """Return the surprise, in decades, of a value outside the range so far; learn the range."""
    low, high = s["low"], s["high"]
    span = np.maximum(high - low, 0.1 * spread)
    distance = np.maximum(x - high, low - x)
    new = distance > 0
    s["low"] = np.where(new, np.maximum(np.minimum(low, x), low - span), low)
    s["high"] = np.where(new, np.minimum(np.maximum(high, x), high + span), high)
    new &= s["count"] >= kernel.START
    size = np.log1p(np.minimum(np.where(new, distance, 0.0) / span, kernel.HUGE) / _UNIT)
    count, mean = s["novelties"] + 1, kernel.FIRST_NOVELTY + s["novelty"]
    surprise = np.log10((s["count"] + 1) / count) + size / (LOG10 * mean)
    s["novelties"] = np.where(new, np.minimum(count, kernel.COUNTED), s["novelties"])
    s["novelty"] = np.where(new, s["novelty"] + (size - mean) / (count + 1), s["novelty"])
    return np.where(new, np.clip(surprise, 0.0, kernel.NOVELTY_MOST), 0.0)
