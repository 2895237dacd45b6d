"""How rare a size is among those before it, and alarms at a rate: the specification.

The equations are in anomaly.py.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online import tail as kernel

Array = NDArray[Any]
State = dict[str, Array]

NAMES = ("half", "tenth", "hundredth", "thousandth", "threshold", "since", "held")


def log_tail_probability(s: State, surprise: Array, seen: Array) -> Array:
    """Return the log probability of such a surprise or a larger one; move the quantiles.

    ``seen`` is the number of surprises before.
    """
    names, tails = NAMES[:4], (0.5, 0.1, 0.01, 0.001)
    first = (
        kernel.FIRST_HALF, kernel.FIRST_TENTH,
        kernel.FIRST_HUNDREDTH, kernel.FIRST_THOUSANDTH,
    )  # fmt: skip
    for name, begin in zip(names, first, strict=True):
        s[name] = np.where(seen == 0, begin, s[name])
    q = [s[name] for name in names]
    drops = (kernel.LOG5, kernel.LOG10, kernel.LOG10)
    least = kernel.LEAST_SCALE
    scales = [np.maximum((b - a) / d, least) for a, b, d in zip(q, q[1:], drops, strict=False)]
    scales.append(scales[-1])
    lower = np.log(1.0 - 0.5 * np.exp(np.minimum(surprise - q[0], 0.0) / scales[0]))
    beyond = [math.log(t) - (surprise - a) / b for t, a, b in zip(tails, q, scales, strict=True)]
    below = [surprise < quantile for quantile in q]
    log_p = np.select(below, [lower, *beyond[:3]], beyond[3])
    for name, tail, scale in zip(names, tails, scales, strict=True):
        rows = kernel.START_GAIN / (1.0 + tail * seen)
        gain = scale * np.maximum(kernel.GAIN, np.minimum(kernel.MOST_GAIN, rows))
        moved = s[name] + gain * ((surprise > s[name]) - tail)
        s[name] = np.clip(moved, -kernel.LARGEST, kernel.LARGEST)
    return np.asarray(np.maximum(log_p, kernel.LEAST_LOG_P))


def alarmed(s: State, log_p: Array, K: Array) -> tuple[Array, Array]:
    """Return where an alarm begins, and where one stands; move the threshold."""
    rate, log_rate = K.astype(np.float64)
    fall = kernel.RAISE * kernel.SHARE * rate * s["since"]
    rise = np.maximum(np.minimum(s["threshold"], kernel.HIGHEST) - fall, kernel.LOWEST)
    stood = s["held"] > 0
    alarm = ~stood & (log_p < log_rate - kernel.LOG10 * (kernel.MARGIN + rise))
    s["threshold"] = np.where(alarm, rise + kernel.RAISE, s["threshold"])
    s["since"] = np.where(alarm, 0, np.minimum(s["since"] + 1, kernel.SINCE_MOST))
    hold = alarm | (stood & (log_p < kernel.HELD_BY))
    s["held"] = np.where(hold, kernel.HOLD, np.maximum(s["held"] - 1, 0))
    return alarm.astype(float), (alarm | stood).astype(float)
