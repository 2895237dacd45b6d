"""Starts the servers of a benchmark, verifies their replies and warms them up."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import zmq

from streamlstm import Engine, wire
from streamlstm.loadtest import load
from streamlstm.loadtest.messages import Messages, echoed

from . import processes
from .messages import BLOCK, F, blocks, model, observations, one_a_message
from .processes import Process

IPC = " over ipc://"  # behind the name of a server: at a socket's file, in place of a TCP port
SPIN = 200  # us: longer than a single client takes from a reply to its next request
WARM_SECONDS = 60.0


class Server(NamedTuple):
    """A server that is ready to be measured."""

    process: Process
    socket: Any  # DEALER, connected
    messages: Messages  # one STEP each, with the replies of this server


class Servers:
    """Starts each server on its first use, and ends all at the end of a ``with`` block.

    Parameters
    ----------
    folder : Path
        Folder for the model and the store.
    """

    def __init__(self, folder: Path) -> None:
        self.model = model()
        self._file, self._folder = folder / "model.safetensors", folder
        self.model.save(self._file)
        self._ready: dict[str, Server | None] = {}
        self._open = ExitStack()
        self.sockets = self._open.enter_context(processes.Sockets())
        self._steps = one_a_message()
        self.blocks = blocks()

    def __getitem__(self, name: str) -> Server:
        found = self.get(name)
        assert found is not None, name
        return found

    def get(self, name: str) -> Server | None:
        """Return a server by name; None if it cannot run here."""
        if name not in self._ready:
            self._ready[name] = self._start(name)
        return self._ready[name]

    def connect(self, server: Server) -> Any:
        """Return another connected DEALER."""
        return self.sockets.connect(zmq.DEALER, server.process.endpoints["router"])

    def missing(self) -> list[str]:
        """Return the servers that were left out, and why."""
        reasons = {
            "PyTorch worker": "PyTorch is not installed (pip install -e '.[bench]')",
            "spinning worker": "streamlstm serve has no --spin",
        }
        lines = [
            f"Left out, {name}: {reasons[name]}."
            for name, server in self._ready.items()
            if server is None
        ]
        if "python worker" in self._ready and not processes.has_option("--loop"):
            lines.append("streamlstm serve has no --loop: both workers are the loop in Python.")
        return lines

    def _start(self, name: str) -> Server | None:
        kind, ipc, _ = name.partition(IPC)
        if kind == "spinning worker" and not processes.has_option("--spin"):
            return None
        socket_file = self._folder / f"{len(self._ready)}.socket"
        place = ["--router", f"ipc://{socket_file}"] if ipc else []
        process = {
            "worker": lambda: processes.worker(self._file, *place),
            "storing worker": lambda: processes.worker(
                self._file, "--store", f"lmdb:{self._folder / 'store'}"
            ),
            "python worker": lambda: processes.worker(self._file, loop="python"),
            "spinning worker": lambda: processes.worker(self._file, *place, spin=SPIN),
            "echo": lambda: processes.echo(*place),
            "python echo": processes.python_echo,
            "PyTorch worker": lambda: processes.plain_worker(self._file),
        }[kind]()
        if process is None:
            return None
        self._open.enter_context(process)
        socket = self.sockets.connect(zmq.DEALER, process.endpoints["router"])
        if "echo" in name:
            messages = echoed(self._steps)
        else:
            messages = self._steps
            self._compare(name, socket)
        # Every server knows all streams before anything is timed.
        load.throughput(socket, messages, WARM_SECONDS, len(messages.sizes))
        return Server(process, socket, messages)

    def _compare(self, name: str, socket: Any) -> None:
        """Compare with an engine of the same model: bit for bit, except PyTorch."""
        engine = Engine(self.model, threads=1)
        is_ours = name != "PyTorch worker"
        tolerance = 0.0 if is_ours else 1e-5
        for n, x in enumerate(observations(200, seed=2)):
            id = f"compared-{n % 7}"
            reply = _request(socket, wire.Step(id, 0, wire.to_floats(x)))
            assert isinstance(reply, wire.Prediction), f"{name}: {reply}"
            _check_equal(name, reply.values, engine.step(id, x), tolerance)
        ids: list[wire.StreamId] = [f"compared-{n}" for n in range(BLOCK)]
        for X in observations(3 * BLOCK, seed=3).reshape(3, BLOCK, F) if is_ours else ():
            reply = _request(socket, wire.Steps(ids, None, wire.to_floats(X)))
            assert isinstance(reply, wire.Predictions), f"{name}: {reply}"
            _check_equal(name, reply.values, engine.step_many(ids, X), tolerance)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()


def _request(socket: Any, message: wire.Request) -> wire.Reply:
    socket.send(wire.encode(message))
    return wire.decode_reply(socket.recv())


def _check_equal(name: str, theirs: Any, ours: Any, tolerance: float) -> None:
    difference = float(np.max(np.abs(theirs - ours)))
    if not difference <= tolerance:
        raise SystemExit(f"{name} and the engine differ by {difference:.1e}: nothing was timed")
