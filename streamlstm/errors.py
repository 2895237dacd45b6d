"""One tree of exceptions. Every message says what was expected, what came, where, and what to do.

Each class carries ``code``, the stable word that stands for it on the wire (docs/protocol.md).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StreamLSTMError(Exception):
    """Base of everything that streamlstm raises on purpose.

    Attributes
    ----------
    code : str
        The word that an ERROR reply carries for this kind of mistake.
    position : int or None
        Which observation of a block is at fault, where a block was given.
    """

    code: str = "error"
    position: int | None = None

    def __str__(self) -> str:
        # KeyError would show the repr of its argument; people get the sentence.
        return str(self.args[0]) if self.args else ""


class ModelError(StreamLSTMError, ValueError):
    """Layers, weights, names or scaling that do not fit together."""

    code = "bad-model"


class ConvertError(StreamLSTMError, ValueError):
    """A network of another framework that cannot be taken over."""


class ModelFileError(StreamLSTMError):
    """A model file that is damaged, foreign, or written by a newer version."""

    code = "bad-model"


class DataError(StreamLSTMError, ValueError):
    """A table or series that cannot be used; the message names file, line and column."""


class ShapeError(StreamLSTMError, ValueError):
    """An array of another shape than the model takes."""

    code = "bad-shape"


class BadValueError(StreamLSTMError, ValueError):
    """A value that is not a finite number."""

    code = "bad-value"


class StreamIdError(StreamLSTMError, ValueError):
    """A stream id that is neither text of 1 to 255 bytes nor an unsigned 64-bit integer."""

    code = "bad-frame"


class CapacityError(StreamLSTMError):
    """A new stream where all slots are taken."""

    code = "capacity"


class UnknownStreamError(StreamLSTMError, KeyError):
    """A stream that has no state here."""

    code = "unknown-stream"


class SequenceError(StreamLSTMError):
    """An observation that is not the next one of its stream."""


class GapError(SequenceError):
    """An observation that came too early: earlier ones are missing.

    Attributes
    ----------
    expected : int
        The sequence number that the stream waits for.
    """

    code = "gap"

    def __init__(self, message: str, expected: int) -> None:
        super().__init__(message)
        self.expected = expected


class DuplicateError(SequenceError):
    """An observation that was applied before.

    Attributes
    ----------
    last : int
        The sequence number of the last observation that was applied.
    """

    code = "duplicate"

    def __init__(self, message: str, last: int) -> None:
        super().__init__(message)
        self.last = last


class ModelMismatchError(StreamLSTMError):
    """State that belongs to another model, or a model with which streams cannot go on."""

    code = "model-mismatch"


class StoreError(StreamLSTMError):
    """A store that cannot be opened, read or written, or belongs to something else.

    On the wire it is ``busy``: nothing was done, and the same may be sent again later.
    """

    code = "busy"


class ProtocolError(StreamLSTMError):
    """A message that cannot be read.

    Attributes
    ----------
    code : str
        One of the words of docs/protocol.md.
    stream : str, int or None
        The stream the message spoke of, where that much could be read.
    seq : int or None
        The sequence number, likewise.
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
        With the code ``busy``: seconds to wait before the same is sent again.
    last_seq : int or None
        With ``gap`` and ``duplicate``: the number after which the stream goes on at the worker.
    values : float32[O] or None
        With ``duplicate``: the prediction that the observation was answered when it was applied,
        bit for bit; None if that was not the last one of its stream.
    """

    def __init__(
        self,
        message: str,
        code: str = "bad-frame",
        stream: str | int | None = None,
        seq: int | None = None,
        retry_after: float | None = None,
        last_seq: int | None = None,
        values: "NDArray[np.float32] | None" = None,
    ) -> None:
        super().__init__(message, code, stream, seq)
        self.retry_after = retry_after
        self.last_seq = last_seq
        self.values = values


class WorkerTimeoutError(StreamLSTMError, TimeoutError):
    """A worker that did not answer in time."""


class HandshakeError(WorkerTimeoutError):
    """A worker that is there and takes no message: it refused the key, or wants one."""


class EndpointError(StreamLSTMError):
    """An endpoint that cannot be bound or reached, or may not be used as asked."""


class KeyFileError(StreamLSTMError):
    """A key, or a list of keys, that cannot be read or written, or is none."""
