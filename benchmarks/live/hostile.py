"""Generates hostile messages, reproducible by their seed.

Their stream ids begin with ``hostile-``, or are random numbers: never those of other clients. Some
messages are valid, and the worker may apply them.
"""

import math
import random
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from streamlstm import wire

from .messages import F

STREAMS = 40  # ids of hostile messages
LARGE = 5_000  # one message in so many exceeds the size limit
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_VALUES = (math.nan, math.inf, -math.inf, 1e38, -3.4e38, 1e-45, 0.0, 1.0)


class Attack(NamedTuple):
    """One message and its target.

    Attributes
    ----------
    target : {"router", "deaf", "pull"}
        "deaf" is the ROUTER socket over a connection that never reads a reply.
    frames : list of bytes
        The envelope, which is usually empty, and the frame.
    """

    target: str
    frames: list[bytes]


def attacks(count: int, seed: int, blob: bytes = b"", large: int = LARGE) -> Iterator[Attack]:
    """Yield hostile messages.

    Parameters
    ----------
    count : int
    seed : int
    blob : bytes
        A valid state for the worker's model, to be imported as it is and damaged.
    large : int
        One message in so many exceeds the worker's size limit.
    """
    rng = random.Random(seed)
    kinds = list(_KINDS.items())
    makers = [maker for maker, weight in kinds for _ in range(weight)]
    for n in range(count):
        frame = _too_large(rng) if n % large == large - 1 else rng.choice(makers)(rng, blob)
        target = rng.choices(("router", "deaf", "pull"), (5, 2, 3))[0]
        yield Attack(target, [*_envelope(rng), frame])


def topics(count: int, seed: int) -> Iterator[bytes]:
    """Yield frames of a hostile subscriber: subscriptions, unsubscriptions, other bytes."""
    rng = random.Random(seed)
    for _ in range(count):
        first = rng.choice((b"\1", b"\1", b"\0", b"", b"\2", b"\xff"))
        yield first + rng.randbytes(rng.choice((0, 1, 9, 40, 300)))


# --- valid messages, which are then damaged ------------------------------------------------------


def _id(rng: random.Random) -> wire.StreamId:
    return f"hostile-{rng.randrange(STREAMS)}" if rng.random() < 0.9 else rng.choice(_NUMBERS)


def _valid(rng: random.Random, blob: bytes) -> bytes:
    match rng.randrange(8):
        case 0 | 1 | 2:
            time = rng.choice((None, None, 1.7e9))
            seq = rng.choice((0, 0, 1, 2, rng.choice(_NUMBERS)))
            return wire.encode(wire.Step(_id(rng), seq, _row(rng, 1), time))
        case 3 | 4:
            B = rng.choice((1, 2, 7, 40))
            seqs = None if rng.random() < 0.7 else [rng.choice(_NUMBERS) for _ in range(B)]
            return wire.encode(wire.Steps([_id(rng) for _ in range(B)], seqs, _row(rng, B)))
        case 5:
            return wire.encode(rng.choice((wire.Reset, wire.Export))(_id(rng)))
        case 6:
            return wire.encode(wire.Import(_id(rng), blob))
        case _:
            return wire.encode(rng.choice((wire.Info(), wire.Ping(rng.choice(_NUMBERS)))))


def _row(rng: random.Random, rows: int) -> bytes:
    return wire.to_floats([rng.gauss(0, 1) for _ in range(rows * F)])


# --- kinds of damage -----------------------------------------------------------------------------


def _random_bytes(rng: random.Random, _blob: bytes) -> bytes:
    return rng.randbytes(rng.choice((1, 2, 5, 50, 500)))


def _empty(_rng: random.Random, _blob: bytes) -> bytes:
    return b""


def _truncated(rng: random.Random, blob: bytes) -> bytes:
    frame = _valid(rng, blob)
    return frame[: rng.randrange(len(frame))]


def _longer(rng: random.Random, blob: bytes) -> bytes:
    return _valid(rng, blob) + rng.randbytes(rng.choice((1, 8, 100)))


def _mutated(rng: random.Random, blob: bytes) -> bytes:
    frame = bytearray(_valid(rng, blob))
    # The first bytes decide how the rest is decoded.
    reach = len(frame) if rng.random() < 0.5 else min(len(frame), 12)
    for _ in range(rng.randint(1, 4)):
        frame[rng.randrange(reach)] = rng.randrange(256)
    return bytes(frame)


