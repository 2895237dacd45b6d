"""Limits of a worker's queue."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BadValueError


@dataclass(frozen=True)
class QueueLimits:
    """Bounds of the queue in a worker; beyond them senders are answered ``busy``.

    Attributes
    ----------
    messages : int
        Messages that wait, of all clients together.
    bytes : int
        Bytes of these messages; at least eight times what one may have.
    """

    messages: int = 16_384
    bytes: int = 2**26

    def check(self, max_message_bytes: int) -> None:
        """Raise BadValueError if this is too little for messages of that size.

        Twice the limit of a message is received, so that one above it gets an answer that says so,
        and a client alone may have half of the queue.
        """
        if self.bytes < 8 * max_message_bytes:
            raise BadValueError(
                f"--queue-bytes {self.bytes}: expected at least {8 * max_message_bytes}, eight "
                "times --max-message-bytes; leave it out, or allow shorter messages only"
            )
