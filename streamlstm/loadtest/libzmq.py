"""Calls libzmq and the clock from compiled code, so that the interpreter does not limit the load.

pyzmq creates and closes a socket; compiled code uses its pointer, ``socket.underlying``. The
functions are those of the library that pyzmq has loaded. All return -1 and set errno on failure,
and every result is checked.
"""

import ctypes
import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zmq
import zmq.backend.cython._zmq as _extension
from llvmlite import binding
from numba import njit, types

POLLIN = int(zmq.POLLIN)
POLLOUT = int(zmq.POLLOUT)
DONTWAIT = int(zmq.DONTWAIT)
SNDMORE = int(zmq.SNDMORE)
EAGAIN, EINTR = errno.EAGAIN, errno.EINTR
_CLOCK_MONOTONIC = 1

_library = ctypes.CDLL(_extension.__file__)
for _name in ("zmq_send", "zmq_recv", "zmq_poll", "zmq_errno"):
    _address = ctypes.cast(getattr(_library, _name), ctypes.c_void_p).value
    binding.add_symbol(_name, _address)

# Pointers and sizes are uintp; an int32 result of -1 means that errno is set.
_MESSAGE = types.int32(types.uintp, types.uintp, types.uintp, types.int32)
zmq_send = types.ExternalFunction("zmq_send", _MESSAGE)  # socket, data, bytes, flags
zmq_recv = types.ExternalFunction("zmq_recv", _MESSAGE)
zmq_poll = types.ExternalFunction("zmq_poll", types.int32(types.uintp, types.int32, types.int64))
zmq_errno = types.ExternalFunction("zmq_errno", types.int32())
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))


def _sources_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def compiled(function: Callable[..., Any]) -> Any:
    """Decorate a function to be compiled, cached on disk, and run without the GIL.

    Its name in the cache includes a hash of all sources of this folder, because Numba does not
    notice changes of helpers in other files.
    """
    function.__qualname__ = f"{function.__name__}-{_sources_hash()}"
    return njit(nogil=True, cache=True, error_model="numpy")(function)


part = njit(nogil=True, error_model="numpy")  # for functions that only compiled code calls


def poll_item(socket: Any, events: int) -> Any:
    """Return a ``zmq_pollitem_t`` as int64[2]: the socket, then fd, events and revents."""
    item = np.zeros(2, np.int64)
    item[0] = socket.underlying
    item[1:].view(np.int16)[2] = events
    return item


@part
def now(clock: Any) -> Any:
    """Return the monotonic clock in ns; ``clock`` is int64[2], room for a ``timespec``."""
    _clock_gettime(_CLOCK_MONOTONIC, clock.ctypes.data)
    return clock[0] * 1_000_000_000 + clock[1]


@part
def wait(item: Any, milliseconds: int) -> Any:
    """Wait for one poll item; return 0 or errno. A signal ends the wait early without an error."""
    if zmq_poll(item.ctypes.data, 1, milliseconds) < 0:
        number = zmq_errno()
        return 0 if number == EINTR else number
    return 0
