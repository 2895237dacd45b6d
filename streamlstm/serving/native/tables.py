"""The tables of clients and accounts: indexes of ids of a fixed size (kernels/id_index.py)."""

from numba import int64

from ...kernels import id_growth, id_index
from ...kernels.cache import internal
from ...kernels.keyed_hash import KEYS
from ...kernels.pointers import c_word
from . import layout


@internal
def make_room(loop, table, spare):
    """Make room in a table that answered NEEDS_ROOM.

    Parameters
    ----------
    loop : int64[LOOP]
    table : int64[HEAD]
        Half of its texts at most are those of live ids.
    spare : int64
        Place in ``loop`` of the address of room as large as its texts.
    """
    if table[id_index.LONG_RUN] != 0:
        keys = id_index.keys_at(table)
        c_word(loop[layout.RANDOM], keys, int64(8 * KEYS), int64(0), int64(0))
        id_growth.refill_index(table)
        return
    # Long names of evicted ids fill the room for texts: compact into the spare room.
    texts = table[id_index.TEXTS]
    id_growth.replace_texts(table, loop[spare], table[id_index.TEXT_SIZE])
    loop[spare] = texts
