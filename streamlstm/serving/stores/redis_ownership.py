"""Who owns a store in Redis: one worker, or one fleet, for as long as it renews its lease."""

from __future__ import annotations

import logging
import time

from ...errors import StoreError
from .owner import Owner
from .redis_namespace import Found, RedisNamespace, State

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks at a lease that runs out


def await_owner(space: RedisNamespace, place: str, found: Found) -> Found:
    """Return what is there when the owner's lease has run out, or raise if it goes on.

    Parameters
    ----------
    space : RedisNamespace
    place : str
        For messages.
    found : Found
        What was there last.

    Raises
    ------
    StoreError
        If the owner lives.
    """
    expected = None
    while found.owner:
        owner = Owner.decode(found.owner, place)
        if owner.has_ended:
            break
        goes_on = found.lease < 0 or (expected is not None and found.lease > expected)
        if owner.is_visible or goes_on:
            raise StoreError(in_use(place, owner))
        if expected is None:
            _LOG.warning(
                "%s: belongs to %s; waiting up to %.1f s until its lease runs out, unless it "
                "is renewed",
                place,
                owner,
                found.lease / 1000,
            )
        expected = found.lease - 500 * LOOK_SECONDS  # or less, unless it was renewed
        time.sleep(LOOK_SECONDS)
        found = space.look()
    return found


def in_use(place: str, owner: Owner) -> str:
    """Return that a store is in use, and what may be done."""
    if owner.fleet:
        return (
            f"{place}: is in use by a fleet, {owner}. Give each fleet a store of its own "
            "(another database, or ?prefix=NAME), or stop that one first, or take its streams over "
            "with --take-over: it ends then."
        )
    return (
        f"{place}: is in use by another worker, {owner}. Give each worker a store of its "
        "own (another database, or ?prefix=NAME), or stop that one first, or take its streams "
        "over with --take-over: it ends then."
    )


def next_epoch(found: Found, state: State, place: str) -> int:
    """Return the epoch of the next owner: above that of every one before.

    It is the time at least, so that it grows past a Redis that has lost the last one, too.
    """
    epoch = max(found.now, state.epoch + 1)
    return max(epoch, Owner.decode(found.owner, place).epoch + 1) if found.owner else epoch
