"""Checks the values of replies to a replaying publisher's requests."""

from __future__ import annotations

from ...errors import StreamLSTMError


def standings_of(value: object, count: int) -> list[tuple[int, int]]:
    """Return last number and producer of each stream of a claim, from the value of its reply."""
    if isinstance(value, list) and len(value) == count:
        pairs = [(n[0], n[1]) for n in value if isinstance(n, list) and len(n) >= 2]
        if len(pairs) == count and all(type(n) is int for pair in pairs for n in pair):
            return pairs
    raise _bad_reply("CLAIM", value)


def received_of(value: object) -> int:
    """Return how many observations arrived before a barrier, from the value of its reply."""
    if isinstance(value, list) and len(value) >= 2 and type(value[1]) is int:
        return value[1]
    raise _bad_reply("BARRIER", value)


def _bad_reply(request: str, value: object) -> StreamLSTMError:
    """Return the error for a reply that is not as the protocol says."""
    return StreamLSTMError(
        f"expected the reply to a {request} as docs/protocol.md describes it, got {value!r:.200}; "
        "is that a streamlstm worker?"
    )
