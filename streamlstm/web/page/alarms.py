"""The last alarms, each with what was expected and with the gates at that moment."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ... import wire
from ...engine.explain import Explanation
from .board import number

KEPT = 500


@dataclass(frozen=True)
class Alarm:
    """An alarm of one stream.

    Attributes
    ----------
    number : int
        Rising from 1 in the order of alarms.
    arrived, time : float
        When it was heard of, and the event time; seconds since 1970.
    signals : list of dict
        What came, ``value``, what had been expected, ``forecast``, ``low`` and ``high``, of each.
    gates : Explanation or None
    """

    number: int
    stream: wire.StreamId
    arrived: float
    time: float
    kind: str
    score: float
    p_value: float
    signals: list[dict[str, Any]]
    gates: Explanation | None

    def line(self) -> dict[str, Any]:
        """Return what the list of alarms shows."""
        return {
            "number": self.number,
            "stream": self.stream,
            "arrived": self.arrived,
            "time": self.time,
            "kind": self.kind,
            "score": number(self.score),
            "p_value": number(self.p_value),
            "signals": self.signals,
            "has_gates": self.gates is not None,
        }

    def as_map(self) -> dict[str, Any]:
        """Return all of it."""
        return self.line() | {"layers": [] if self.gates is None else layers_of(self.gates)}


class Alarms:
    """Keeps the last alarms."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Alarm] = OrderedDict()
        self.last = 0

    def add(self, **said: Any) -> None:
        """Keep one more; the keywords are those of :class:`Alarm` but its number."""
        self.last += 1
        self._kept[self.last] = Alarm(number=self.last, **said)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def since(self, number: int) -> list[dict[str, Any]]:
        """Return the lines of those that came after one, the newest first."""
        return [alarm.line() for alarm in reversed(self._kept.values()) if alarm.number > number]

    def find(self, number: int) -> Alarm | None:
        """Return one of them; None if it is not kept any more."""
        return self._kept.get(number)


def layers_of(gates: Explanation) -> list[dict[str, Any]]:
    """Return the gates and states of the layers that have any, rounded to three digits."""
    return [
        {
            "layer": place,
            "kind": layer.layer.kind,
            "values": {
                name: [round(value, 3) for value in vector.tolist()]
                for name, vector in layer.values.items()
            },
        }
        for place, layer in enumerate(gates.layers)
        if "output" not in layer.values
    ]
