"""All exceptions. Every message says what was expected, what came, where, and what to do.

The attribute ``code`` of each class is its error code in the protocol (docs/protocol.md).
"""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LONGEST = 300  # characters of a value in a message: more than any stream id has


def shown(value: object) -> str:
    """Return a value as messages show it: its repr, shortened; never raises."""
    try:
        text = repr(value)
    except Exception:  # such as of an integer of thousands of digits
        text = type(value).__name__
        if isinstance(value, int):
            text = f"{'a negative' if value < 0 else 'an'} integer of {value.bit_length()} bits"
    if "\n" in text:
        text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


class StreamLSTMError(Exception):
    """Base class of all exceptions that streamlstm raises.

    Attributes
    ----------
    code : str
        Error code in an ERROR reply.
    position : int or None
        Index of the faulty observation in a block; None without a block.
    divided : Divided or None
        With a message whose rows several workers of a fleet have: which rows were applied although
        others were not; None if none was.
    """

    code: str = "error"
    position: int | None = None
    divided: "Divided | None" = None

    def __str__(self) -> str:
        # KeyError would show the repr of the message.
        text = str(self.args[0]) if self.args else ""
        return text if self.divided is None else f"{text} ({self.divided})"


class Divided(NamedTuple):
    """What became of the rows of a message that was divided over the workers of a fleet.

    Each worker applies all of its rows or none. The rows that are in neither array were not
    applied: they, and only they, can be sent again.

    Attributes
    ----------
    applied : bool[B]
        Which rows were applied.
    in_doubt : bool[B]
        Which rows may have been applied: no answer came for them.
    values : float32[B, O] or None
        The predictions of those that were applied, NaN for the others; None if none was.
    """

    applied: "NDArray[Any]"
    in_doubt: "NDArray[Any]"
    values: "NDArray[Any] | None"

    def __str__(self) -> str:
        return (
            f"of {len(self.applied)} rows that several workers of a fleet have, "
            f"{int(self.applied.sum())} were applied and {int(self.in_doubt.sum())} may have been; "
            "the attribute divided of this error says which, and has their predictions. Send only "
            "the others again"
        )


class ModelError(StreamLSTMError, ValueError):
    """Layers, weights, names or scaling that do not fit together."""

    code = "bad-model"


class ConvertError(StreamLSTMError, ValueError):
    """A network of another framework that cannot be converted."""


class ModelFileError(StreamLSTMError):
    """A model file that cannot be read or written, is damaged, or has a newer version."""

    code = "bad-model"


class DataError(StreamLSTMError, ValueError):
    """A table or series that cannot be used; the message names file, line and column."""


class ShapeError(StreamLSTMError, ValueError):
    """An array whose shape does not fit the model."""

    code = "bad-shape"


class BadValueError(StreamLSTMError, ValueError):
    """A value that is not finite or otherwise invalid."""

    code = "bad-value"


class PrecisionError(BadValueError):
    """Values in float32 for a model with offsets, which needs them as float64."""

    code = "precision"


class StreamIdError(StreamLSTMError, ValueError):
    """A stream id that is neither text of 1 to 255 bytes nor an unsigned 64-bit integer."""

    code = "bad-frame"


class CapacityError(StreamLSTMError):
    """A new stream although all slots are taken."""

    code = "capacity"


class UnknownStreamError(StreamLSTMError, KeyError):
    """A stream without a state."""

    code = "unknown-stream"


class MovedError(StreamLSTMError):
    """A stream whose partition another worker of the fleet has.

    Attributes
    ----------
    partition : int
    epoch : int
        Of the partition; it rises with each change of owners.
    router : str or None
        Endpoint of the owner's ROUTER; None while nobody owns it.
    """

    code = "moved"

    def __init__(self, message: str, partition: int, epoch: int, router: str | None) -> None:
        super().__init__(message)
        self.partition, self.epoch, self.router = partition, epoch, router


class ArrivingError(StreamLSTMError):
    """A stream whose partition is on its way to this worker.

    Attributes
    ----------
    wait : int
        Milliseconds after which to send the message again.
    """

    code = "busy"

    def __init__(self, message: str, wait: int) -> None:
        super().__init__(message)
        self.wait = wait


