"""When a worker that has ended is started again: at once, but not again and again."""

from __future__ import annotations

STEADY_SECONDS = 10.0  # of service, after which a worker counts as sound
FIRST_SECONDS, MOST_SECONDS = 0.5, 30.0


def wait_before(quick: int) -> float:
    """Return the seconds to wait before a start, after so many ends soon after a start."""
    if quick <= 1:
        return 0.0
    wait: float = FIRST_SECONDS * 2.0 ** min(quick - 2, 10)
    return min(wait, MOST_SECONDS)
