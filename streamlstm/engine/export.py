"""Packs the state of one stream into bytes and back.

Little-endian: the magic ``SLST``, format version, fingerprint of the model, sequence number, event
time, number of floats, the state row, and a CRC-32 of all before it. The row ends with the
prediction of the last numbered observation, which format version 1 did not have.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from ..errors import BadValueError, ModelMismatchError

_MAGIC = b"SLST"
_VERSION = 2
_HEAD = struct.Struct("<4sI16sQdQ")
_CRC = struct.Struct("<I")


def pack_state(fingerprint: str, row: NDArray[np.float32], seq: int, time: float) -> bytes:
    """Return a state row, its sequence number and event time as bytes.

    Parameters
    ----------
    fingerprint : str
        The model's.
    row : float32[R]
    seq : int
        Sequence number of the last observation.
    time : float
        Its event time in seconds, NaN if it had none.
    """
    head = _HEAD.pack(_MAGIC, _VERSION, bytes.fromhex(fingerprint), seq, time, len(row))
    body = head + row.astype("<f4").tobytes()
    return body + _CRC.pack(zlib.crc32(body))


def unpack_state(
    blob: bytes, fingerprint: str, row_size: int, state_size: int
) -> tuple[NDArray[np.float32], int, float]:
    """Return row, sequence number and event time of what :func:`pack_state` wrote.

    Parameters
    ----------
    blob : bytes
    fingerprint : str
        The model's.
    row_size : int
        R, floats in a row.
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
    if len(blob) < _HEAD.size + _CRC.size or not blob.startswith(_MAGIC):
        raise BadValueError("state: expected what export_stream returned, got other bytes.")
    _, version, owner, seq, time, size = _HEAD.unpack_from(blob)
    if version != _VERSION:
        raise BadValueError(f"state: expected format version {_VERSION}, got {version}.")
    body, crc = blob[: -_CRC.size], _CRC.unpack(blob[-_CRC.size :])[0]
    if zlib.crc32(body) != crc:
        raise BadValueError("state: damaged (checksum mismatch); export it again.")
    if owner.hex() != fingerprint or size != row_size:
        raise ModelMismatchError(
            f"state: belongs to the model {owner.hex()[:8]}, this engine runs {fingerprint[:8]}."
        )
    if len(body) != _HEAD.size + 4 * row_size:
        expected = _HEAD.size + 4 * row_size + _CRC.size
        raise BadValueError(f"state: expected {expected} bytes, got {len(blob)}.")
    row = np.frombuffer(body, "<f4", offset=_HEAD.size)
    if not np.isfinite(row[:state_size]).all():
        raise BadValueError(f"state: expected {state_size} finite floats, got others.")
    return row.astype(np.float32), seq, time
