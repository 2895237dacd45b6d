"""Greedy clients in a process of their own, which can yield the processors to everybody else."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from streamlstm.loadtest.load import LoadError

from .greedy import CLIENTS, Count, Greedy

LOWEST = 19  # priority, as of os.nice
_AUTOGROUP = Path("/proc/self/autogroup")  # of a session: where there is one, it is what counts


class GreedyProcess:
    """A process that runs :class:`Greedy` clients, until the end of a ``with`` block.

    Parameters
    ----------
    yields : bool
        Whether it runs at the lowest priority: worker and other clients then have the processors
        as if the greedy clients were those of other machines. Else all have the same share.
    """

    def __init__(self, yields: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(theirs, yields), daemon=True)
        self._process.start()
        theirs.close()

    @contextmanager
    def clients(
        self, endpoint: str, requests: list[bytes], clients: int = CLIENTS
    ) -> Iterator[Callable[[], Count]]:
        """Let greedy clients send, within ``with``; gives what returns the replies so far.

        Raises
        ------
        LoadError
            As :class:`Greedy` does.
        """
        self._ask(endpoint, requests, clients)
        yield lambda: Count(*self._ask("count"))
        self._ask("stop")

    def _ask(self, *request: Any) -> Any:
        self._pipe.send(request)
        reply = self._pipe.recv()
        if isinstance(reply, LoadError):
            raise reply
        return reply

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _obey(pipe: "Connection[Any, Any]", yields: bool) -> None:
    """Run greedy clients as the other end of a pipe says, until it is closed."""
    os.setsid()  # as the worker: each session has its share of the processors
    if yields:
        os.setpriority(os.PRIO_PROCESS, 0, LOWEST)
        if _AUTOGROUP.exists():
            _AUTOGROUP.write_text(str(LOWEST))
    try:
        while True:
            _run_once(pipe)
    except EOFError:
        pipe.close()


def _run_once(pipe: "Connection[Any, Any]") -> None:
    arguments = pipe.recv()
    try:
        with Greedy(*arguments) as greedy:
            pipe.send(None)
            while pipe.recv() == ("count",):
                pipe.send(tuple(greedy.count()))
    except LoadError as error:
        pipe.send(error)
    else:
        pipe.send(None)
