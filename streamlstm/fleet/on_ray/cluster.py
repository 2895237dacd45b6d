"""Connects a command to a Ray cluster."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from ...errors import BadValueError, EndpointError

if TYPE_CHECKING:
    from .fleet import RayFleet


@cache
def connect(address: str, place: str) -> RayFleet:
    """Connect this process to a Ray cluster, until it ends.

    Parameters
    ----------
    address : str
        ``auto``, or HOST:PORT of the cluster's head. This machine has to be one of the cluster.
    place : str
        Of the fleet, as of :func:`.plan.place_of`.

    Raises
    ------
    BadValueError
        If Ray is not installed.
    EndpointError
        If there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise BadValueError(f"--ray {address}: Ray is not installed; pip install ray") from None
    from .fleet import RayFleet

    try:
        ray.init(address, namespace=place, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many classes, some of them private
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise EndpointError(
            f"--ray {address}: expected a Ray cluster of which this machine is a part, got: {said} "
            "(ray start --address=HOST:PORT joins one, ray status shows it)"
        ) from error
    return RayFleet(place)
