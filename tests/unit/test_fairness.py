"""Whose message is served next: who asks for little does not wait for those who ask for much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import zmq
from numba import njit

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.kernels.pointers import int64s_at
from streamlstm.serving.compiled_loop import CompiledLoop
from streamlstm.serving.native import admission, layout, loop
from streamlstm.serving.native import queue as native_queue
from streamlstm.serving.service import Service

from ..contract.models import random_model
from .worker_harness import Harness, harness, received

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
ROWS = 2_000
MICROSECONDS = 1_000  # ns


@njit
def take(address: int) -> None:
    """Take what is ready into the queue."""
    table = int64s_at(address, layout.LOOP)
    native_queue.finish_handed(table)
    table[layout.READABLE] = 3
    admission.receive_ready(table)


@njit
def serve_one(address: int) -> int:
    """Step a block or hand over a message; return which, as native/layout.py says."""
    outcome: int = loop._step_block(int64s_at(address, layout.LOOP))
    return outcome


class Queue:
    """The queue of a compiled loop that a test serves one block or message at a time."""

    def __init__(self, harness: Harness) -> None:
        assert isinstance(harness.worker._loop, CompiledLoop)
        self._harness, self._table = harness, harness.worker._loop.table
        self.engine = harness.service.engine
        view = self.engine.native_view()
        assert view is not None
        self.view = view

    @property
    def refused_row(self) -> int:
        """The row that Python refuses the message for that was handed over; -1 if it looks."""
        return int(self._table.fields[layout.REFUSED_ROW])

    def client(self) -> zmq.Socket[bytes]:
        return self._harness.connect(zmq.DEALER, "router")

    def send(self, client: zmq.Socket[bytes], messages: Sequence[bytes]) -> None:
        for message in messages:
            client.send(message)
        self.take()

    def take(self) -> None:
        for _ in range(20):
            take(self._table.address)

    def serve(self, handed_us: int = 100) -> bool:
        """Serve once, as if Python took so long; return whether a message was handed over."""
        if not self._harness.service.counters[layout.QUEUED]:
            return False
        outcome = serve_one(self._table.address)
        if outcome == layout.NEEDS_ROOM:
            self.view.reserve(layout.MAX_ROWS, 0)
            outcome = serve_one(self._table.address)
        self._table.fields[layout.HANDED_TIME] = handed_us * MICROSECONDS
        take(self._table.address)
        return outcome == layout.HAND_OVER

    def serve_until_answered(self, client: zmq.Socket[bytes], handed_us: int = 100) -> int:
        """Serve until a client has a reply; return how many messages were handed over before."""
        handed = 0
        for _ in range(1_000):
            handed += self.serve(handed_us)
            if received(client):
                return handed
        raise AssertionError("no reply")


@contextmanager
def queue() -> Iterator[Queue]:
    with harness(Engine(MODEL, capacity=100_000, threads=1)) as made:
        yield Queue(made)


def step(stream: wire.StreamId, seq: int = 0) -> bytes:
    return wire.encode(wire.Step(stream, seq, wire.to_floats([1.0, 2.0])))


def steps(rows: int = ROWS, first: int = 0) -> bytes:
    ids: list[wire.StreamId] = list(range(first, first + rows))
    return wire.encode(wire.Steps(ids, None, bytes(8 * rows)))


CONTROL = {
    "list": wire.List(None, None, 1_000),
    "export": wire.Export("a"),
    "info": wire.Info(),
    "ping": wire.Ping(1),
    "barrier": wire.Barrier(1, 1),
    "reset": wire.Reset("a"),
    "forget": wire.Forget("nobody"),
    "reload": wire.Reload(False),
    "import": wire.Import("a", b"nothing"),
    "refused": wire.Step("a", 9, bytes(8)),
}


def test_a_step_waits_for_no_long_message_but_the_one_in_service() -> None:
    with queue() as q:
        for _ in range(8):
            q.send(q.client(), [steps()] * 20)
        good = q.client()
        for _ in range(16):
            q.serve()
        for _ in range(4):
            q.serve()
            q.send(good, [step("good")])
            before = q.engine.steps
            assert q.serve_until_answered(good) == 0
            assert q.engine.steps - before == 1


def test_one_that_was_alone_does_not_wait_for_a_burst_of_long_messages() -> None:
    with queue() as q:
        good = q.client()
        for _ in range(100):
            q.send(good, [step("good")])
            q.serve_until_answered(good)
        for _ in range(8):
            q.send(q.client(), [steps()])
        q.send(good, [step("good")])
        before = q.engine.steps
        q.serve_until_answered(good)
        assert q.engine.steps - before == 1


@pytest.mark.parametrize("kind", CONTROL)
def test_a_step_waits_for_no_control_message_but_the_one_in_service(kind: str) -> None:
    with queue() as q:
        for _ in range(8):
            q.send(q.client(), [wire.encode(CONTROL[kind])] * 50)
        good = q.client()
        for _ in range(32):
            assert q.serve()
        for _ in range(4):
            assert q.serve()
            q.send(good, [step("good")])
            assert q.serve_until_answered(good) == 0


def test_a_step_that_comes_while_a_long_message_is_stepped_is_answered_between() -> None:
    with harness(Engine(MODEL, capacity=100_000, threads=1)) as made:
        q = Queue(made)
        q.send(q.client(), [steps(wire.MAX_STREAMS)])
        q.serve()
        made.heard()
        long, good = q.client(), q.client()
        q.send(long, [steps(wire.MAX_STREAMS)])
        good.send(step("good"))  # which nobody has received yet
        q.serve()
        heard = [parts[0] for parts in made.heard()]
        assert len(heard) == wire.MAX_STREAMS + 1
        assert heard[0] == b"good"
        assert len(received(good)) == len(received(long)) == 1


def test_what_is_answered_between_changes_no_order_and_no_result() -> None:
    """Of streams that the long message has, or of its sender, nothing is taken before its end."""
    rows = wire.MAX_STREAMS
    ids: list[wire.StreamId] = list(range(rows))
    X = wire.to_floats([0.001 * n for n in range(2 * rows)])
    many = wire.encode(wire.Steps(ids, [1] * rows, X))
    first = [step("x", 1), step("x", 2), step(rows - 1, 2), step("y", 1)]
    own = [step("z", 1), step(7, 2)]
    engine = Engine(MODEL, capacity=100_000, threads=1)
    service = Service(engine)
    wanted = [answer.reply for answer in service.handle([many, *first, *own])]
    with harness(Engine(MODEL, capacity=100_000, threads=1)) as made:
        q = Queue(made)
        long, other = q.client(), q.client()
        q.send(other, [step("other")])
        q.send(long, [step("long")])
        q.serve()
        received(long), received(other)
        q.send(long, [many])
        for message in own:
            long.send(message)
        for message in first:
            other.send(message)
        for _ in range(4):
            q.serve()
        assert [parts[-1] for parts in received(long)] == [wanted[0], *wanted[5:]]
        assert [parts[-1] for parts in received(other)] == wanted[1:5]
        for stream in engine.streams():
            assert q.engine.export_stream(stream) == engine.export_stream(stream)


def test_a_client_that_asks_again_at_once_gains_nothing_by_having_one_request_in_flight() -> None:
    with queue() as q:
        greedy = [q.client() for _ in range(8)]
        ask = wire.encode(wire.List(None, None, 1_000))
        for client in greedy:
            q.send(client, [ask])
        good = q.client()
        q.send(good, [step("good", n + 1) for n in range(200)])
        handed = answered = 0
        while answered < 200:
            if q.serve(handed_us=1_000):
                handed += 1
                q.send(greedy[handed % 8], [ask])
            answered += len(received(good))
        # the 200 of a burst fit into one block, and go before all the others
        assert handed <= 1


def test_clients_have_equal_shares_whatever_they_send() -> None:
    """Of one that sends 2,000 rows at a time, one of 100 and one of single ones: rows."""
    with queue() as q:
        q.send(q.client(), [steps(ROWS, 0)] * 20)
        q.send(q.client(), [steps(100, 10_000)] * 150)
        q.send(q.client(), [step(20_000 + n) for n in range(7_000)])
        for _ in range(500):
            q.serve()
            if q.engine.steps > 10_000:
                break
        served = [0, 0, 0]
        for stream in q.engine.streams():
            served[int(stream) // 10_000] += 1
        assert served[2] == pytest.approx(q.engine.steps / 3, abs=ROWS)


def test_the_pull_socket_has_half_beside_many_clients() -> None:
    with harness(Engine(MODEL, capacity=100_000, threads=1)) as made:
        q = Queue(made)
        for n in range(8):
            q.send(q.client(), [step(n * 1_000 + k) for k in range(300)])
        for n in range(3_000):
            made.feeder.send(step(10_000 + n))
        q.take()
        while q.engine.steps < 2_000:
            assert not q.serve()
        fed = sum(int(stream) >= 10_000 for stream in q.engine.streams())
        assert fed == pytest.approx(q.engine.steps / 2, abs=128)


def test_a_client_that_was_idle_is_owed_no_more_than_a_block() -> None:
    """Its messages overtake the others' up to 256 rows; then it takes turns with them."""
    with queue() as q:
        for n in range(4):
            q.send(q.client(), [step(n * 1_000 + k) for k in range(900)])
        for _ in range(8):
            q.serve()
        late = q.client()
        q.send(late, [step(100_000 + n) for n in range(900)])
        q.serve()
        of_late = len(received(late))
        assert of_late == layout.BLOCK
        q.serve()
        assert len(received(late)) == pytest.approx(layout.BLOCK / 5, abs=2)


