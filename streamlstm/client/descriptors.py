"""Contexts and sockets of ZeroMQ, where no descriptor may be left for them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import zmq

from ..errors import EndpointError

_OF_A_CONTEXT = 8  # that a context takes which has one connection
WAIT_SECONDS = 1.0  # between two attempts to connect


class NoDescriptorError(EndpointError):
    """No file can be opened any more, and so no connection."""


def new_context() -> zmq.Context[Any]:
    """Return a context of ZeroMQ.

    libzmq ends a process that has a descriptor for one of a context's threads and none for the next
    one. So they are asked for here before.

    Raises
    ------
    NoDescriptorError
        If there are too few.
    """
    held: list[int] = []
    try:
        for _ in range(_OF_A_CONTEXT):
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        raise _none_left(error) from None
    finally:
        for each in held:
            os.close(each)
    return zmq.Context()


@contextmanager
def opening() -> Iterator[None]:
    """Raise NoDescriptorError where there is no descriptor for a socket, or to wake a thread."""
    try:
        yield
    except (zmq.ZMQError, OSError) as error:
        if error.errno != errno.EMFILE:
            raise
        raise _none_left(error) from None


def _none_left(error: OSError | zmq.ZMQError) -> NoDescriptorError:
    return NoDescriptorError(
        f"no connection can be made: {error.strerror}; allow this process more (ulimit -n)"
    )