def _wrong_types(rng: random.Random, _blob: bytes) -> bytes:
    things = (
        b"\xc0", b"\xc2", b"\xc3", b"\xff", b"\x90", b"\x80", b"\x81\x01\x02", b"\xa0", b"\xa1a",
        b"\xa2\0a", b"\xa2\xff\xfe", b"\xc4\0", b"\xc4\4abcd", b"\xcb" + struct.pack(">d", 1.5),
        b"\xca" + struct.pack(">f", math.nan), b"\xd4\5a", b"\xc7\0\5",
        b"\xd3\x80" + bytes(7), b"\xcf" + b"\xff" * 8, b"\xc1",
    )  # fmt: skip
    count = rng.randrange(7)
    kind = bytes([rng.randrange(10)]) if rng.random() < 0.8 else rng.choice(things)
    return bytes([0x91 + count]) + kind + b"".join(rng.choices(things, k=count))


def _wrong_length(rng: random.Random, _blob: bytes) -> bytes:
    """Write a header with a wrong length."""
    length = rng.choice((0, 1, 255, 2**15, 2**16 - 1, 2**31, 2**32 - 1))
    header = rng.choice(
        (
            b"\xd9" + bytes([length & 255]),
            b"\xda" + struct.pack(">H", length & 0xFFFF),
            b"\xdb" + struct.pack(">I", length),
            b"\xc6" + struct.pack(">I", length),
            b"\xc5" + struct.pack(">H", length & 0xFFFF),
            b"\xdc" + struct.pack(">H", length & 0xFFFF),
            b"\xdd" + struct.pack(">I", length),
            b"\xdf" + struct.pack(">I", length),
            b"\xc9" + struct.pack(">I", length) + b"\1",
        )
    )
    front = rng.choice((b"", b"\x94\1", b"\x94\2", b"\x94\1\xa9hostile-1\0", b"\x94\2\x91\1\xc0"))
    return front + header + rng.randbytes(rng.choice((0, 4, 32, 200)))


def _nested(rng: random.Random, _blob: bytes) -> bytes:
    depth = rng.choice((20, 512, 600, 3000))
    return rng.choice((b"\x91", b"\x81\1", b"\xdd\0\0\0\1", b"\x94\2")) * depth


def _bad_values(rng: random.Random, _blob: bytes) -> bytes:
    """Write a valid message with a NaN, infinite or huge value, as a bin or as an array."""
    row = [rng.gauss(0, 1) for _ in range(F)]
    row[rng.randrange(F)] = rng.choice(_VALUES)
    id = str(_id(rng)).encode()
    head = b"\x94\1" + bytes([0xA0 | len(id)]) + id + b"\0" if len(id) < 32 else b"\x94\1\5\0"
    if rng.random() < 0.6:
        return head + b"\xc4" + bytes([4 * F]) + struct.pack(f"<{F}f", *row)
    return head + bytes([0x90 | F]) + b"".join(b"\xcb" + struct.pack(">d", x) for x in row)


def _wrong_size(rng: random.Random, _blob: bytes) -> bytes:
    size = rng.choice((0, 1, 3, 4 * F - 1, 4 * F + 1, 4 * F - 4, 4 * F + 4, 255))
    if rng.random() < 0.5:
        return b"\x94\1\xa9hostile-1\0\xc4" + bytes([size]) + bytes(size)
    return b"\x94\2\x92\xa9hostile-1\xa9hostile-2\xc0\xc4" + bytes([size]) + bytes(size)


def _many(rng: random.Random, _blob: bytes) -> bytes:
    """Write a STEPS with the maximum number of streams, or one more, and almost no data."""
    count = rng.choice((1_000, wire.MAX_STREAMS, wire.MAX_STREAMS + 1))
    return b"\x94\2\xdc" + struct.pack(">H", count) + b"\1" * count + b"\xc0\xc4\4" + bytes(4)


def _too_large(rng: random.Random) -> bytes:
    start = rng.choice((b"", b"\x93\5\xa9hostile-1\xc6\0\x10\0\0"))
    return start + bytes(wire.MAX_MESSAGE_BYTES + rng.randint(1, 1000))


_KINDS: dict[Callable[[random.Random, bytes], bytes], int] = {
    _valid: 4,
    _random_bytes: 3,
    _empty: 1,
    _truncated: 4,
    _longer: 2,
    _mutated: 10,
    _wrong_types: 5,
    _wrong_length: 4,
    _nested: 1,
    _bad_values: 4,
    _wrong_size: 3,
    _many: 1,
}


def _envelope(rng: random.Random) -> list[bytes]:
    """Return usually no envelope; sometimes one, several, too many or too long ones."""
    chance = rng.random()
    if chance < 0.9:
        return []
    if chance < 0.98:
        return [rng.randbytes(rng.choice((0, 1, 8, 255))) for _ in range(rng.randint(1, 8))]
    return rng.choice(([b""] * rng.choice((9, 50, 1000)), [b"x" * 256], [b"", b"y" * 5000]))
