"""What Python does for a gateway: requests that several workers answer, one step after another.

A task is a generator. It yields messages to workers and gets their replies, None from one that is
gone; or seconds to wait; and returns the reply to the client.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple, TypeAlias

from .workers import Workers


class Message(NamedTuple):
    """A message to a worker."""

    worker: int
    frame: bytes


Replies: TypeAlias = list[bytes | None]
Task: TypeAlias = Generator[list[Message] | float, Replies, bytes | None]


class _Running:
    def __init__(self, task: Task, producer: int, client: Any) -> None:
        self.task, self.producer, self.client = task, producer, client
        self.replies: Replies = []
        self.places: dict[int, int] = {}  # of the replies that have not come, by ticket


class Tasks:
    """Runs tasks.

    Parameters
    ----------
    workers : Workers
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._by_ticket: dict[int, _Running] = {}
        self._asleep: list[tuple[float, _Running]] = []
        self.done: list[tuple[Any, bytes | None]] = []  # clients of finished tasks, and replies

    def begin(self, task: Task, producer: int, client: Any) -> None:
        """Run a task as far as it goes at once.

        Parameters
        ----------
        task : Task
        producer : int
            That its messages name; 0 for none.
        client : object
            What ``done`` has for it.
        """
        self._advance(_Running(task, producer, client), [])

    def _advance(self, running: _Running, replies: Replies) -> None:
        try:
            # A generator that was not started takes None alone.
            wanted = running.task.send(replies) if replies else next(running.task)
            while isinstance(wanted, list) and not wanted:
                wanted = running.task.send([])
        except StopIteration as stop:
            self.done.append((running.client, stop.value))
            return
        if isinstance(wanted, float):
            self._asleep.append((time.monotonic() + wanted, running))
            return
        running.replies = [None] * len(wanted)
        numbers = self._workers.numbers
        for place, (worker, frame) in enumerate(wanted):
            if worker in numbers:
                ticket = self._workers.send(worker, frame, running.producer)
                running.places[ticket], self._by_ticket[ticket] = place, running
        if not running.places:
            self._asleep.append((0.0, running))

    def reply(self, ticket: int, reply: bytes | None) -> None:
        """Go on with the task that waits for a reply; None if none will come."""
        running = self._by_ticket.pop(ticket, None)
        if running is None:
            return
        running.replies[running.places.pop(ticket)] = reply
        if not running.places:
            self._advance(running, running.replies)

    def lose(self, tickets: Iterable[int]) -> None:
        """Go on with tasks whose replies will not come."""
        for ticket in tickets:
            self.reply(ticket, None)

    def wake(self) -> float:
        """Go on with the tasks that have waited; return for how many seconds others wait."""
        now = time.monotonic()
        due = [running for until, running in self._asleep if until <= now]
        self._asleep = [(until, running) for until, running in self._asleep if until > now]
        for running in due:
            self._advance(running, running.replies)
        return min((until - now for until, _ in self._asleep), default=1.0)
