"""Select a page of the streams of a table, in order: integers by value, then texts by their bytes.

One pass over all slots keeps the first streams that qualify in a heap, whose last one is at its
root: nearly every slot costs one comparison, some 5 ns, and nothing is sorted but the page.
"""

import numpy as np
from numba import int64, types, uint8, uint64

from . import id_index
from .cache import internal, kernel
from .id_index import KEY, column_of, generation_of, length_of
from .pointers import byte_at, int64s_at, word_at

# Where a page begins.
AT_START, AFTER_INTEGER, AFTER_TEXT = range(3)

_ZERO = np.uint64(0)
_BYTES, _PAIRS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_8, _16, _32 = np.uint64(8), np.uint64(16), np.uint64(32)


@internal
def _swapped(word):
    """Reverse the bytes of a word, so that it compares as its bytes in memory do."""
    word = (word & _BYTES) << _8 | word >> _8 & _BYTES
    word = (word & _PAIRS) << _16 | word >> _16 & _PAIRS
    return word << _32 | word >> _32


@internal
def _text_at(head, slot, length):
    """Return the address of the text of a slot; eight bytes can be read there."""
    if length <= id_index.SHORT:
        return head[id_index.RECORDS] + 8 * (id_index.RECORD * slot + KEY)
    return head[id_index.TEXTS] + int64(column_of(head, slot, KEY))


@internal
def _compare_bytes(a, size_a, b, size_b):
    """Return a negative number if text ``a`` comes before ``b``, 0 if they are equal."""
    n = int64(0)
    while n < size_a and n < size_b:
        x, y = byte_at(a + n), byte_at(b + n)
        if x != y:
            return int64(1) if x > y else int64(-1)
        n += 1
    return size_a - size_b


@internal
def _is_before(head, slot, other):
    """Tell whether the stream of a slot comes before that of another one."""
    length, length_of_other = length_of(head, slot), length_of(head, other)
    if length == 0 or length_of_other == 0:
        if length != length_of_other:
            return length == 0
        return column_of(head, slot, KEY) < column_of(head, other, KEY)
    a, b = _text_at(head, slot, length), _text_at(head, other, length_of_other)
    first, second = _swapped(word_at(a)), _swapped(word_at(b))
    if first != second:
        return first < second
    return _compare_bytes(a, length, b, length_of_other) < 0


@internal
def _qualifies(head, slot, start, integer, after, prefix, only_texts):
    """Tell whether the stream of a slot is behind the start of the page, and has the prefix."""
    length = length_of(head, slot)
    if length == 0:
        if only_texts or start == AFTER_TEXT:
            return False
        return start == AT_START or column_of(head, slot, KEY) > integer
    text = _text_at(head, slot, length)
    if start == AFTER_TEXT and _compare_bytes(text, length, after.ctypes.data, after.size) <= 0:
        return False
    size = prefix.size
    return length >= size and _compare_bytes(text, size, prefix.ctypes.data, size) == 0


@internal
def _sift_down(head, page, place, size):
    """Move a slot of the heap down to its place: no slot comes before those below it."""
    slot = page[place]
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and _is_before(head, page[child], page[child + 1]):
            child += 1
        if not _is_before(head, slot, page[child]):
            break
        page[place] = page[child]
        place = child
    page[place] = slot


@kernel(no_cfunc_wrapper=True)
def select_page(address, start, integer, after, prefix, only_texts, page):
    """Find the first streams behind an id.

    Parameters
    ----------
    address : int64
        Of the head of the table.
    start : int64
        AT_START, AFTER_INTEGER or AFTER_TEXT.
    integer : uint64
    after : uint8[...]
        The integer or the text that the page begins behind.
    prefix : uint8[...]
        Only texts that begin so.
    only_texts : bool
        Whether integers are left out.
    page : int64[B]
        Where the slots go, in order; B is at least 1.

    Returns
    -------
    int64
        How many were found.
    """
    head = int64s_at(address, id_index.HEAD)
    found, room = int64(0), page.size
    for slot in range(head[id_index.USED]):
        if generation_of(head, slot, 0) == _ZERO:
            continue
        if found == room and not _is_before(head, slot, page[0]):
            continue
        if not _qualifies(head, slot, start, integer, after, prefix, only_texts):
            continue
        if found < room:
            page[found] = slot
            found += 1
            if found == room:
                for place in range(room // 2 - 1, -1, -1):
                    _sift_down(head, page, place, room)
        else:
            page[0] = slot
            _sift_down(head, page, int64(0), room)
    _sort(head, page, found, room)
    return found


@internal
def _sort(head, page, found, room):
    """Sort the page; it is a heap already if it is full."""
    if found < room:
        for place in range(found // 2 - 1, -1, -1):
            _sift_down(head, page, place, found)
    for last in range(found - 1, 0, -1):
        page[0], page[last] = page[last], page[0]
        _sift_down(head, page, int64(0), last)


_bytes = types.Array(uint8, 1, "C", readonly=True)
SIGNATURES = {
    select_page: (int64, int64, uint64, _bytes, _bytes, types.boolean, types.Array(int64, 1, "C"))
}
