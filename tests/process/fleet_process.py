"""A real fleet in processes of its own, and sockets that follow `moved`, for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from streamlstm import wire
from streamlstm.engine.ids import StreamId
from streamlstm.engine.partitions import partitions_of
from streamlstm.fleet.question import ask


class FleetProcess:
    """`streamlstm fleet`, ready; ``lines`` is its log so far."""

    def __init__(self, model: Path, folder: Path, *options: str, workers: int = 2) -> None:
        """Start one that keeps its endpoints and its store in ``folder``."""
        self.endpoints = folder / "fleet.json"
        store = ("--store", f"lmdb:{folder / 'streams'}") if "--store" not in options else ()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlstm", "fleet", str(model)),
                *("--workers", str(workers), "--endpoints", str(self.endpoints)),
                *("--threads", "1", *store, *options),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._ready.wait(120) or self.process.poll() is not None:
            self.stop()
            raise AssertionError(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if " INFO ready; " in line:
                self._ready.set()
        self._ready.set()

    def ask(self, *question: Any) -> dict[str, Any]:
        return ask(self.endpoints, *question)

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return the workers of the endpoints file, by name."""
        return {each["name"]: each for each in json.loads(self.endpoints.read_text())["workers"]}

    def gateway(self) -> dict[str, Any]:
        """Return where the gateway is, and its pid."""
        found: dict[str, Any] = json.loads(self.endpoints.read_text())["gateway"]
        return found

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(30)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


class PlainSockets:
    """A DEALER to each worker of a fleet; asks the owner of a stream, one request at a time."""

    def __init__(self, router: str) -> None:
        """Ask the worker at ``router`` for the table."""
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self.moved = self.busy = 0
        self.follow(router)

    def learn(self) -> None:
        """Ask a worker for the table again."""
        self.follow(next(iter(self._sockets)))

    def follow(self, router: str) -> None:
        """Ask a worker who has which partition."""
        reply = self.request(router, wire.Table())
        assert isinstance(reply, wire.Done)
        table = wire.FleetTable.from_value(reply.value)
        owners = [table.owner(partition) for partition in range(wire.PARTITIONS)]
        self.routers = [None if owner is None else owner.router for owner in owners]

    def request(self, router: str, request: wire.Request) -> wire.Reply:
        """Return a worker's reply to a request."""
        if router not in self._sockets:
            socket = self._sockets[router] = self._context.socket(zmq.DEALER)
            socket.set(zmq.LINGER, 0)
            socket.set(zmq.RCVTIMEO, 20_000)
            socket.connect(router)
        self._sockets[router].send(wire.encode(request))
        return wire.decode_reply(self._receive(router))

    def _receive(self, router: str) -> bytes:
        return self._sockets[router].recv()

    def ask(self, stream: StreamId, request: wire.Request) -> wire.Reply:
        """Return the owner's reply: `moved` is followed, `busy` asked again."""
        partition = int(partitions_of([stream])[0])
        while True:
            router = self.routers[partition]
            if router is None:  # the worker that was asked did not know yet
                self.learn()
                continue
            reply = self.request(router, request)
            if isinstance(reply, wire.Error) and reply.code == "moved":
                assert reply.number == partition
                assert reply.owner is not None
                self.routers[partition] = reply.owner.router
                self.moved += 1
            elif isinstance(reply, wire.Error) and reply.code == "busy":
                self.busy += 1
            else:
                return reply

    def step(self, stream: StreamId, seq: int, x: list[float]) -> wire.Prediction:
        reply = self.ask(stream, wire.Step(stream, seq, np.float32(x).tobytes()))
        assert isinstance(reply, wire.Prediction), reply
        return reply

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close()
        self._context.term()


class SurvivingSockets(PlainSockets):
    """Sockets that ask for the table again when a worker has ended, and send again what it had."""

    def __init__(self, fleet: FleetProcess) -> None:
        """Ask any worker of a fleet for the table."""
        self.fleet = fleet
        self._pids: dict[str, int] = {}
        workers = fleet.workers().values()
        super().__init__(next(each["router"] for each in workers if each["router"]))

    def _receive(self, router: str) -> bytes:
        socket = self._sockets[router]
        while not socket.poll(10):
            if not self._lives(router):
                self._sockets.pop(router).close()
                self._pids.pop(router, None)  # the next worker may be at the same address
                raise ConnectionError(router)
        return socket.recv()

    def _lives(self, router: str) -> bool:
        if router not in self._pids:
            workers = self.fleet.workers().values()
            self._pids |= {each["router"]: each["pid"] for each in workers if each["router"]}
        pid = self._pids.get(router)
        if pid is None:  # the file does not list it any more, or not yet
            return False
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True

    def learn(self) -> None:
        """Ask any worker that answers for the table."""
        for worker in self.fleet.workers().values():
            with suppress(ConnectionError):
                if worker["router"]:
                    self.follow(worker["router"])
                    return

    def ask(self, stream: StreamId, request: wire.Request) -> wire.Reply:
        """Return the owner's reply, whoever is the owner then."""
        while True:
            try:
                return super().ask(stream, request)
            except ConnectionError:
                self.learn()

    def last(self, streams: Sequence[StreamId]) -> list[int]:
        """Return the last number of each stream."""
        found = []
        for stream in streams:
            reply = self.ask(stream, wire.Last([stream]))
            assert isinstance(reply, wire.Done)
            found += reply.value
        return found

    def commit(self) -> None:
        """Wait until all that was applied is committed."""
        for router in {router for router in self.routers if router is not None}:
            reply = self.request(router, wire.Barrier(0, 0))
            assert isinstance(reply, wire.Done), reply
