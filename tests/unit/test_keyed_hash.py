"""The keyed hash of the index: as specified, even for ids that someone chose, secret in each table.

Keys are drawn here from a seed, so that every run tests the same ones.
"""

import numpy as np
import pytest
from numba import njit

from benchmarks import colliding
from streamlstm.engine.id_index import IdIndex
from streamlstm.kernels import id_index, keyed_hash

from .id_tables import MAX_HASH, keyed_integer_hash, keyed_text_hash, keys_of

COUNT, PLACES = 5_120, 8_192  # the highest load of an index
KEYS = 40

STEPS = np.arange(COUNT, dtype=np.uint64)
INTEGERS = {
    "counted": STEPS,
    "from the top": np.uint64(MAX_HASH) - STEPS,
    "their low 40 bits alike": STEPS << np.uint64(40),
    "their low 32 bits alike": STEPS << np.uint64(32),
    "of two bytes": STEPS >> np.uint64(8) | STEPS << np.uint64(56),
    "milliseconds": np.uint64(1_700_000_000_000) + STEPS * np.uint64(1_000),
    "multiples of the golden ratio": STEPS * np.uint64(0x9E3779B97F4A7C15),
    "of one stable hash but for its upper bits": np.array(colliding.integers(COUNT), np.uint64),
}
TEXTS = {
    "short": [f"{n}" for n in range(COUNT)],
    "of 10 bytes": [f"pump-{n:05}" for n in range(COUNT)],
    "that differ at the begin": [f"{n:04x}" + "x" * 100 for n in range(COUNT)],
    "that differ in the middle": ["x" * 50 + f"{n:04x}" + "x" * 50 for n in range(COUNT)],
    "that differ at the end": [
        "plant-a/line-3/station-9/sensor-" + f"{n:04x}" for n in range(COUNT)
    ],
    "of zero bytes and one more": [
        "\0" * (n // 127 % 41) + chr(n % 127 + 1) + "\0" * (40 - n // 127) for n in range(COUNT)
    ],
    "of one stable hash": colliding.texts(COUNT),
}


@njit
def _hash_integers(keys, values, hashes):
    for n in range(values.shape[0]):
        hashes[n] = keyed_hash.keyed_integer(keys.ctypes.data, values[n])


@njit
def _hash_texts(keys, data, ends, hashes):
    start = 0
    for n in range(ends.shape[0]):
        at = data.ctypes.data + start
        hashes[n] = keyed_hash.keyed_text(keys.ctypes.data, at, ends[n] - start)
        start = ends[n]


def hash_integers(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    hashes = np.empty(len(values), np.uint64)
    _hash_integers(keys, values, hashes)
    return hashes


def hash_texts(keys: np.ndarray, texts: list[bytes]) -> np.ndarray:
    hashes = np.empty(len(texts), np.uint64)
    data = np.frombuffer(b"".join(texts), np.uint8).copy()
    _hash_texts(keys, data, np.cumsum([len(text) for text in texts]), hashes)
    return hashes


def drawn(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 2**64, keyed_hash.KEYS, np.uint64)


def test_ids_are_hashed_as_specified() -> None:
    rng = np.random.default_rng(0)
    texts = [rng.bytes(length) for length in range(1, 256)]
    values = np.concatenate([rng.integers(0, 2**64, 100, np.uint64), STEPS[:3], ~STEPS[:3]])
    extreme = np.full(keyed_hash.KEYS, MAX_HASH, np.uint64)
    for keys in (drawn(rng), drawn(rng), extreme, extreme * np.uint64(0)):
        words = [int(key) for key in keys]
        expected = [keyed_integer_hash(words, int(value)) for value in values]
        assert hash_integers(keys, values).tolist() == expected
        expected = [keyed_text_hash(words, text) for text in texts]
        assert hash_texts(keys, texts).tolist() == expected


def _unevenness(parts: np.ndarray, count: int) -> float:
    """Return chi squared of so many equally likely parts, in standard deviations."""
    seen = np.bincount(parts.astype(np.int64), minlength=count)
    mean = len(parts) / count
    chi = float(((seen - mean) ** 2 / mean).sum())
    return (chi - (count - 1)) / (2 * (count - 1)) ** 0.5


@njit
def _farthest(hashes, places):
    """Return how far from its place the farthest of the hashes is inserted."""
    used, farthest = np.zeros(places, np.bool_), 0
    for hashed in hashes:
        first = np.int64(hashed) & (places - 1)
        n = 0
        while used[(first + n) & (places - 1)]:
            n += 1
        used[(first + n) & (places - 1)] = True
        farthest = max(farthest, n)
    return farthest


@pytest.mark.parametrize("ids", [*INTEGERS, *TEXTS])
def test_hashes_of_any_ids_are_even(ids: str) -> None:
    """Low bits say where an id goes, top bits what its entry looks like; with any keys."""
    rng = np.random.default_rng(1)
    texts = [text.encode() for text in TEXTS.get(ids, [])]
    low, top, far = [], [], []
    for _ in range(KEYS):
        keys = drawn(rng)
        hashes = hash_texts(keys, texts) if texts else hash_integers(keys, INTEGERS[ids])
        assert len(np.unique(hashes)) == COUNT
        low.append(_unevenness(hashes & np.uint64(511), 512))
        top.append(_unevenness(hashes >> np.uint64(55), 512))
        far.append(_farthest(hashes, PLACES))
    for deviations in (low, top):
        assert abs(np.mean(deviations)) < 4 / KEYS**0.5
        assert np.max(np.abs(deviations)) < 6
    assert max(far) < id_index.PROBES / 2


def test_one_bit_of_an_id_changes_half_of_the_hash() -> None:
    rng = np.random.default_rng(2)
    flips = np.uint64(1) << np.arange(64, dtype=np.uint64)
    integers, texts = np.zeros((64, 64)), {n: np.zeros((8 * n, 64)) for n in (1, 3, 8, 16, 40)}
    rounds = 2_000
    for _ in range(rounds):
        keys = drawn(rng)
        value = rng.integers(0, 2**64, 1, np.uint64)
        changed = hash_integers(keys, np.concatenate([value, value ^ flips]))
        integers += _bits(changed[1:] ^ changed[0])
        for length, flipped in texts.items():
            text = int.from_bytes(rng.bytes(length), "little")
            every = [text, *(text ^ 1 << bit for bit in range(8 * length))]
            hashes = hash_texts(keys, [n.to_bytes(length, "little") for n in every])
            flipped += _bits(hashes[1:] ^ hashes[0])
    for flipped in (integers, *texts.values()):
        share = flipped / rounds
        assert np.abs(share - 0.5).max() < 6 * 0.5 / rounds**0.5


def _bits(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little").reshape(-1, 64)


def test_every_table_and_every_larger_index_has_keys_of_its_own() -> None:
    tables = [IdIndex(1000) for _ in range(3)]
    seen = [tuple(keys_of(table)) for table in tables]
    for n in range(41):
        tables[0].claim(n)
    seen.append(tuple(keys_of(tables[0])))
    assert len(set(seen)) == 4
    assert all(len(set(keys)) == keyed_hash.KEYS for keys in seen)
