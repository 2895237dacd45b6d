"""Virtual time: what happens next, and connections that take a while."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

START = 0.5  # seconds that a process takes at most until it serves
NOTICED = 0.01  # until its end is noticed
COMMIT = 0.05  # between two commits
SOON = 0.001  # until a worker goes on with what is under way
NETWORK = 0.002  # that a message takes at most


@dataclass
class Clock:
    """Calls functions in the order of their times.

    Attributes
    ----------
    now : float
        Seconds.
    """

    now: float = 0.0
    _due: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _numbers: int = 0

    @property
    def called(self) -> int:
        """How many functions were called."""
        return self._numbers - len(self._due)

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call a function some seconds from now."""
        self._numbers += 1
        heapq.heappush(self._due, (self.now + seconds, self._numbers, call))

    def run(self, until: float) -> None:
        """Let time pass."""
        due, pop = self._due, heapq.heappop
        while due and due[0][0] <= until:
            self.now, _, call = pop(due)
            call()
        self.now = until


class Link:
    """One direction of a connection: what is sent arrives in order, after a while, until it is cut.

    Parameters
    ----------
    clock : Clock
    chance : Random
        Draws how long each message takes.
    slowest : float
        Seconds that a message takes at most.
    """

    def __init__(self, clock: Clock, chance: random.Random, slowest: float) -> None:
        self._clock, self._chance, self._slowest = clock, chance, slowest
        self._last, self._is_cut = 0.0, False

    def send(self, call: Callable[[], object]) -> None:
        """Call a function at the other end."""
        arrives = max(self._clock.now + self._chance.random() * self._slowest, self._last)
        self._last = arrives
        self._clock.after(arrives - self._clock.now, lambda: None if self._is_cut else call())

    def cut(self) -> None:
        """Lose what is under way and all that is sent from now on."""
        self._is_cut = True
