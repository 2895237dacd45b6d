"""How many observations a client may send in a second: one moment an account, no clock that ticks.

An account is a key where doors have locks, so that a client with ten connections has one; without
locks it is a connection. All who feed at the pull door, which cannot answer, share one account.

Each observation takes an INTERVAL of its client's time. PAID is the moment up to which that time is
used; a client may be a BURST ahead of the clock, and waits when it is further (the generic cell
rate algorithm of ITU-T I.371). A message is taken as a whole, however many observations it has, and
paid for afterwards.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels.cache import part
from ...kernels.id_index import SEQ, column_of, set_column
from ...kernels.memory import byte_at, int64s_at
from . import layout, reader
from .layout import DATA

_PAID = SEQ  # the column, under the name that it has for streams
_ZERO = np.uint64(0)


@part
def _accounts(loop):
    return int64s_at(loop[layout.ACCOUNTS], id_index.HEAD)


@part
def account_of(loop, head):
    """Return the account that a message in the scratch, asked at the router, is charged to.

    Negative if there is no room for one more.
    """
    accounts = _accounts(loop)
    at, size = head[DATA], head[layout.IDENTITY_SIZE]
    if loop[layout.USER] != 0:
        at, size = loop[layout.USER], int64(0)
        while size < id_index.MAX_TEXT and byte_at(at + size) != _ZERO:
            size += 1
    account = id_index.claim_text_at(accounts, at, size)
    if account == id_index.FULL:
        _forget_one(loop, accounts)
        account = id_index.claim_text_at(accounts, at, size)
    if account == id_index.NEEDS_ROOM:
        # Names of accounts that were forgotten fill the room for texts: move to the spare.
        names = accounts[id_index.TEXTS]
        id_index.replace_texts(accounts, loop[layout.SPARE_NAMES], accounts[id_index.TEXT_SIZE])
        loop[layout.SPARE_NAMES] = names
        account = id_index.claim_text_at(accounts, at, size)
    return account


@part
def _forget_one(loop, accounts):
    """Free an account whose time is not used beyond now; the next time, one behind it."""
    for _ in range(layout.MAX_ACCOUNTS):
        account = loop[layout.ACCOUNT_HAND]
        loop[layout.ACCOUNT_HAND] = (account + 1) % layout.MAX_ACCOUNTS
        if (
            account != layout.PULL_ACCOUNT
            and int64(column_of(accounts, account, _PAID)) <= (loop[layout.NOW])
        ):
            id_index.free_slot(accounts, account)
            return


@part
def ahead(loop, account):
    """Return for how many ns an account has to wait; 0 or less if it need not."""
    if loop[layout.INTERVAL] == 0:
        return int64(0)
    return int64(column_of(_accounts(loop), account, _PAID)) - loop[layout.NOW] - layout.BURST


@part
def charge(loop, account, head):
    """Charge the message in the scratch to an account."""
    if loop[layout.INTERVAL] != 0:
        accounts = _accounts(loop)
        paid = max(int64(column_of(accounts, account, _PAID)), loop[layout.NOW])
        paid += _observations(loop, head) * loop[layout.INTERVAL]
        set_column(accounts, account, _PAID, uint64(paid))


@part
def _observations(loop, head):
    """Return for how many observations a message counts: every one for at least one."""
    at = head[layout.MESSAGE]
    end = at + min(head[layout.SIZE], loop[layout.MAX_FRAME])
    at, elements = reader.read_array(at, end)
    if at == 0 or elements < 2:
        return int64(1)
    at, kind = reader.read_unsigned(at, end)
    if at == 0 or kind != uint64(layout.STEPS):
        return int64(1)
    at, count = reader.read_array(at, end)
    if at == 0:
        return int64(1)
    return min(max(count, 1), layout.MAX_ROWS)


@part
def note_throttled(loop, account):
    """Count a message that has to wait, and note whose it is."""
    int64s_at(loop[layout.COUNTS], layout.COUNTS_SIZE)[layout.THROTTLED] += 1
    loop[layout.LAST_THROTTLED] = account
