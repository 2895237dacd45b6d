"""The tables of the compiled loop of a gateway, laid out in memory (native/gateway_layout.py)."""

from __future__ import annotations

import ctypes
import select

import numpy as np
import zmq
from numpy.typing import NDArray

from ... import wire
from ..native import gateway_layout as gl
from ..native import layout
from ..queue_table import LoopSetup, QueueTable
from ..sockets import Sockets

IN_DOUBT = (
    "the worker that had this request is gone, and whether it was applied is not known; ask for "
    "the stream's state before it is sent again, or number observations, which can be sent twice"
)
_SCRATCH = 2**13  # bytes of a reply that the loop writes itself, or of a topic


class GatewayTables(QueueTable):
    """Allocates what the compiled loop of a gateway needs, and keeps it alive.

    Parameters
    ----------
    xsub : zmq.Socket
        Subscribed to all workers.
    control : zmq.Socket
        Ends a wait when there is something to read.
    setup : LoopSetup

    Attributes
    ----------
    gateway : int64[GATEWAY]
    gateway_address : int
        Its address.
    workers : int64[MAX_WORKERS, WORKER]
    partitions : int64[PARTITIONS, PARTITION]
    """

    def __init__(
        self, xsub: zmq.Socket[bytes], control: zmq.Socket[bytes], setup: LoopSetup
    ) -> None:
        super().__init__(setup)
        self.fields[layout.REPLY] = self._zeros(_SCRATCH, np.uint8)
        self.gateway = gateway = np.zeros(gl.GATEWAY, np.int64)
        gateway[gl.LOOP_AT] = self.address
        self._files = self._list_files(xsub, control, setup.sockets, setup.wakeup)
        gateway[gl.FILES], gateway[gl.FILE_COUNT] = self._keep(self._files), gl.FIRST_WORKER
        gateway[gl.XSUB] = xsub.underlying
        self.workers: NDArray[np.int64] = np.zeros((gl.MAX_WORKERS, gl.WORKER), np.int64)
        gateway[gl.WORKERS] = self._keep(self.workers)
        self.partitions: NDArray[np.int64] = np.zeros((wire.PARTITIONS, gl.PARTITION), np.int64)
        self.partitions[:, gl.OWNER] = -1
        gateway[gl.PARTITIONS] = self._keep(self.partitions)
        gateway[gl.SIDES] = self._zeros(setup.queue_limits.messages * gl.SIDE)
        gateway[gl.STIRRED] = self._zeros(wire.PARTITIONS + 1)
        gateway[gl.REPLY_MESSAGE] = message = self._zeros(8)  # a zmq_msg_t: 64 bytes
        self._libzmq.zmq_msg_init(ctypes.c_void_p(message))
        gateway[gl.TICKET] = self._zeros(64, np.uint8)
        words = wire.encode_words("error", IN_DOUBT)
        gateway[gl.DOUBT_WORDS] = self._keep(np.frombuffer(words, np.uint8))
        gateway[gl.DOUBT_SIZE] = len(words)
        self.gateway_address = self._keep(gateway)

    @staticmethod
    def _list_files(
        xsub: zmq.Socket[bytes], control: zmq.Socket[bytes], sockets: Sockets, wakeup: int
    ) -> NDArray[np.void]:
        """Return what poll takes: descriptor, events, events found, of each source."""
        kind = np.dtype([("fd", "i4"), ("events", "i2"), ("found", "i2")])
        files = np.zeros(gl.FIRST_WORKER + gl.MAX_WORKERS, kind)
        files["fd"] = -1
        files["events"] = select.POLLIN
        first = [*(socket.getsockopt(zmq.FD) for socket in sockets), wakeup]
        first += [control.getsockopt(zmq.FD), xsub.getsockopt(zmq.FD)]
        files["fd"][: len(first)] = first
        return files

    def put_worker(self, number: int, socket: zmq.Socket[bytes], endpoint: bytes) -> None:
        """Let the loop send to a worker."""
        place = ctypes.create_string_buffer(endpoint, len(endpoint) + 1)
        self._alive.append(place)
        row = self.workers[number]
        row[:] = 0
        row[gl.SOCKET], row[gl.READABLE] = socket.underlying, 1
        row[gl.ENDPOINT_AT], row[gl.ENDPOINT_SIZE] = ctypes.addressof(place), len(endpoint)
        self._files["fd"][gl.FIRST_WORKER + number] = socket.getsockopt(zmq.FD)
        self._count_files()

    def take_worker(self, number: int) -> None:
        """Let the loop send nothing to a worker any more."""
        self.workers[number] = 0
        self._files["fd"][gl.FIRST_WORKER + number] = -1
        self._count_files()

    def _count_files(self) -> None:
        here = np.flatnonzero(self.workers[:, gl.SOCKET])
        last = int(here[-1]) + 1 if len(here) else 0
        self.gateway[gl.FILE_COUNT] = gl.FIRST_WORKER + last

    def close(self) -> None:
        """Release what libzmq holds."""
        message = int(self.gateway[gl.REPLY_MESSAGE])
        self._libzmq.zmq_msg_close(ctypes.c_void_p(message))
        super().close()
