"""Messages of the wire protocol, their kinds and limits."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from .vectors import from_vector

VERSION = 1
ROUTER = "tcp://127.0.0.1:7450"  # default endpoints of a worker's three sockets
PULL = "tcp://127.0.0.1:7451"
XPUB = "tcp://127.0.0.1:7452"
MAX_PORT = 2**16 - 1
MAX_ID_BYTES = 255
MAX_UINT = 2**64 - 1
MAX_STREAMS = 16_384  # in one STEPS message, and elements in any array
MAX_NONCE_BYTES = 255
MAX_LISTED = 1_000  # streams in one reply to LIST
MAX_ENVELOPE = 8  # frames before the message
MAX_ENVELOPE_BYTES = 255  # of each of them
MAX_MESSAGE_BYTES = 2**20  # default of a worker
MAX_TEXT = 1_000  # characters of the message in an ERROR

CODES = (
    "bad-frame",
    "bad-shape",
    "bad-value",
    "precision",
    "unknown-kind",
    "gap",
    "duplicate",
    "fenced",
    "label",
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
    LABEL = 14
    CLAIM = 15
    TABLE = 16
    PREDICTION = 129
    PREDICTIONS = 130
    DONE = 131
    ERROR = 255


# No request has this kind: a DONE with it is published when a stream was evicted from memory.
EVICTED = 12


class Step(NamedTuple):
    """One observation of one stream; ``x`` is float32[F], ``time`` in seconds.

    Vectors of all messages are little-endian float32, or :class:`.vectors.Doubles`.
    """

    stream: StreamId
    seq: int
    x: bytes
    time: float | None = None


class Steps(NamedTuple):
    """Observations of many streams, applied all or none.

    ``X`` is float32[B, F]; ``times`` in seconds, one for each row, None where it has none.
    """

    streams: list[StreamId]
    seqs: list[int] | None
    X: bytes
    times: list[float | None] | None = None


class Reset(NamedTuple):
    """Reset the state of a stream to that of a new one."""

    stream: StreamId


class Export(NamedTuple):
    """Ask for the state of a stream."""

    stream: StreamId


class Import(NamedTuple):
    """Set the state of a stream to one that an EXPORT returned."""

    stream: StreamId
    blob: bytes


class Info(NamedTuple):
    """Ask for the worker's model, streams and counters."""


class Ping(NamedTuple):
    """Ask for the nonce to be sent back."""

    nonce: Nonce


class Barrier(NamedTuple):
    """Ask for a reply when the ``sent`` observations before it are applied and committed."""

    token: Nonce
    sent: int


class List(NamedTuple):
    """Ask for the ids of streams after ``after``, at most ``limit`` of them."""

    prefix: str | None
    after: StreamId | None
    limit: int


class Last(NamedTuple):
    """Ask for the last sequence number of each of these streams."""

    streams: list[StreamId]


class Forget(NamedTuple):
    """Delete a stream."""

    stream: StreamId


class Reload(NamedTuple):
    """Load the model file again; ``anew`` accepts any model and resets all streams."""

    anew: bool


class Label(NamedTuple):
    """What the outputs of an observation should have been; ``y`` is float32[O], NaN for unknown."""

    stream: StreamId
    seq: int
    y: bytes


class Claim(NamedTuple):
    """Take over streams for the producer of the message, all or those of the producer ``before``.

    ``before`` is None, an identity, or 0 for streams that have no producer.
    """

    streams: list[StreamId]
    before: int | None = None


class Table(NamedTuple):
    """Ask which worker of the fleet has which partition."""


class Prediction(NamedTuple):
    """The reply to a STEP, also published to subscribers; ``y`` is float32[O].

    ``x``, float32[F], and ``time`` are what came; only subscribers to values get them.
    """

    stream: StreamId
    seq: int
    y: bytes
    extra: dict[str, Any] | None = None
    x: bytes | None = None
    time: float | None = None

    @property
    def values(self) -> NDArray[Any]:
        """The outputs, float32[O], or float64[O] where they have offsets."""
        return from_vector(self.y)


