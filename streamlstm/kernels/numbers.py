"""Which sequence number may follow another (docs/protocol.md, Numbers).

A number is dense below ``SPARSE``, and must then be the next one of its stream. From there on it is
sparse, and may be any that is above the stream's last: so all numbers of a stream rise, and the
last alone says what was applied.
"""

import numpy as np

from .cache import internal

SPARSE = np.uint64(2**63)
_ONE = np.uint64(1)


@internal
def may_follow(seq, last):
    """Tell whether the uint64 number ``seq``, which is not 0, may follow ``last``."""
    return seq == last + _ONE or (seq >= SPARSE and seq > last)
