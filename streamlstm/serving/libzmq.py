"""Finds the C functions that the compiled loop calls: those of libzmq and of libc."""

from __future__ import annotations

import ctypes

from .native import layout

# Functions, and the places of their addresses in the table of the loop.
_ZMQ = {
    "zmq_recv": layout.RECEIVE,
    "zmq_send": layout.SEND,
    "zmq_getsockopt": layout.GET_OPTION,
    "zmq_setsockopt": layout.SET_OPTION,
    "zmq_errno": layout.ERROR_NUMBER,
}
_AUTHENTICATED = {  # for sockets with CURVE
    "zmq_msg_recv": layout.RECEIVE_MESSAGE,
    "zmq_msg_data": layout.DATA_OF,
    "zmq_msg_gets": layout.PROPERTY_OF,
}
_C = {
    "poll": layout.POLL,
    "clock_gettime": layout.CLOCK,
    "malloc": layout.ALLOCATE,
    "free": layout.RELEASE,
    "usleep": layout.SLEEP,
    "getrandom": layout.RANDOM,
}


def libzmq() -> ctypes.CDLL:
    """Return the libzmq that pyzmq has loaded; raises OSError if it is not on Cython's backend."""
    from zmq.backend.cython import _zmq

    return ctypes.CDLL(_zmq.__file__)


def find_functions() -> dict[int, int] | None:
    """Return the addresses of functions, by their places in the table of the loop.

    libzmq is the one that pyzmq has loaded. None if it cannot be found: pyzmq may have been built
    in another way than its wheels.
    """
    found = {}
    try:
        for library, names in ((libzmq(), _ZMQ | _AUTHENTICATED), (ctypes.CDLL(None), _C)):
            for name, place in names.items():
                found[place] = ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (ImportError, OSError, AttributeError):
        return None
    return found if all(found.values()) else None
