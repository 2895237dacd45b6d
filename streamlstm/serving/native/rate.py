"""Limit the rate of observations of each client: the generic cell rate algorithm of ITU-T I.371.

An account is a key where the sockets use CURVE, so that a client with ten connections has one;
without CURVE it is a connection. A new connection begins with as much time used as the one of its
address that has used most, so that who connects again gains nothing by it; to remember that, each
address has an account too, to which nothing is charged. All publishers at the PULL socket, which
cannot answer, share one account.

Each observation takes an INTERVAL of its account's time. PAID is the time up to which an account
has used it: one number an account, and no timer. An account may be a BURST ahead of the clock, and
waits when it is further. A message is accepted as a whole, however many observations it has, and
charged afterwards.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels.cache import internal
from ...kernels.id_index import SEQ, column_of, set_column
from ...kernels.pointers import byte_at, copy_bytes, int64s_at, put_byte
from . import layout, reader
from .layout import DATA
from .tables import make_room
from .views import counts_of

_PAID = SEQ  # column of the table of accounts, which is one of streams
_ZERO = np.uint64(0)
_COLON, _L = np.uint64(ord(":")), np.uint64(ord("l"))


@internal
def _accounts(loop):
    return int64s_at(loop[layout.ACCOUNTS], id_index.HEAD)


@internal
def account_of(loop, head):
    """Return the account of a message in the scratch that came through the ROUTER socket.

    Negative if there is no room for one more.
    """
    if loop[layout.BY_ADDRESS] != 0:
        account = _claim(loop, loop[layout.ACCOUNT_NAME], _write_name(loop, head))
        if account >= 0:
            _inherit(loop, account)
        return account
    at, size = head[DATA], head[layout.IDENTITY_SIZE]
    if loop[layout.USER] != 0:
        at, size = loop[layout.USER], int64(0)
        while size < id_index.MAX_TEXT and byte_at(at + size) != _ZERO:
            size += 1
    return _claim(loop, at, size)


@internal
def _claim(loop, at, size):
    """Return the account of a name, a new one if there is none; negative if there is no room."""
    accounts = _accounts(loop)
    account = id_index.claim_text_at(accounts, at, size)
    if account == id_index.FULL:
        _evict_one(loop, accounts)
        account = id_index.claim_text_at(accounts, at, size)
    while account == id_index.NEEDS_ROOM:
        make_room(loop, accounts, int64(layout.SPARE_NAMES))
        account = id_index.claim_text_at(accounts, at, size)
    return account


@internal
def _write_name(loop, head):
    """Write address, a NUL and identity of the sender of the message; return the bytes of them."""
    at, size = loop[layout.USER], int64(0)
    if at != 0:
        while size < layout.MAX_ADDRESS and byte_at(at + size) != _ZERO:
            size += 1
        if byte_at(at) == _L:  # localhost:UID:GID:PID of a local socket; a PID is changed at will
            while size > 1 and byte_at(at + size - 1) != _COLON:
                size -= 1
            size -= 1
        copy_bytes(loop[layout.ACCOUNT_NAME], at, size)
    loop[layout.ADDRESS_SIZE] = size
    name = loop[layout.ACCOUNT_NAME] + size
    put_byte(name, _ZERO)
    identity = min(head[layout.IDENTITY_SIZE], layout.MAX_IDENTITY - size - 1)
    copy_bytes(name + 1, head[DATA], identity)
    return size + 1 + identity


@internal
def _inherit(loop, account):
    """Let a new account have used as much time as any of its address."""
    accounts = _accounts(loop)
    if loop[layout.ADDRESS_SIZE] == 0 or column_of(accounts, account, _PAID) != _ZERO:
        return
    most = id_index.find_text_at(accounts, loop[layout.ACCOUNT_NAME], loop[layout.ADDRESS_SIZE])
    if most >= 0:
        set_column(accounts, account, _PAID, column_of(accounts, most, _PAID))


@internal
def _bequeath(loop, paid):
    """Remember the most time that an account of an address has used."""
    address = _claim(loop, loop[layout.ACCOUNT_NAME], loop[layout.ADDRESS_SIZE])
    if address >= 0:  # else as many accounts as there may be have to wait
        accounts = _accounts(loop)
        most = max(int64(column_of(accounts, address, _PAID)), paid)
        set_column(accounts, address, _PAID, uint64(most))


@internal
def _evict_one(loop, accounts):
    """Evict an account that is not ahead of the clock; the search goes on from the last one."""
    for _ in range(layout.MAX_ACCOUNTS):
        account = loop[layout.ACCOUNT_HAND]
        loop[layout.ACCOUNT_HAND] = (account + 1) % layout.MAX_ACCOUNTS
        if (
            account != layout.PULL_ACCOUNT
            and int64(column_of(accounts, account, _PAID)) <= (loop[layout.NOW])
        ):
            id_index.free_slot(accounts, account)
            return


@internal
def wait_time(loop, account):
    """Return for how many ns an account has to wait; 0 or less if it may send now."""
    if loop[layout.INTERVAL] == 0:
        return int64(0)
    return int64(column_of(_accounts(loop), account, _PAID)) - loop[layout.NOW] - layout.BURST


@internal
def charge(loop, account, head):
    """Charge the message in the scratch to an account."""
    if loop[layout.INTERVAL] != 0:
        accounts = _accounts(loop)
        paid = max(int64(column_of(accounts, account, _PAID)), loop[layout.NOW])
        paid += _observations(loop, head) * loop[layout.INTERVAL]
        set_column(accounts, account, _PAID, uint64(paid))
        if (
            loop[layout.BY_ADDRESS] != 0
            and account != layout.PULL_ACCOUNT
            and loop[layout.ADDRESS_SIZE] != 0
        ):
            _bequeath(loop, paid)


@internal
def _observations(loop, head):
    """Return for how many observations a message is charged: at least one."""
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


@internal
def note_throttled(loop, account):
    """Count a message that is refused or delayed, and set whose account it was."""
    counts_of(loop)[layout.THROTTLED] += 1
    loop[layout.LAST_THROTTLED] = account
