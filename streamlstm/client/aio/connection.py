"""The connected socket of an asyncio client, and the event loop that it belongs to."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import zmq

from ...errors import StreamLSTMError
from ..connection import ConnectedSocket, SocketType


class AsyncConnection(ConnectedSocket[SocketType]):
    """A socket of one event loop."""

    _socket_class: type[Any] = zmq.Socket
    _loop: asyncio.AbstractEventLoop | None = None

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop, which must be the one of the first use."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise StreamLSTMError(
                f"this {self._name} is used by another event loop; expected one for each loop"
            )
        return loop

    async def close(self) -> None:
        """Close the connection. Closing twice is harmless; so is closing in a child by fork."""
        if self._forked is None and self._socket is not None:
            self._close_socket()
            # terminating a context waits for unsent messages: not in the event loop
            await asyncio.to_thread(self._end_context)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
