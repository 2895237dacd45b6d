"""The stable hash: fixed for ever, every byte counts, and nothing beyond a text is read."""

import subprocess
import sys

import numpy as np
from numba import njit

from benchmarks.colliding import integer_with_hash
from streamlstm.kernels import hashing

from .id_tables import MAX_HASH, text_hash


@njit
def _hash_integer(value):
    return hashing.hash_integer(value)


@njit
def _hash_text(buffer, start, length):
    return hashing.hash_text(buffer.ctypes.data + start, length)


def test_hashes_never_change() -> None:
    for value in (0, 1, 2, 12345, 2**63, MAX_HASH):
        assert integer_with_hash(int(_hash_integer(np.uint64(value)))) == value
    assert int(_hash_integer(np.uint64(1))) == 0x5692161D100B05E5
    assert text_hash(b"pump-7") == 0x043893C7851CD131
    assert text_hash(b"a-longer-name-of-a-stream-0001") == 0xADC8474431FB8105


def test_text_is_hashed_as_hashing_says() -> None:
    rng = np.random.default_rng(0)
    for length in range(1, 256):
        buffer = rng.integers(0, 256, length + 10).astype(np.uint8)
        expected = text_hash(buffer[5 : 5 + length].tobytes())
        assert int(_hash_text(buffer, 5, length)) == expected


def test_every_byte_counts() -> None:
    for length in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255):
        buffer = np.zeros(length, np.uint8)
        seen = {int(_hash_text(buffer, 0, length))}
        for n in range(length):
            buffer[:] = 0
            buffer[n] = 1
            seen.add(int(_hash_text(buffer, 0, length)))
        assert len(seen) == length + 1


def test_nothing_beyond_a_text_is_read() -> None:
    """Texts at both ends of readable memory, with pages that may not be read around them."""
    program = """
import ctypes, mmap
import numpy as np
from numba import njit
from streamlstm.kernels import hashing, id_index, id_lookup
from streamlstm.engine.state_table import StateTable

PAGE = mmap.PAGESIZE
memory = mmap.mmap(-1, 3 * PAGE)
whole = np.frombuffer(memory, np.uint8)
whole[:] = ord("x")
libc = ctypes.CDLL(None, use_errno=True)
for page in (0, 2):
    address = ctypes.c_void_p(whole.ctypes.data + page * PAGE)
    assert libc.mprotect(address, PAGE, mmap.PROT_READ & 0) == 0
readable = whole[PAGE : 2 * PAGE]
table = StateTable(600, np.zeros(16, np.float32))
for length in range(1, 256):
    assert table.claim("x" * length) == length - 1

@njit
def find(head, buffer, start, length):
    return id_index.find_text(head, buffer, start, length)

@njit
def claim(head, buffer, start, length):
    return id_index.claim_text_at(head, buffer.ctypes.data + start, length)

@njit
def split(buffer, start, length, starts):
    return id_lookup._split(buffer.ctypes.data + start, length, starts)

for length in range(1, 256):
    for start in (0, PAGE - length):
        assert find(table.head, readable, start, length) == length - 1
        assert split(readable, start, length, np.empty(2, np.int64))
for length in range(1, 256):
    for start in (0, PAGE - length):
        readable[:] = ord("y")
        if start == 0:
            assert claim(table.head, readable, start, length) in (254 + length, id_index.NEEDS_ROOM)
            table.claim("y" * length)
        assert claim(table.head, readable, start, length) == 254 + length
print("good")
"""
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (shown.stdout, shown.returncode) == ("good\n", 0), shown.stderr
