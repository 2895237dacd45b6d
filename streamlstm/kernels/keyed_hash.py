"""The hash of the index of stream ids: 64 bits, with secret keys that lie in the head of the table.

Who does not know the keys cannot choose ids that collide (docs/decisions/seeded-index.md). A hash
depends on its table and never leaves it: what is stored has the stable hash (hashing.py).

An integer ``v`` has the upper half of ``TIMES v + ADD`` modulo 2**128: the hashes of any two
integers are independent of each other (Dietzfelbinger 1996). Of a text, each 16 bytes ``(a, b)``
add ``(a + key)(b + key')`` to a sum of 128 bits, which begins as its length in the upper half: NH
of UMAC (Black, Halevi, Krawczyk, Krovetz and Rogaway 1999), by which two texts have one sum with a
probability of 2**-63. A folded product with two further keys ends both.
"""

import numpy as np

from .cache import internal
from .hashing import last_words
from .pointers import add_product, folded_product, word_at

# Which key is which: words of 64 bits.
(
    ADD_LOW,
    ADD_HIGH,
    TIMES_LOW,
    TIMES_HIGH,
    MIX_LOW,
    MIX_HIGH,
    LAST_A,  # of the last 16 bytes of a text
    LAST_B,
    BLOCKS,  # from here on, two for each 16 bytes before: 15 times in 255 bytes
) = range(9)
KEYS = BLOCKS + 30


@internal
def keyed_integer(keys, value):
    """Hash the uint64 id ``value`` with KEYS words at the int64 address ``keys``."""
    low, high = word_at(keys + 8 * ADD_LOW), word_at(keys + 8 * ADD_HIGH)
    low, high = add_product(low, high, word_at(keys + 8 * TIMES_LOW), value)
    high += word_at(keys + 8 * TIMES_HIGH) * value
    return folded_product(high ^ word_at(keys + 8 * MIX_LOW), word_at(keys + 8 * MIX_HIGH))


@internal
def keyed_text(keys, address, length):
    """Hash 1 to 255 bytes at the int64 ``address``, as :func:`keyed_integer`; reads no others."""
    end, key = address + length, keys + 8 * BLOCKS
    a, b = last_words(end, length)
    a, b = a + word_at(keys + 8 * LAST_A), b + word_at(keys + 8 * LAST_B)
    low, high = add_product(np.uint64(0), np.uint64(length), a, b)
    while end - address > 16:
        a, b = word_at(address) + word_at(key), word_at(address + 8) + word_at(key + 8)
        low, high = add_product(low, high, a, b)
        address += 16
        key += 16
    return folded_product(low ^ word_at(keys + 8 * MIX_LOW), high ^ word_at(keys + 8 * MIX_HIGH))
