"""Packs the state of one stream into bytes and back.

Little-endian: the magic ``SLST``, format version, fingerprint of the model, sequence number, event
time, producer, number of floats, the state row, and a CRC-32 of all before it. The row ends with
the prediction of the last numbered observation. Format version 2, which is still read, had no
producer.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ..errors import BadValueError, ModelMismatchError

_MAGIC = b"SLST"
_VERSION = 3
_START = struct.Struct("<4sI")
_HEAD = struct.Struct("<4sI16sQdQQ")
_HEAD_2 = struct.Struct("<4sI16sQdQ")
_CRC = struct.Struct("<I")


def pack_state(
    fingerprint: str, row: NDArray[np.float32], seq: int, time: float, producer: int
) -> bytes:
    """Return a state row and what stands beside it as bytes.

    Parameters
    ----------
    fingerprint : str
        The model's.
    row : float32[R]
    seq : int
        Sequence number of the last observation.
    time : float
        Its event time in seconds, NaN if it had none.
    producer : int
        Identity of its publisher, 0 if it had none.
    """
    owner = bytes.fromhex(fingerprint)
    head = _HEAD.pack(_MAGIC, _VERSION, owner, seq, time, producer, len(row))
    body = head + row.astype("<f4").tobytes()
    return body + _CRC.pack(zlib.crc32(body))


def unpack_state(
    blob: bytes, fingerprint: str, row_size: int, state_size: int
) -> tuple[NDArray[np.float32], int, float, int]:
    """Return row, sequence number, event time and producer of what :func:`pack_state` wrote.

    Parameters
    ----------
    blob : bytes
    fingerprint : str
        The model's.
    row_size : int
        R, floats in a row; or in one of a former version, which is returned as it is.
    state_size : int
        So many of them, from the first, are the state of layers and must be finite. A prediction
        need not be.

    Raises
    ------
    BadValueError
        If the bytes are damaged, no exported state, or of another format version.
    ModelMismatchError
        If the state belongs to another model.
    """
    if not isinstance(blob, bytes | bytearray | memoryview):
        raise BadValueError(f"state: expected bytes, got {type(blob).__name__}.")
    blob = bytes(blob)
    if len(blob) < _HEAD_2.size + _CRC.size or not blob.startswith(_MAGIC):
        raise BadValueError("state: expected what export_stream returned, got other bytes.")
    body, crc = blob[: -_CRC.size], _CRC.unpack(blob[-_CRC.size :])[0]
    head = _head_of(body)
    if zlib.crc32(body) != crc:
        raise BadValueError("state: damaged (checksum mismatch); export it again.")
    owner, seq, time, *producer, size = head.unpack_from(body)[2:]
    if owner.hex() != fingerprint or size != row_size:
        raise ModelMismatchError(
            f"state: belongs to the model {owner.hex()[:8]}, this engine runs {fingerprint[:8]}."
        )
    if len(body) != head.size + 4 * row_size:
        raise BadValueError(
            f"state: expected {head.size + 4 * row_size + _CRC.size} bytes, got {len(blob)}."
        )
    row = np.frombuffer(body, "<f4", offset=head.size)
    if not np.isfinite(row[:state_size]).all():
        raise BadValueError(f"state: expected {state_size} finite floats, got others.")
    return row.astype(np.float32), seq, time, producer[0] if producer else 0


def _head_of(body: bytes) -> struct.Struct:
    """Return the layout of the head of an exported state."""
    version = _START.unpack_from(body)[1]
    if version not in (2, _VERSION):
        raise BadValueError(f"state: expected format version 2 or {_VERSION}, got {version}.")
    head = _HEAD if version == _VERSION else _HEAD_2
    if len(body) < head.size:
        raise BadValueError(f"state: expected {head.size} bytes or more, got {len(body)}.")
    return head
