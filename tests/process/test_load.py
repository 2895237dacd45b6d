"""The load generators: they count correctly, and wrong replies end them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from benchmarks.live import processes
from benchmarks.live.messages import IDS, blocks, one_a_message
from streamlstm import wire
from streamlstm.loadtest import load, open_loop, zmtp
from streamlstm.loadtest.messages import Messages, echoed

from .conftest import Sockets

REQUESTS = one_a_message(IDS[:50])


@contextmanager
def server(sockets: Sockets, answer: Callable[[bytes, int], bytes | None]) -> Iterator[str]:
    """Answer what comes by a function of the frame and its number, in a thread."""
    router = sockets.bind(zmq.ROUTER)
    router.rcvtimeo = 50
    stopping = threading.Event()

    def run() -> None:
        number = 0
        while not stopping.is_set():
            try:
                identity, frame = router.recv_multipart()
            except zmq.Again:
                continue
            reply = answer(frame, number)
            number += 1
            if reply is not None:
                router.send_multipart([identity, reply])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
    finally:
        stopping.set()
        thread.join()


@contextmanager
def in_thread(run: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(20)
    assert not thread.is_alive()


def predict(frame: bytes, _number: int) -> bytes:
    step = wire.decode_request(frame)
    assert isinstance(step, wire.Step)
    return wire.encode(wire.Prediction(step.stream, step.seq, b"\1\2\3\4"))


def refuse_the_ninth(frame: bytes, number: int) -> bytes:
    refusal = wire.Error(IDS[9], 0, "bad-value", "it is the ninth")
    return wire.encode(refusal) if number == 9 else predict(frame, number)


def mistake_the_ninth(frame: bytes, number: int) -> bytes:
    return predict(frame.replace(b"000009", b"000008"), number)


def be_too_short(frame: bytes, number: int) -> bytes:
    return predict(frame, number)[:-1]


def forget_the_ninth(frame: bytes, number: int) -> bytes | None:
    return None if number == 49 else predict(frame, number)


def test_every_request_is_sent_once_and_every_reply_counted(sockets: Sockets) -> None:
    seen = []

    def remember(frame: bytes, number: int) -> bytes:
        seen.append(wire.decode_request(frame))
        return predict(frame, number)

    with server(sockets, remember) as endpoint:
        dealer = sockets.connect(zmq.DEALER, endpoint)
        outcome = load.throughput(dealer, REQUESTS, 20, count=120, window=7)
    assert outcome.sent == outcome.answered == len(seen) == 120
    assert [step.stream for step in seen] == [IDS[n % 50] for n in range(120)]
    assert all(len(step.x) == 32 for step in seen)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse_the_ninth, "1 replies are errors.*it is the ninth"),
        (mistake_the_ninth, "1 are not those.*sensor-000008"),
        (be_too_short, "50 are not those"),
        (forget_the_ninth, "1 of 50 requests were not answered"),
    ],
)
def test_wrong_replies_are_failures(
    sockets: Sockets,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[bytes, int], bytes | None],
    message: str,
) -> None:
    monkeypatch.setattr(load, "GRACE", 1.0 if answer is forget_the_ninth else 20.0)
    with server(sockets, answer) as endpoint:
        dealer = sockets.connect(zmq.DEALER, endpoint)
        with pytest.raises(load.LoadError, match=message):
            load.throughput(dealer, REQUESTS, 1, count=50)


def test_round_trips_have_one_request_in_flight(sockets: Sockets) -> None:
    under_way = []

    def alone(frame: bytes, number: int) -> bytes:
        under_way.append(number)
        return predict(frame, number)

    with server(sockets, alone) as endpoint:
        dealer = sockets.connect(zmq.DEALER, endpoint)
        taken = load.round_trips(dealer, REQUESTS, 20, 60)
    assert len(taken) == len(under_way) == 60
    assert np.all(taken > 0)
    with server(sockets, refuse_the_ninth) as endpoint, pytest.raises(load.LoadError):
        load.round_trips(sockets.connect(zmq.DEALER, endpoint), REQUESTS, 20, 60)


@pytest.mark.parametrize("count", [1, 5])
def test_the_open_loop_keeps_its_schedule(sockets: Sockets, count: int) -> None:
    with server(sockets, predict) as endpoint, zmtp.Clients(endpoint, count) as clients:
        times = open_loop.scheduled(clients, REQUESTS, rate=500, seconds=0.4)
        outcome = open_loop.saturated(clients, REQUESTS, 0.2, window=10)
    assert len(times.taken) == len(times.late) == 200
    assert np.all(times.taken > times.late)
    assert np.all(times.late >= 0)
    assert outcome.sent == outcome.answered > 0


def test_the_clients_of_the_open_loop_take_turns(sockets: Sockets) -> None:
    router = sockets.bind(zmq.ROUTER)
    seen = []

    def remember() -> None:
        for _ in range(30):
            identity, frame = router.recv_multipart()
            seen.append((identity, wire.decode_request(frame).stream))
            router.send_multipart([identity, predict(frame, 0)])

    endpoint = router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
    with zmtp.Clients(endpoint, 3) as clients, in_thread(remember):
        open_loop.scheduled(clients, REQUESTS, rate=100, seconds=0.3)
    assert len({identity for identity, _ in seen}) == 3
    for turn in range(3):
        of_one = sorted(int(stream[-6:]) for identity, stream in seen if identity == seen[turn][0])
        assert of_one == list(range(of_one[0] % 3, 30, 3))


def test_ctrl_c_ends_the_open_loop(sockets: Sockets) -> None:
    seen = []

    def interrupt_at_the_fifth(frame: bytes, number: int) -> bytes:
        seen.append(number)
        if number == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return predict(frame, number)

    with (
        server(sockets, interrupt_at_the_fifth) as endpoint,
        zmtp.Clients(endpoint, 2) as clients,
        pytest.raises(KeyboardInterrupt),
    ):
        open_loop.scheduled(clients, REQUESTS, rate=20, seconds=20)
    assert len(seen) < 20 * 20


def test_a_stall_delays_all_requests_due_meanwhile() -> None:
    with processes.python_echo() as echo, zmtp.Clients(echo.endpoints["router"], 5) as clients:

        def stall() -> None:
            while not over.wait(0.1):
                os.kill(echo.pid, signal.SIGSTOP)
                time.sleep(0.3)
                os.kill(echo.pid, signal.SIGCONT)

        over = threading.Event()
        with in_thread(stall):
            try:
                times = open_loop.scheduled(clients, echoed(REQUESTS), rate=500, seconds=1)
            finally:
                over.set()
    assert len(times.taken) == 500
    assert np.sum(times.taken > 100_000_000) > 60
    assert np.max(times.taken) > 250_000_000


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse_the_ninth, "1 replies are errors.*it is the ninth"),
        (mistake_the_ninth, "1 are not those.*sensor-000008"),
        (be_too_short, "50 are not those"),
        (forget_the_ninth, "1 of 50 requests were not answered"),
    ],
)
def test_wrong_replies_to_many_clients_are_failures(
    sockets: Sockets,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[bytes, int], bytes | None],
    message: str,
) -> None:
    monkeypatch.setattr(open_loop, "GRACE", 1.0 if answer is forget_the_ninth else 20.0)
    with (
        server(sockets, answer) as endpoint,
        zmtp.Clients(endpoint, 3) as clients,
        pytest.raises(load.LoadError, match=message),
    ):
        open_loop.scheduled(clients, REQUESTS, rate=500, seconds=0.1)


def test_a_reply_without_a_request_is_a_failure(sockets: Sockets) -> None:
    router = sockets.bind(zmq.ROUTER)

    def answer_twice() -> None:
        identity, frame = router.recv_multipart()
        for _ in range(2):
            router.send_multipart([identity, predict(frame, 0)])

    endpoint = router.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
    with (
        in_thread(answer_twice),
        zmtp.Clients(endpoint, 1) as clients,
        pytest.raises(load.LoadError, match="1 are not those"),
    ):
        open_loop.scheduled(clients, REQUESTS, rate=2, seconds=1.5)


def test_large_messages_of_many_clients_are_complete(sockets: Sockets) -> None:
    messages = echoed(blocks(IDS[:520]))
    assert np.min(messages.sizes) > 10_000
    with (
        server(sockets, lambda frame, _: frame) as endpoint,
        zmtp.Clients(endpoint, 3) as clients,
    ):
        assert len(open_loop.scheduled(clients, messages, rate=1000, seconds=0.3).taken) == 300


@pytest.mark.parametrize("messages", [echoed(REQUESTS), echoed(blocks(IDS[:520]))])
def test_an_echo_must_be_exact(sockets: Sockets, messages: Messages) -> None:
    with server(sockets, lambda frame, _: frame) as endpoint:
        dealer = sockets.connect(zmq.DEALER, endpoint)
        assert load.throughput(dealer, messages, 20, count=20).answered == 20
    with server(sockets, lambda frame, n: frame[:-1] + b"x" if n == 3 else frame) as endpoint:
        dealer = sockets.connect(zmq.DEALER, endpoint)
        with pytest.raises(load.LoadError, match="1 are not those"):
            load.throughput(dealer, messages, 20, count=20)


def test_pushed_and_published_messages_are_counted(sockets: Sockets) -> None:
    pull = sockets.bind(zmq.PULL)
    push = sockets.connect(zmq.PUSH, pull.get_string(zmq.LAST_ENDPOINT).rstrip("\0"), SNDHWM=10)
    sent = load.feed(push, REQUESTS, 0.1)
    assert sent > 0
    for n in range(sent):
        assert wire.decode_request(pull.recv()).stream == IDS[n % 50]
    assert not pull.poll(100)
    xpub = sockets.bind(zmq.XPUB)
    endpoint = xpub.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
    subscriber = sockets.connect(zmq.SUB, endpoint, SUBSCRIBE=b"")
    xpub.recv()
    for n in range(30):
        xpub.send_multipart([b"sensor", predict(bytes(REQUESTS.frames[: REQUESTS.frame_at[1]]), n)])
    assert load.listen(subscriber, 1.0) == 30
