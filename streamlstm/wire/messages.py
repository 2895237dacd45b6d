"""The messages of the wire protocol, its limits and its kinds."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

VERSION = 1
ROUTER = "tcp://127.0.0.1:7450"  # where a worker is asked,
PULL = "tcp://127.0.0.1:7451"  # fed,
XPUB = "tcp://127.0.0.1:7452"  # and listened to, unless it is told otherwise
MAX_PORT = 2**16 - 1
MAX_ID_BYTES = 255
MAX_UINT = 2**64 - 1
MAX_STREAMS = 16_384  # in one STEPS message, and elements in any array
MAX_NONCE_BYTES = 255
MAX_LISTED = 1_000  # streams in one answer to LIST
MAX_ENVELOPE = 8  # frames before the message
MAX_ENVELOPE_BYTES = 255  # of each of them
MAX_MESSAGE_BYTES = 2**20  # unless a worker is told otherwise
MAX_TEXT = 1_000  # characters of the sentence in an ERROR

CODES = (
    "bad-frame",
    "bad-shape",
    "bad-value",
    "unknown-kind",
    "gap",
    "duplicate",
    "busy",
    "capacity",
    "unknown-stream",
    "moved",
    "model-mismatch",
    "too-large",
    "forbidden",
    "bad-model",
    "error",
)

StreamId: TypeAlias = str | int
Nonce: TypeAlias = int | str | bytes


class Kind(IntEnum):
    """The first element of every message."""

    STEP = 1
    STEPS = 2
    RESET = 3
    EXPORT = 4
    IMPORT = 5
    INFO = 6
    PING = 7
    BARRIER = 8
    LIST = 9
    LAST = 10
    FORGET = 11
    RELOAD = 13
    PREDICTION = 129
    PREDICTIONS = 130
    DONE = 131
    ERROR = 255


# No question has this kind: a DONE with it is published when a stream has left memory.
EVICTED = 12


class Step(NamedTuple):
    """One observation of one stream; ``x`` is float32[F], ``time`` in seconds."""

    stream: StreamId
    seq: int
    x: bytes
    time: float | None = None


class Steps(NamedTuple):
    """Observations of many streams, all or none of them applied; ``X`` is float32[B, F]."""

    streams: list[StreamId]
    seqs: list[int] | None
    X: bytes


class Reset(NamedTuple):
    """Make the memory of a stream that of a new one."""

    stream: StreamId


class Export(NamedTuple):
    """Ask for the state of a stream."""

    stream: StreamId


class Import(NamedTuple):
    """Give a stream the state that an EXPORT returned."""

    stream: StreamId
    blob: bytes


class Info(NamedTuple):
    """Ask what the worker runs and what it has done."""


class Ping(NamedTuple):
    """Ask for the nonce to be sent back."""

    nonce: Nonce


class Barrier(NamedTuple):
    """Ask to hear when the ``sent`` observations before it are applied and safe."""

    token: Nonce
    sent: int


class List(NamedTuple):
    """Ask which streams there are, from behind ``after`` on, at most ``limit`` of them."""

    prefix: str | None
    after: StreamId | None
    limit: int


class Last(NamedTuple):
    """Ask for the last number of each of these streams."""

    streams: list[StreamId]


class Forget(NamedTuple):
    """Drop a stream."""

    stream: StreamId


class Reload(NamedTuple):
    """Take the model file anew; with ``anew`` all streams begin anew, with any model."""

    anew: bool


class Prediction(NamedTuple):
    """The answer to a STEP, and what subscribers receive; ``y`` is float32[O]."""

    stream: StreamId
    seq: int
    y: bytes
    extra: dict[str, Any] | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """The outputs, float32[O]."""
        return from_floats(self.y)


class Predictions(NamedTuple):
    """The answer to a STEPS; ``Y`` is float32[B, O]."""

    streams: list[StreamId]
    seqs: list[int] | None
    Y: bytes

    @property
    def values(self) -> NDArray[np.float32]:
        """The outputs, float32[B, O], one row a stream in the order of the question."""
        return from_floats(self.Y).reshape(len(self.streams), -1)


class Done(NamedTuple):
    """The answer to everything that is not a step; ``value`` is the state for an EXPORT.

    Subscribers hear that of RESET, IMPORT and FORGET, and one with the kind ``EVICTED`` when a
    stream has left memory; its value then tells whether it is in a store and comes back.
    """

    kind: int
    stream: StreamId | None
    value: Any = None


class Error(NamedTuple):
    """Why a message changed nothing.

    What ``number`` is depends on the code: with ``busy`` the milliseconds to wait, with ``gap`` and
    ``duplicate`` the number after which the stream goes on. ``y``, float32[O], comes with
    ``duplicate`` where the prediction is still known.
    """

    stream: StreamId | None
    seq: int | None
    code: str
    message: str
    number: int | None = None
    y: bytes | None = None

    @property
    def wait(self) -> int | None:
        """With ``busy``: milliseconds until the same may be sent again."""
        return self.number if self.code == "busy" else None

    @property
    def last_seq(self) -> int | None:
        """With ``gap`` and ``duplicate``: the number after which the stream goes on."""
        return self.number if self.code in ("gap", "duplicate") else None


Request: TypeAlias = (
    Step | Steps | Reset | Export | Import | Info | Ping | Barrier | List | Last | Forget | Reload
)
Reply: TypeAlias = Prediction | Predictions | Done | Error


_LITTLE_FLOAT32 = np.dtype("<f4")


# --- floats, ports and topics --------------------------------------------------------------------


def to_floats(values: ArrayLike) -> bytes:
    """Write an array of numbers as little-endian float32, row by row."""
    if isinstance(values, np.ndarray) and values.dtype == _LITTLE_FLOAT32:
        return values.tobytes()  # three times quicker than to look for numbers that are too large
    with np.errstate(over="ignore"):  # too large for float32 becomes inf, which a worker refuses
        return np.asarray(values, dtype="<f4").tobytes()


def from_floats(data: bytes) -> NDArray[np.float32]:
    """Read a new float32 array out of little-endian float32."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def is_port(endpoint: str) -> bool:
    """Return whether an endpoint's port is one; true also for endpoints that have none.

    libzmq itself reads 99999 as 34463, and connects there.
    """
    scheme, _, address = endpoint.partition("://")
    _, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon:
        return True
    digits = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    return digits and 1 <= int(port) <= MAX_PORT


def topic(stream: StreamId) -> bytes:
    """Name a stream as subscribers do: text as it is, so that a prefix can be subscribed to.

    No text id starts with a NUL byte, so the two forms never meet.
    """
    if isinstance(stream, str):
        return stream.encode()
    return b"\0" + stream.to_bytes(8, "big")
