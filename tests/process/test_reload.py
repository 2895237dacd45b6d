"""Workers that change their model while they are used, refused, stopped and killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import LSTM, Dense, Engine, Model, wire
from streamlstm.client.aio import client as aio
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError
from streamlstm.serving.access.roles import permitted
from streamlstm.serving.native import layout

from ..contract.models import random_model
from .conftest import Sockets, WorkerProcess

PLAIN = [LSTM(2, 9), Dense(9, 3)]
MODELS = [random_model(PLAIN, seed, scaled=True) for seed in range(12)]
OTHER = random_model([LSTM(3, 20), Dense(20, 1)])
LOOPS = pytest.mark.parametrize("options", [(), ("--loop", "python")], ids=["native", "python"])


class Place:
    """A model file that is replaced in one piece, and the workers over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "model.safetensors"
        self.started: list[WorkerProcess] = []
        self.put(MODELS[0])

    def put(self, model: Model) -> None:
        model.save(self.folder / "new")
        os.replace(self.folder / "new", self.file)

    def start(self, *options: str) -> WorkerProcess:
        self.started.append(WorkerProcess(self.file, *options))
        return self.started[-1]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    for process in made.started:
        process.stop()


def x_of(seq: int) -> bytes:
    return wire.to_floats([np.sin(seq), np.cos(3 * seq)])


class Truth:
    """Steps streams as a worker must that runs one model after the other."""

    def __init__(self) -> None:
        self.engine, self.number = Engine(MODELS[0], threads=1), 0

    def follow(self, stream: wire.StreamId, seq: int, y: bytes) -> None:
        """Step with the model of before or, if that is not what was answered, a later one."""
        x = np.frombuffer(x_of(seq), np.float32)
        while True:
            known = stream in self.engine
            row = self.engine._table.rows[self.engine._table.slot(stream)].copy() if known else None
            if wire.to_floats(self.engine.step(stream, x, seq=seq)) == y:
                return
            slot = self.engine._table.slot(stream)  # as if it had not been
            if row is None:
                self.engine.forget(stream)
            else:
                self.engine._table.rows[slot] = row
                self.engine._table.seq[slot] = seq - 1
            self.number += 1
            assert self.number < len(MODELS), f"{stream} {seq}: no model answers so from its state"
            self.engine.reload(MODELS[self.number])


