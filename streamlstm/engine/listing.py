"""Lists streams a page at a time, in an order that other streams do not change.

Integers come first, by value, then texts, by the bytes of their UTF-8. A page begins after an id,
which need not exist any more, so a stream that lives all the while is listed exactly once.
"""

from __future__ import annotations

import numpy as np

from ..errors import BadValueError, shown
from .ids import StreamId, check_prefix
from .state_table import StateTable


def list_page(
    table: StateTable, prefix: str | None, after: StreamId | None, count: int
) -> list[tuple[StreamId, int]]:
    """Return the ids and last numbers of the next streams.

    Parameters
    ----------
    table : StateTable
    prefix : str or None
        Only texts that begin so; None for all streams.
    after : str, int or None
        The last id of the page before; None for the first page.
    count : int
        How many to return at most.

    Returns
    -------
    list of (str or int, int)
    """
    prefix = None if prefix is None else check_prefix(prefix)
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise BadValueError(f"count: expected an integer of 1 or more, got {shown(count)}.")
    slots = table.first_slots(prefix, after, count)
    return list(zip(table.ids_of(slots), table.seq[slots].tolist(), strict=True))