class SequenceError(StreamLSTMError):
    """An observation whose sequence number is not the next of its stream."""


class GapError(SequenceError):
    """An observation with missing predecessors.

    Attributes
    ----------
    expected : int
        The next sequence number of the stream.
    """

    code = "gap"

    def __init__(self, message: str, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class DuplicateError(SequenceError):
    """An observation that was applied already.

    Attributes
    ----------
    last : int
        The last sequence number that was applied.
    values : float32[O] or None
        From :meth:`.Engine.step_each`, if it is the last observation once more: its prediction.
    result : float32[W] or None
        The same with all that the model's online stage said, without the offsets of the outputs.
    """

    code = "duplicate"

    def __init__(self, message: str, last: int) -> None:
        super().__init__(message)
        self.last = last
        self.values: NDArray[Any] | None = None
        self.result: NDArray[Any] | None = None


class FencedError(SequenceError):
    """A numbered observation of a stream that another publisher has taken over.

    Attributes
    ----------
    last : int
        The last sequence number that was applied.
    """

    code = "fenced"

    def __init__(self, message: str, last: int) -> None:
        super().__init__(message)
        self.last = last


class LabelError(StreamLSTMError, ValueError):
    """Labels from outside that cannot be applied: too late, too early, or a second time."""

    code = "label"


class ModelMismatchError(StreamLSTMError):
    """A state of another model, or a model that is incompatible with the streams."""

    code = "model-mismatch"


class StoreError(StreamLSTMError):
    """A store that cannot be opened, read or written, or belongs to another model or program.

    Its code is ``busy``: nothing was changed, and the request may be repeated later.
    """

    code = "busy"


class DamagedRecordError(StoreError):
    """A record in a store that is not what was written: its stream can only be forgotten.

    Attributes
    ----------
    stream : str or int
        Whose record it is.
    """

    def __init__(self, message: str, stream: str | int) -> None:
        super().__init__(message)
        self.stream = stream


class ProtocolError(StreamLSTMError):
    """A message that cannot be decoded.

    Attributes
    ----------
    code : str
        An error code of docs/protocol.md.
    stream : str, int or None
        The stream of the message, if it could be decoded.
    seq : int or None
        The sequence number, if it could be decoded.
    """

    def __init__(
        self,
        message: str,
        code: str = "bad-frame",
        stream: str | int | None = None,
        seq: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.stream = stream
        self.seq = seq


class RemoteError(ProtocolError):
    """An ERROR reply of a worker, raised in the client.

    Attributes
    ----------
    retry_after : float or None
        With the code ``busy``: seconds to wait before repeating the request.
    last_seq : int or None
        With ``gap``, ``duplicate`` and ``fenced``: the last sequence number that the worker
        applied.
    values : float32[O] or None
        With ``duplicate``: the original prediction for the observation, bit for bit; None if it was
        not the last one of its stream.
    observed : Prediction or None
        The same with what the model's online stage said, as :meth:`.Client.observe` returned it.
    """

    def __init__(
        self,
        message: str,
        code: str = "bad-frame",
        stream: str | int | None = None,
        seq: int | None = None,
        retry_after: float | None = None,
        last_seq: int | None = None,
        values: "NDArray[Any] | None" = None,
        observed: "Any | None" = None,
    ) -> None:
        super().__init__(message, code, stream, seq)
        self.retry_after = retry_after
        self.last_seq = last_seq
        self.values = values
        self.observed = observed


class WorkerTimeoutError(StreamLSTMError, TimeoutError):
    """A worker that did not reply in time.

    Attributes
    ----------
    in_doubt : bool
        Whether the request may have been applied nevertheless.
    """

    in_doubt: bool = False


class HandshakeError(WorkerTimeoutError):
    """A worker that refused the CURVE handshake: it rejects the client's key, or requires one."""


class ForkError(StreamLSTMError):
    """An object that was made before a fork, and is used in the child."""


class EndpointError(StreamLSTMError):
    """An endpoint that cannot be bound or reached, or whose use is refused."""


class ConfigurationError(StreamLSTMError):
    """A configuration file, or a variable of the environment, is not as expected."""


class KeyFileError(StreamLSTMError):
    """A key file or a list of keys that cannot be read or written, or is invalid."""