class Predictions(NamedTuple):
    """The reply to a STEPS; ``Y`` is float32[B, O]."""

    streams: list[StreamId]
    seqs: list[int] | None
    Y: bytes
    extra: dict[str, Any] | None = None

    @property
    def values(self) -> NDArray[Any]:
        """The outputs, float32[B, O] or float64, one row a stream in the order of the request."""
        return from_vector(self.Y).reshape(len(self.streams), -1)


class Done(NamedTuple):
    """The reply to every request other than a step; ``value`` is the state for an EXPORT.

    The replies to RESET, IMPORT and FORGET are published to subscribers, too, and so is one of
    kind ``EVICTED`` when a stream was evicted; its value says whether a store holds the stream.
    ``full`` comes with the reply to a CLAIM: whether observations must be arrays of numbers, since
    bins of float32 lose what the model needs.
    """

    kind: int
    stream: StreamId | None
    value: Any = None
    full: bool = False


class Owner(NamedTuple):
    """Who owns a partition of a fleet: its epoch, and the endpoint of the owner's ROUTER.

    The epoch rises with each change of owners; ``router`` is None while nobody owns it.
    """

    epoch: int
    router: str | None


class Error(NamedTuple):
    """The reply to a message that was refused and changed nothing.

    ``number`` depends on the code: with ``busy`` the milliseconds to wait, with ``gap``,
    ``duplicate`` and ``fenced`` the stream's last sequence number, with ``moved`` the partition of
    the stream. ``y``, float32[O], comes with ``duplicate`` if the prediction is still known, and
    ``extra`` as in a PREDICTION. ``owner`` comes with ``moved``.
    """

    stream: StreamId | None
    seq: int | None
    code: str
    message: str
    number: int | None = None
    y: bytes | None = None
    extra: dict[str, Any] | None = None
    owner: Owner | None = None

    @property
    def wait(self) -> int | None:
        """With ``busy``: milliseconds until the request may be sent again."""
        return self.number if self.code == "busy" else None

    @property
    def last_seq(self) -> int | None:
        """With ``gap``, ``duplicate`` and ``fenced``: the last sequence number of the stream."""
        return self.number if self.code in ("gap", "duplicate", "fenced") else None


Request: TypeAlias = (
    Step
    | Steps
    | Reset
    | Export
    | Import
    | Info
    | Ping
    | Barrier
    | List
    | Last
    | Forget
    | Reload
    | Label
    | Claim
    | Table
)
Reply: TypeAlias = Prediction | Predictions | Done | Error


# --- ports and topics ----------------------------------------------------------------------------


def is_port(endpoint: str) -> bool:
    """Return whether the port of an endpoint is valid; True for endpoints without a port.

    libzmq itself reads 99999 as 34463 and connects there.
    """
    scheme, _, address = endpoint.partition("://")
    _, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon:
        return True
    digits = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    return digits and 1 <= int(port) <= MAX_PORT


ALARM_TOPIC = b"\0alarm/"  # with what the topics of alarms begin,
VALUE_TOPIC = b"\0value/"  # and those of predictions with what came


def topic(stream: StreamId) -> bytes:
    """Return the topic of a stream: the bytes of a text id, so that prefixes can be subscribed to.

    No text id starts with a NUL byte, so the topics of integer ids are distinct from them.
    """
    if isinstance(stream, str):
        return stream.encode()
    return b"\0" + stream.to_bytes(8, "big")


def alarm_topic(stream: StreamId) -> bytes:
    """Return the topic under which a prediction of a stream that has an alarm is published again.

    It is longer than :func:`topic` by seven bytes: where it has nine, the stream in the message
    tells it from the topic of an integer id.
    """
    return ALARM_TOPIC + topic(stream)


def value_topic(stream: StreamId) -> bytes:
    """Return the topic under which a prediction of a stream is published again with what came."""
    return VALUE_TOPIC + topic(stream)