def test_what_a_client_sent_is_answered_in_its_order_beside_others() -> None:
    with queue() as q:
        clients = [q.client() for _ in range(5)]
        for n, client in enumerate(clients):
            messages = []
            for k in range(60):
                messages.append(step(f"s{n}") if k % 7 else steps(50 * (k % 5 + 1)))
            q.send(client, messages)
        for _ in range(400):
            q.serve()
        for client in clients:
            kinds = [reply[-1][2] == wire.Kind.PREDICTION for reply in received(client)]
            assert kinds == [bool(k % 7) for k in range(60)]


def test_the_python_loop_answers_one_control_message_between_two_looks() -> None:
    with harness(Engine(MODEL, threads=1), loop="python") as made:
        greedy = [made.connect(zmq.DEALER, "router") for _ in range(8)]
        good = made.connect(zmq.DEALER, "router")
        for client in greedy:
            for n in range(50):
                client.send(wire.encode(wire.Ping(n)))
        answered = 0
        for n in range(20):
            made.turn()
            answered += sum(len(received(client)) for client in greedy)
            assert answered <= n + 1
            good.send(step("good", n + 1))
            made.turn()
            assert len(received(good)) == 1
            answered -= 1
        kinds = [
            wire.encode(wire.Ping(0)),
            step("a"),
            step("b"),
            wire.encode(wire.Ping(1)),
            step("a"),
        ]
        for message in kinds:
            good.send(message)
        replies = []
        while len(replies) < len(kinds):
            made.turn()
            replies += [parts[-1][2] for parts in received(good)]
        assert replies == [131, 129, 129, 131, 129]