class Asker(threading.Thread):
    """Asks numbered STEPs of its own streams over a connection of its own, without a pause."""

    def __init__(self, endpoint: str, name: str) -> None:
        super().__init__(name=name)
        self._endpoint, self.over = endpoint, threading.Event()
        self.answers: list[tuple[str, int, bytes]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.linger, socket.rcvtimeo = 0, 20_000
            socket.connect(self._endpoint)
            sent = 0
            try:
                while not self.over.is_set() or len(self.answers) < sent:
                    while sent - len(self.answers) < 100 and not self.over.is_set():
                        stream, seq = f"{self.name} {sent % 7}", sent // 7 + 1
                        socket.send(wire.encode(wire.Step(stream, seq, x_of(seq))))
                        sent += 1
                    n = len(self.answers)
                    reply = wire.decode_reply(socket.recv())
                    assert isinstance(reply, wire.Prediction), reply
                    assert (reply.stream, reply.seq) == (f"{self.name} {n % 7}", n // 7 + 1)
                    self.answers.append((str(reply.stream), reply.seq, reply.y))
                assert not socket.poll(50), "something was answered twice"
            except BaseException as error:
                self.error = error


class Feeder(threading.Thread):
    """Feeds numbered STEPs through the pull door, and hears the predictions at the xpub door."""

    def __init__(self, endpoints: dict[str, str]) -> None:
        super().__init__(name="fed")
        self._endpoints, self.over = endpoints, threading.Event()
        self.answers: list[tuple[str, int, bytes]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        with (
            zmq.Context() as context,
            context.socket(zmq.PUSH) as push,
            context.socket(zmq.XSUB) as listener,
        ):
            push.linger = listener.linger = 0
            listener.rcvtimeo = 20_000
            listener.connect(self._endpoints["xpub"])
            listener.send(b"\1fed")
            push.connect(self._endpoints["pull"])
            sent = 0
            try:
                # Until the subscription is there, nothing is heard: those come first, uncounted.
                while not listener.poll(5):
                    push.send(wire.encode(wire.Step("fed first", 0, x_of(0))))
                while not self.over.is_set() or len(self.answers) < sent:
                    while sent - len(self.answers) < 100 and not self.over.is_set():
                        sent += 1
                        push.send(wire.encode(wire.Step("fed", sent, x_of(sent))))
                    reply = wire.decode_reply(listener.recv_multipart()[1])
                    assert isinstance(reply, wire.Prediction), reply
                    if reply.stream == "fed":
                        assert reply.seq == len(self.answers) + 1
                        self.answers.append(("fed", reply.seq, reply.y))
            except BaseException as error:
                self.error = error


@LOOPS
def test_under_load_nothing_is_lost_and_each_prediction_is_of_one_model(
    place: Place, options: tuple[str, ...]
) -> None:
    worker = place.start(*options)
    threads = [
        *(Asker(worker.endpoints["router"], f"asked {n}") for n in range(3)),
        Feeder(worker.endpoints),
    ]
    for thread in threads:
        thread.start()
    try:
        with worker.client() as client:
            for model in MODELS[1:]:
                before = [len(thread.answers) for thread in threads]
                place.put(model)
                done = client.reload()
                assert done["model"] == model.fingerprint == client.info()["model"]["fingerprint"]
                for thread, count in zip(threads, before, strict=True):
                    while len(thread.answers) < count + 30 and thread.is_alive():
                        client.ping()
            counted = [len(thread.answers) for thread in threads]
            for thread, count in zip(threads, counted, strict=True):
                while len(thread.answers) < count + 300 and thread.is_alive():
                    client.ping()
    finally:
        for thread in threads:
            thread.over.set()
            thread.join()
    for thread in threads:
        assert thread.error is None, thread.error
        truth = Truth()
        for stream, seq, y in thread.answers[:-150]:
            truth.follow(stream, seq, y)
        assert truth.number == len(MODELS) - 1
        for stream, seq, y in thread.answers[-150:]:
            truth.follow(stream, seq, y)
    with worker.client() as client:
        assert client.info()["counters"]["reloads"] == len(MODELS) - 1
        assert sum(client.info()["counters"]["errors"].values()) == 0
    assert worker.stop() == 0


@LOOPS
def test_what_is_refused_changes_nothing(place: Place, options: tuple[str, ...]) -> None:
    worker = place.start(*options)
    alone = Engine(MODELS[0], threads=1)
    whole = place.file.read_bytes()

    def torn() -> None:
        place.file.write_bytes(whole[: len(whole) // 2])

    def newer() -> None:
        place.file.write_bytes(whole.replace(b'"version":"1"', b'"version":"9"'))

    cases: list[tuple[Callable[[], object], str, str]] = [
        (place.file.unlink, "bad-model", "cannot be read: No such file"),
        (lambda: place.put(OTHER), "model-mismatch", "it has 3 inputs (x0, x1, x2), the running"),
        (torn, "bad-model", "is damaged or of another kind"),
        (newer, "bad-model", "written in format version 9"),
        (lambda: place.file.write_bytes(b""), "bad-model", "damaged"),
    ]
    with worker.client() as client:
        for seq, (change, code, said) in enumerate(cases, 1):
            change()
            with pytest.raises(RemoteError, match="reload: ") as caught:
                client.reload(anew=code == "bad-model")
            assert (caught.value.code, said in str(caught.value)) == (code, True), caught.value
            assert str(place.file) in str(caught.value) or code == "model-mismatch"
            x = np.frombuffer(x_of(seq), np.float32)
            np.testing.assert_array_equal(client.step("a", x, seq=seq), alone.step("a", x, seq=seq))
            assert client.export_stream("a") == alone.export_stream("a")
            assert client.info()["model"]["fingerprint"] == MODELS[0].fingerprint
        assert client.info()["counters"]["reloads"] == 0


def test_two_at_a_time_are_one(place: Place, sockets: Sockets) -> None:
    worker = place.start()
    dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    for n in range(20):  # until the second comes before the first is done
        place.put(MODELS[(n + 1) % 2])
        for number in (b"1", b"2"):
            dealer.send_multipart([number, wire.encode(wire.Reload(False))])
        answers = dict(dealer.recv_multipart() for _ in range(2))
        second, first = (wire.decode_reply(answers[number]) for number in (b"2", b"1"))
        assert isinstance(first, wire.Done)
        changed = ["weights of layers 0, 1", "input scaling", "output scaling"]
        assert first.value["changed"] == changed
        assert first.value["paused"] > 0
        if isinstance(second, wire.Error):
            break
        assert second.value["changed"] == []
    assert isinstance(second, wire.Error)
    assert (second.code, "another one is under way" in second.message) == ("busy", True)


@pytest.mark.parametrize("anew", [False, True])
def test_a_worker_that_stops_meanwhile_answers_and_stops(
    place: Place, sockets: Sockets, anew: bool
) -> None:
    for n in range(4):
        place.put(MODELS[n])
        worker = place.start("--store", f"lmdb:{place.folder / f'store {n}'}")
        dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
        dealer.send(wire.encode(wire.Step("a", 1, x_of(1))))
        dealer.recv()
        place.put(OTHER if anew else MODELS[n + 1])
        dealer.send(wire.encode(wire.Reload(anew)))
        # An answer that comes behind it says that the worker has taken it.
        dealer.send(wire.encode(wire.Ping(0)))
        dealer.recv()
        worker.process.send_signal(signal.SIGTERM)
        reply = wire.decode_reply(dealer.recv())
        if isinstance(reply, wire.Done) and reply.kind == wire.Kind.PING:
            reply = wire.decode_reply(dealer.recv())
        assert isinstance(reply, wire.Done) or (
            isinstance(reply, wire.Error) and "the worker stops" in reply.message
        )
        assert worker.stop(0) == 0  # it was sent the signal
        with place.start("--store", f"lmdb:{place.folder / f'store {n}'}").client() as client:
            assert client.last_seqs(["a"]) == [1]


def test_the_command_the_asynchronous_client_and_a_file_that_is_a_link(place: Place) -> None:
    os.replace(place.file, place.folder / "first")
    MODELS[1].save(place.folder / "second")
    place.file.symlink_to("first")
    worker = place.start()
    (place.folder / "link").symlink_to("second")
    os.replace(place.folder / "link", place.file)
    asked = [sys.executable, "-m", "streamlstm", "reload", "--router", worker.endpoints["router"]]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*asked, *options], capture_output=True, text=True, timeout=60)

    told = run()
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == (
        f"model {MODELS[1].fingerprint[:8]} follows {MODELS[0].fingerprint[:8]}; changed: weights "
        "of layers 0, 1; input scaling; output scaling\nall streams go on with their state\n"
    )
    assert "changed: nothing, it is the same model" in run().stdout
    place.put(OTHER)
    told = run()
    assert told.returncode == 1
    assert "it has 3 inputs (x0, x1, x2), the running model 2" in told.stderr
    with worker.client() as client:
        client.step("a", [1, 2], seq=1)
        told = run("--anew")
        assert (told.returncode, "all streams begin anew" in told.stdout) == (0, True)
        with pytest.raises(RemoteError, match=r"expected 3 features a stream \(x0, x1, x2\)"):
            client.step("a", [1, 2], seq=2)
        y = client.step("a", [1, 2, 3], seq=2)
        np.testing.assert_array_equal(y, Engine(OTHER, threads=1).step("a", [1, 2, 3]))

    async def again() -> dict[str, Any]:
        async with aio.AsyncClient(worker.endpoints["router"]) as client:
            return await client.reload(anew=True)

    done = asyncio.run(again())
    assert (done["anew"], done["model"]) == (True, OTHER.fingerprint)
    assert worker.stop() == 0
    assert worker.said.count("reloaded: the model") == 4


def test_only_who_may_do_all_may_reload() -> None:
    frame = wire.encode(wire.Reload(True))
    assert permitted(frame, layout.MAY_ALL) == frame
    for role in (ord("R"), layout.MAY_STEP, 0):
        refused = permitted(frame, role)
        assert not isinstance(refused, bytes)
        assert refused.code == "forbidden"


# --- killed around the change ---------------------------------------------------------------------

STREAMS = [f"pump-{n}" for n in range(20)]


def seq_of(blob: bytes) -> int:
    return int.from_bytes(blob[24:32], "little")


def feed(dealer: Any, sent: dict[str, int], count: int, inputs: int = 2) -> None:
    """Send further observations; nobody waits for what is answered."""
    for _ in range(count):
        for stream in STREAMS[:5]:
            sent[stream] += 1
            x = x_of(sent[stream]) + b"\0\0\0\0" * (inputs - 2)
            dealer.send(wire.encode(wire.Step(stream, sent[stream], x)))


def settled(client: Client) -> None:
    while client.info()["store"]["pending"]:
        pass


@pytest.mark.parametrize(
    ("anew", "options"), [(False, ()), (True, ()), (True, ("--loop", "python"))]
)
def test_killed_around_a_change_no_stream_is_lost(
    place: Place, sockets: Sockets, anew: bool, options: tuple[str, ...]
) -> None:
    random = np.random.default_rng(3)
    for round in range(4):
        old, new = MODELS[0], OTHER if anew else MODELS[1]
        place.put(old)
        store = ("--store", f"lmdb:{place.folder / f'store {round}'}", "--commit-ms", "5")
        worker = place.start(*store, *options)
        dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"], LINGER=0)
        sent = dict.fromkeys(STREAMS, 0)
        with worker.client() as client:
            X = np.frombuffer(x_of(1) * len(STREAMS), np.float32).reshape(-1, 2)
            client.step_many(STREAMS, X, seqs=[1] * len(STREAMS))
            sent = dict.fromkeys(STREAMS, 1)
            feed(dealer, sent, 3)
            while client.last_seqs(["pump-0"]) != [4]:
                pass
            settled(client)
        certain = dict(sent)
        place.put(new)
        dealer.send_multipart([b"reload", wire.encode(wire.Reload(anew))])
        if round % 2:
            while dealer.recv_multipart()[0] != b"reload":
                pass
            feed(dealer, sent, int(random.integers(0, 20)), 3 if anew else 2)
        else:
            for _ in range(int(random.integers(0, 400_000))):
                pass  # to be somewhere within the change
        worker.stop(signal.SIGKILL)
        again, said = try_to_start(place, *store, *options)
        if again is None:
            assert not round % 2, "it was answered, and not in the store"
            assert ("let all streams begin anew" if anew else "let them go on") in said
            again = place.start(*store, *options, "--other-model", "anew" if anew else "keep")
        with again.client() as client:
            assert client.info()["model"]["fingerprint"] == new.fingerprint
            for stream in STREAMS:
                blob = client.export_stream(stream)
                seq = seq_of(blob)
                assert certain[stream] <= seq <= sent[stream]
                assert blob in candidates(stream, certain[stream], seq, old, new, anew)
        again.stop()


def try_to_start(place: Place, *options: str) -> tuple[WorkerProcess | None, str]:
    """Start a worker, or return what it says that it does not start for."""
    try:
        return place.start(*options), ""
    except AssertionError as refused:
        return None, str(refused)


def candidates(
    stream: str, least: int, seq: int, old: Model, new: Model, anew: bool
) -> list[bytes]:
    """What a stream may be exported as: the model was changed after any of its last steps."""
    found = []
    for last in range(least, seq + 1):
        engine = Engine(old, threads=1)
        for n in range(1, seq + 1):
            if n == last + 1:
                engine.reload(new, anew)
            x = np.frombuffer(x_of(n), np.float32)
            engine.step(stream, [*x, 0.0][: engine.model.input_size], seq=n)
        if engine.model is old:
            engine.reload(new, anew)
        found.append(engine.export_stream(stream))
    return found


def test_a_store_that_is_full_of_streams_begins_anew_at_once(place: Place) -> None:
    store = ("--store", f"lmdb:{place.folder / 'store'}", "--commit-ms", "5")
    count = 20_000
    worker = place.start(*store)
    with worker.client() as client:
        for n in range(0, count, 1000):
            client.step_many(range(n, n + 1000), np.ones((1000, 2)), seqs=[1] * 1000)
        settled(client)
    worker.stop()
    worker = place.start(*store)
    place.put(OTHER)
    with worker.client() as client:
        client.step(7, [1, 2], seq=2)
        client.reload(anew=True)
        assert client.info()["streams"] == 1
        assert client.last_seqs([7, 8, count - 1]) == [2, 1, 1]
        y = client.step(9, [1, 2, 3], seq=2)
        np.testing.assert_array_equal(y, Engine(OTHER, threads=1).step(9, [1, 2, 3]))
        with pytest.raises(RemoteError) as caught:
            client.step(8, [1, 2, 3], seq=1)
        assert (caught.value.code, caught.value.values) == ("duplicate", None)
    worker.stop()
    worker = place.start(*store, "--preload")
    with worker.client() as client:
        assert client.info()["streams"] == count
        assert client.last_seqs([7, 8, 9]) == [2, 1, 2]
