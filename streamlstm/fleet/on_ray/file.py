"""The endpoints file that the command wrote which started a fleet on Ray, kept fresh by agents."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ...errors import EndpointError
from ..endpoints import read_fleet, write_fleet

SCHEME = "ray:"
_OF_THE_WRITER = ("fleet", "pid")


def control_of(address: str, place: str) -> str:
    """Return what the file says of how the fleet is reached: through which cluster, and its name.

    >>> control_of("auto", "streamlstm:10.0.0.5:6379")
    'ray:auto/streamlstm:10.0.0.5:6379'
    """
    return f"{SCHEME}{address}/{place}"


def refresh(path: Path, control: str, own: Path) -> bool:
    """Write where workers are now, so that clients which read the file again find one that lives.

    Nothing is written where this machine does not see the file, it is another fleet's, or it is as
    new as what is known here.

    Parameters
    ----------
    path : Path
        That of the command.
    control : str
        As of :func:`control_of`.
    own : Path
        The file of this machine's agent.

    Returns
    -------
    bool
        Whether it was written.
    """
    with suppress(EndpointError, OSError):
        theirs, mine = read_fleet(path), read_fleet(own)
        if theirs["fleet"] == control and mine["version"] > theirs["version"]:
            news = {k: v for k, v in mine.items() if k in theirs and k not in _OF_THE_WRITER}
            write_fleet(path, control, {**theirs, **news})
            return True
    return False
