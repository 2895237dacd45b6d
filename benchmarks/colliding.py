"""Stream ids that someone chose so that they collide: in the stable hash, and in a dict of Python.

None of this needs a secret, or more than a second of search: the constants of
streamlstm/kernels/hashing.py are public, and Python hashes an integer by its value.
"""

import numpy as np

_WORD = 2**64 - 1
_S1, _SEED = 0x8BB84B93962EACC9, 0x1FF5C2923A788D2C
_SEARCHED = 2**22  # integers at a time


def integer_with_hash(hashed: int) -> int:
    """Return the one integer that has this stable hash: the finaliser of splitmix64 backwards."""
    hashed ^= hashed >> 31 ^ hashed >> 62
    hashed = hashed * pow(0x94D049BB133111EB, -1, 2**64) & _WORD
    hashed ^= hashed >> 27 ^ hashed >> 54
    hashed = hashed * pow(0xBF58476D1CE4E5B9, -1, 2**64) & _WORD
    return hashed ^ hashed >> 30 ^ hashed >> 60


def integers(count: int) -> list[int]:
    """Return integers whose stable hashes end in 24 zero bits: they want one place in an index."""
    return [integer_with_hash(n << 24) for n in range(count)]


def texts(count: int) -> list[str]:
    """Return texts of 32 bytes that have one stable hash: a factor of a product is always 0."""
    n = 0
    while True:
        begin = f"a stream {n:07}".encode()
        first, second = (int.from_bytes(begin[k : k + 8], "little") for k in (0, 8))
        product = (first ^ _S1) * (second ^ _SEED)
        end = (product >> 64 ^ product & _WORD).to_bytes(8, "little")
        if all(32 < byte < 127 for byte in end):
            return [f"{begin.decode()}{n:08x}{end.decode()}" for n in range(count)]
        n += 1


def integers_in_a_dict(count: int) -> list[int]:
    """Return integers of which the second half probes some ``count`` places each in a dict.

    A probe goes from place i to 5i + 1, plus bits of the hash as long as there are any. The first
    half fills a run of this sequence; each of the second half meets occupied places only, until its
    bits are used up, and then follows the run to its end.
    """
    places = 1 << (3 * count // 2 - 1).bit_length()
    run = np.zeros(count // 2, np.int64)
    for n in range(1, len(run)):
        run[n] = (5 * run[n - 1] + 1) % places
    turn = np.full(places, places)
    turn[run] = np.arange(len(run))
    chosen, first = run.tolist(), places
    while len(chosen) < count:
        ids = np.arange(first, first + _SEARCHED)
        place, rest, first = ids % places, ids, first + _SEARCHED
        while len(rest) and rest.max() > 0:
            good = turn[place] < places
            ids, place, rest = ids[good], place[good], rest[good] >> 5
            place = (5 * place + rest + 1) % places
        chosen += ids[turn[place] < len(run) // 2].tolist()
    return chosen[:count]
