"""The stable hash: 64 bits, the same in every process and on every machine, for what is stored.

Anyone can write down inputs that have one hash, so no table in memory may rely on it: the index of
stream ids has a hash with secret keys (keyed_hash.py).

Text is hashed as wyhash does (Wang Yi, public domain): 16 bytes at a time into one folded 128-bit
product. Integers go through the finaliser of splitmix64 (Steele, Lea and Flood 2014), which gives
every integer a hash of its own.
"""

import numpy as np

from .cache import inlined, internal
from .pointers import byte_at, folded_product, half_at, word_at

S0 = np.uint64(0x2D358DCCAA6C78A5)
S1 = np.uint64(0x8BB84B93962EACC9)
_SEED = np.uint64(0x1FF5C2923A788D2C)
_M0, _M1 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U8, _U16, _U27, _U30, _U31, _U32 = (np.uint64(n) for n in (8, 16, 27, 30, 31, 32))


@internal
def hash_integer(value):
    """Hash a uint64."""
    value = (value ^ (value >> _U30)) * _M0
    value = (value ^ (value >> _U27)) * _M1
    return value ^ (value >> _U31)


@inlined
def last_words(end, length):
    """Return the last 16 bytes of a text that ends before ``end``, or all of a shorter one.

    Texts of one length that differ in these bytes give different pairs of uint64.
    """
    if length >= 16:
        return word_at(end - 16), word_at(end - 8)
    address = end - length
    if length >= 4:
        # Four reads of four bytes that overlap so that they cover 4 to 15 bytes.
        shift = (length >> 3) << 2
        a = (half_at(address) << _U32) | half_at(address + shift)
        return a, (half_at(end - 4) << _U32) | half_at(end - 4 - shift)
    middle = byte_at(address + (length >> 1))
    a = (byte_at(address) << _U16) | (middle << _U8) | byte_at(end - 1)
    return a, np.uint64(0)


@internal
def hash_text(address, length):
    """Hash ``length`` bytes, 1 or more, at the int64 ``address``; no other byte is read."""
    seed = _SEED
    end = address + length
    while end - address > 16:
        seed = folded_product(word_at(address) ^ S1, word_at(address + 8) ^ seed)
        address += 16
    a, b = last_words(end, length)
    mixed = folded_product(a ^ S1, b ^ seed)
    return folded_product(mixed ^ S0 ^ np.uint64(length), S1 ^ seed)


@internal
def short_text(address, length):
    """Return the 1 to 8 bytes of a short text in one uint64, the first one lowest."""
    if length >= 4:
        high = half_at(address + length - 4) << np.uint64(8 * (length - 4))
        return half_at(address) | high
    key = byte_at(address)
    for n in range(1, length):
        key |= byte_at(address + n) << np.uint64(8 * n)
    return key


@internal
def same_bytes(a, b, length):
    """Tell whether 9 bytes or more at two int64 addresses are equal."""
    for n in range(0, length - 8, 8):
        if word_at(a + n) != word_at(b + n):
            return False
    return word_at(a + length - 8) == word_at(b + length - 8)
