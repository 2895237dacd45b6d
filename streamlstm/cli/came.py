"""What came, for `watch`: a worker publishes forecasts and their errors, not the observations."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamlstm.engine.prediction import Prediction

_STREAMS = 10_000  # whose forecasts are remembered: those that were heard of last
_NUMBERS = 2_000  # forecasts of one stream that are remembered at most
NAN = float("nan")


def horizons_of(model: Mapping[str, Any]) -> list[int]:
    """Return the horizon of each output of a model, as INFO tells of it."""
    found = []
    for name in model["outputs"]:
        steps = name.rpartition("@+")[2].partition("_q")[0]
        found.append(int(steps) if "@+" in name and steps.isdigit() else model["horizon"])
    return found


class Came:
    """Remembers forecasts until their errors come: what came is forecast and error together.

    Parameters
    ----------
    horizons : sequence of int
        Of each output.
    """

    def __init__(self, horizons: Sequence[int]) -> None:
        self._horizons = list(horizons)
        self._keep = max(self._horizons) + 1
        self._streams: OrderedDict[str | int, tuple[int, dict[int, list[float]]]] = OrderedDict()

    def forget(self, stream: str | int) -> None:
        """Forget a stream, which was reset or has left memory."""
        self._streams.pop(stream, None)

    def values(self, stream: str | int, seq: int, observed: Prediction) -> list[float]:
        """Return what each output's column was in the observation; NaN where it is not known.

        Parameters
        ----------
        stream : str or int
        seq : int
            The number of the observation; those without a number are counted as they arrive.
        observed : Prediction
        """
        last, said = self._streams.pop(stream, (0, {}))
        number = seq or last + 1
        error = observed.error.tolist()
        found = [
            said[number - steps][output] + error[output] if number - steps in said else NAN
            for output, steps in enumerate(self._horizons)
        ]
        if self._keep <= _NUMBERS:
            said[number] = observed.y.tolist()
            said.pop(number - self._keep, None)
            if len(said) > self._keep:  # numbers were left out
                said = {n: y for n, y in said.items() if n > number - self._keep}
        self._streams[stream] = number, said
        if len(self._streams) > _STREAMS:
            self._streams.popitem(last=False)
        return found