NUMBERED: list[wire.StreamId] = ["a", "a longer name", 7, 2**64 - 1]
REFUSED = {
    "gap": ([*NUMBERED, "new"], [2, 2, 9, 2, 1], 2),
    "duplicate": ([*NUMBERED, "new"], [2, 1, 2, 2, 1], 1),
    "gap of a new stream": ([*NUMBERED, "naïve, and new"], [2, 2, 2, 2, 2], 4),
    "the largest number": (NUMBERED, [2, 2, 2, 2**63 - 1], 3),
    "its stream has a row before": (["new", *NUMBERED, "new"], [1, 2, 2, 2, 2, 3], -1),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_long_message_is_refused_for_a_number_without_another_look_at_all_its_rows(
    case: str,
) -> None:
    """In Python its rows would take a microsecond each; what is answered is the same."""
    ids, seqs, row = REFUSED[case]
    known = wire.encode(wire.Steps(NUMBERED, [1] * len(NUMBERED), bytes(8 * len(NUMBERED))))
    refused = wire.encode(wire.Steps(ids, seqs, bytes(8 * len(ids))))
    barrier = wire.encode(wire.Barrier(1, 1))
    answers = []
    for kind in ("native", "python"):
        with harness(Engine(MODEL, capacity=100_000, threads=1), loop=kind) as made:
            answers.append(made.ask([known, refused, barrier]))
            assert set(made.service.engine.streams()) == set(NUMBERED)
            assert made.service.engine.last_seqs(NUMBERED) == [1] * len(NUMBERED)
    assert answers[0] == answers[1]
    with queue() as q:
        q.send(client := q.client(), [known])
        q.serve()
        q.send(client, [refused])
        assert q.serve()
        assert q.refused_row == row
