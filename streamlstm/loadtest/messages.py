"""Encoded messages in one buffer, and the expected beginning of the reply to each."""

from typing import Any, NamedTuple

import numpy as np


class Messages(NamedTuple):
    """N messages and their expected replies, as arrays for compiled code.

    Attributes
    ----------
    frames : uint8[...]
        All messages, concatenated.
    frame_at : int64[N + 1]
        Offset of each message, and the end.
    heads : uint8[...]
        Beginnings of the replies: everything except the outputs, which the load does not know.
    head_at : int64[N + 1]
        Offset of each beginning, and the end.
    sizes : int64[N]
        Bytes of each reply; 0 where they are not known.
    """

    frames: Any
    frame_at: Any
    heads: Any
    head_at: Any
    sizes: Any


def echoed(messages: Messages) -> Messages:
    """Return the messages with each as its own expected reply."""
    sizes = np.diff(messages.frame_at)
    return messages._replace(heads=messages.frames, head_at=messages.frame_at, sizes=sizes)


def pack(frames: list[bytes], replies: list[bytes], unknown: int) -> Messages:
    """Return messages, and what the reply to each is but for its last ``unknown`` bytes."""
    return Messages(
        *joined(frames),
        *joined([reply[: len(reply) - unknown] for reply in replies]),
        np.array([len(reply) for reply in replies], np.int64),
    )


def joined(parts: list[bytes]) -> tuple[Any, Any]:
    """Return frames in one array, uint8[...], and the offset of each, and the end, int64[N + 1]."""
    at = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    return np.frombuffer(bytearray().join(parts), np.uint8), at
