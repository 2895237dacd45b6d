"""A model that scores any numeric streams from their first rows on, without training.

A small LSTM with fixed weights remembers each stream on time scales from 2 to 150 steps; forgetting
is set by the biases of its forget gates. What it remembers means nothing by itself: the head that
learns for each stream (adaptation.py) finds out what of it foretells the next value. Inputs are
scaled by the stream's own mean and deviation, so the level and the unit of a stream do not matter.

Networks with random recurrent weights and a trained head are echo state networks (H. Jaeger, The
"echo state" approach, GMD Report 148, 2001).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from ..network.layers import LSTM, Dense
from ..network.model import Model
from ..network.online import Online

UNITS = 16
SLOWEST, LEAST_INPUT = 5.0, -3.0  # biases of the forget and the input gate of the slowest unit
INPUT_SPREAD, STATE_SPREAD = 0.8, 0.9  # standard deviations of the weights, the second by sqrt(H)
_SEED = 0x5EED


def detector(
    inputs: Sequence[str] = ("value",),
    intervals: Sequence[float] = (0.9,),
    alarm_rate: float = 1e-4,
) -> Model:
    """Return a model that says of each observation how unusual it is.

    Parameters
    ----------
    inputs : sequence of str
        Names of the F features of an observation. The model forecasts each of them one step ahead.
    intervals : sequence of float
        Levels of the intervals around these forecasts.
    alarm_rate : float
        At most so many false alarms a row, on a stream that does not change.

    Returns
    -------
    Model
        The same weights on every machine.

    Examples
    --------
    >>> engine = Engine(detector(["temperature"]))  # doctest: +SKIP
    >>> engine.observe("pump-7", [21.3]).score  # doctest: +SKIP
    0.0
    """
    try:
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        levels = tuple(intervals)
    except TypeError:
        raise ModelError(
            "detector: expected sequences of names and of levels, got "
            f"{shown(inputs)} and {shown(intervals)}."
        ) from None
    F = len(names)
    if not F:
        raise ModelError("detector: expected the name of at least one input, got none.")
    network = [LSTM(F, UNITS), Dense(UNITS, F)]
    share = np.linspace(0.0, 1.0, UNITS)
    bias = np.zeros((4, UNITS))
    bias[0], bias[1] = LEAST_INPUT * share, SLOWEST * share
    numbers = _uniform(4 * UNITS * (network[0].input_size + UNITS)) * np.sqrt(3.0)
    from_input = numbers[: 4 * UNITS * network[0].input_size].reshape(4 * UNITS, -1)
    from_state = numbers[from_input.size :].reshape(4 * UNITS, UNITS)
    weights = [
        {
            "weight_ih": INPUT_SPREAD * from_input / np.sqrt(F),
            "weight_hh": STATE_SPREAD * from_state / np.sqrt(UNITS),
            "bias": bias.ravel(),
        },
        {"weight": np.zeros((F, UNITS)), "bias": np.zeros(F)},
    ]
    online = Online(
        fill="predict",
        scale="stream",
        adapt="rls",
        intervals=levels,
        anomaly=True,
        alarm_rate=alarm_rate,
    )
    return Model(
        network,
        weights,
        inputs=names,
        outputs=names,
        skip=range(F),
        metadata={"source": "streamlstm's detector, fixed weights"},
        online=online,
    )


def _uniform(count: int) -> NDArray[np.float64]:
    """Return numbers from -1 to 1, the same on every machine and with every version of NumPy.

    G. Steele, D. Lea, C. Flood, Fast splittable pseudorandom number generators (splitmix64).
    """
    with np.errstate(over="ignore"):
        z = np.uint64(_SEED) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(
            0x9E3779B97F4A7C15
        )
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0
