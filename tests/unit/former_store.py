"""Rewrites what a store holds as versions before producers wrote it (formats 1 and 2)."""

import json

import numpy as np

from streamlstm.kernels import compile


def former_header(header: bytes) -> bytes:
    """Return a header in the format before."""
    fields = json.loads(header)
    fields["format"] = 2 if fields["era"] else 1
    fields["record_size"] -= 8
    fields["earlier"] = [[n, size - 8, *rest[:2]] for n, size, *rest in fields["earlier"]]
    return json.dumps(fields).encode()


def former_record(record: bytes) -> bytes:
    """Return a record of any epoch without its producer."""
    mask = _hash(record[:-8]) ^ int.from_bytes(record[-8:], "little")  # of its epoch
    body = record[:16] + record[24:-8]
    return body + (_hash(body) ^ mask).to_bytes(8, "little")


def _hash(body: bytes) -> int:
    data = np.frombuffer(bytearray(body) + bytes(8), np.uint8)
    compile.dirty_entries().add_checksums(data, len(data), 1)
    return int(data[-8:].view("<u8")[0])
