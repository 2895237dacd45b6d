"""A gateway between clients and workers that a test plays: order, losses, bounds."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import EndpointError
from streamlstm.fleet.gateway import gateway_endpoints, serve_gateway
from streamlstm.serving.native import layout

from .gateway_world import World

X = wire.to_floats([1.0, 2.0])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def stream_of(worker: int, name: str) -> tuple[str, int]:
    """Return a stream whose partition has this remainder: a worker's, at first; and it."""
    for n in range(1_000):
        partition = int(partitions_of([f"{name}-{n}"])[0])
        if partition % 3 == worker:
            return f"{name}-{n}", partition
    raise AssertionError


def prediction(stream: wire.StreamId, seq: int) -> wire.Prediction:
    return wire.Prediction(stream, seq, wire.to_floats([0.5]))


@pytest.mark.parametrize("seed", range(6))
def test_requests_of_a_stream_are_applied_once_and_in_order(world: World, seed: int) -> None:
    chance = random.Random(seed)
    streams = [stream_of(n % 3, f"s{n}") for n in range(7)]
    arriving: set[int] = set()
    moves: dict[int, int] = defaultdict(int)  # of each partition
    applied: dict[tuple[str, str], list[int]] = defaultdict(list)  # of client and stream
    back: list[deque[tuple[list[bytes], wire.Reply]]] = [deque() for _ in range(3)]
    clients = {name: world.connect() for name in ("one", "two")}
    sent, answered, refused = 0, 0, 0
    world.tell()
    while answered < sent or sent < 1_200:
        if sent < 1_200 and chance.random() < 0.6:
            name = chance.choice([*clients])
            stream, _ = chance.choice(streams)
            step = wire.Step(stream, 0, wire.to_floats([sent, name == "one"]))
            clients[name].send_multipart([sent.to_bytes(4, "big"), wire.encode(step)])
            sent += 1
        if chance.random() < 0.02:
            _, partition = chance.choice(streams)
            in_flight = any(
                isinstance(reply, wire.Prediction) and int(partitions_of([reply.stream])[0])
                == partition for replies in back for _, reply in replies
            )  # fmt: skip
            if partition in arriving:
                arriving.discard(partition)
            elif not in_flight:
                # Never back at once: a move takes longer than a request is under way.
                world.move(partition, (world.table.owners[partition] + 1) % 3)
                arriving.add(partition)
                moves[partition] += 1
                if chance.random() < 0.5:
                    world.tell()
        if chance.random() < 0.01:
            arriving.clear()
        for worker in range(3):
            while (found := world.receive(worker)) is not None:
                route, request = found
                assert isinstance(request, wire.Step)
                partition = int(partitions_of([request.stream])[0])
                owner = world.table.owner(partition)
                assert owner is not None
                if owner != world.workers[worker]:
                    there = wire.Owner(int(world.table.epochs[partition]), owner.router)
                    reply: wire.Reply = wire.Error(
                        request.stream, 0, "moved", "elsewhere", partition, owner=there
                    )
                elif partition in arriving:
                    reply = wire.Error(request.stream, 0, "busy", "on its way", 5)
                else:
                    number, is_one = wire.from_floats(request.x)
                    name = "one" if is_one else "two"
                    applied[name, str(request.stream)].append(int(number))
                    reply = prediction(request.stream, 0)
                back[worker].append((route, reply))
            while back[worker] and chance.random() < 0.8:
                world.reply(worker, *back[worker].popleft())
        for client in clients.values():
            while client.poll(0):
                _, frame = client.recv_multipart()
                answered += 1
                answer = wire.decode_reply(frame)
                if isinstance(answer, wire.Error) and answer.code == "busy":
                    # To a gateway that saw none of three moves the owner is the one it knew.
                    assert answer.stream is not None
                    assert moves[int(partitions_of([answer.stream])[0])] >= len(world.workers)
                    refused += 1
                else:
                    assert isinstance(answer, wire.Prediction), answer
        if sent >= 1_200:
            arriving.clear()
    assert sum(map(len, applied.values())) == sent - refused
    assert all(numbers == sorted(numbers) for numbers in applied.values())


def test_what_a_dead_worker_had_is_sent_again_or_in_doubt(world: World) -> None:
    client, (stream, partition) = world.connect(), stream_of(0, "a")
    world.tell()
    client.send_multipart([b"6", wire.encode(wire.Step(stream, 6, X))])
    route, _ = world.wait(0)  # a new owner gets one alone, until it has answered
    world.reply(0, route, prediction(stream, 6))
    client.recv_multipart()
    for seq in (0, 7, 8):
        client.send_multipart([b"%d" % seq, wire.encode(wire.Step(stream, seq, X))])
    for _ in range(3):
        world.wait(0)
    world.move(partition, 1)
    world.tell(0)
    number, frame = client.recv_multipart()
    refused = wire.decode_reply(frame)
    assert (number, type(refused)) == (b"0", wire.Error)
    assert isinstance(refused, wire.Error)
    assert (refused.stream, refused.code) == (stream, "error")
    assert "whether it was applied is not known" in refused.message
    route, again = world.wait(1)
    assert again == wire.Step(stream, 7, X)
    # The worker that died had applied and committed it.
    y = wire.to_floats([0.25])
    world.reply(1, route, wire.Error(stream, 7, "duplicate", "applied before", 7, y))
    assert client.recv_multipart() == [b"7", wire.encode(wire.Prediction(stream, 7, y))]
    route, again = world.wait(1)
    assert again == wire.Step(stream, 8, X)
    world.reply(1, route, prediction(stream, 8))
    assert client.recv_multipart() == [b"8", wire.encode(prediction(stream, 8))]
    # What was not committed there is lost with it: nothing counts as received.
    client.send_multipart([b"b", wire.encode(wire.Barrier(9, 4))])
    for worker in (1, 2):
        route, barrier = world.wait(worker)
        assert barrier == wire.Barrier(9, 0)
        world.reply(worker, route, wire.Done(wire.Kind.BARRIER, None, [9, 0]))
    reply = wire.decode_reply(client.recv_multipart()[1])
    assert reply == wire.Done(wire.Kind.BARRIER, None, [9, 0])


def test_a_worker_that_does_not_answer_cannot_fill_the_gateway(world: World) -> None:
    client, other = world.connect(), world.connect()
    (stuck, _), (quick, _) = stream_of(0, "stuck"), stream_of(1, "quick")
    client.set(zmq.SNDHWM, 0)
    world.tell()
    frame = wire.encode(wire.Step(stuck, 0, X))
    sent = 12_000  # more than the half of the queue that one client may have
    for _ in range(sent):
        client.send_multipart([b"1", frame])
    refused = wire.decode_reply(client.recv_multipart()[1])
    assert isinstance(refused, wire.Error)
    assert refused.code == "busy"
    other.send_multipart([b"2", wire.encode(wire.Step(quick, 0, X))])
    route, _ = world.wait(1)
    world.reply(1, route, prediction(quick, 0))
    assert other.recv_multipart() == [b"2", wire.encode(prediction(quick, 0))]
    there = 0
    while world.receive(0) is not None:
        there += 1
    assert 0 < there <= 500
    assert world.gateway.counters[layout.QUEUED] <= 16_384


def test_steps_of_several_workers_are_joined_and_follow_moved(world: World) -> None:
    client = world.connect()
    streams = [stream_of(n % 3, f"part-{n}") for n in range(9)]
    world.tell()
    names: list[wire.StreamId] = [stream for stream, _ in streams]
    seqs = list(range(1, 10))
    steps = wire.Steps(names, seqs, wire.to_floats(np.arange(18.0)))
    client.send_multipart([b"1", wire.encode(steps)])
    world.move(streams[1][1], 2)  # of w1, which says so
    rows = {}
    refused = False
    while len(rows) < 9:
        for worker in range(3):
            if (found := world.receive(worker)) is None:
                continue
            route, part = found
            assert isinstance(part, wire.Steps)
            assert part.seqs is not None
            if worker == 1 and names[1] in part.streams:
                there = wire.Owner(2, world.workers[2].router)
                moved = wire.Error(names[1], 2, "moved", "there", streams[1][1], owner=there)
                world.reply(1, route, moved)
                refused = True
                continue
            for row, (stream, seq) in enumerate(zip(part.streams, part.seqs, strict=True)):
                assert wire.rows_of(part.X, [row], len(part.streams)) == wire.to_floats(
                    [2.0 * seq - 2, 2.0 * seq - 1]
                )
                rows[stream] = worker
            Y = wire.to_floats(part.seqs)
            extra = {"score": wire.to_floats([10 * seq for seq in part.seqs])}
            world.reply(worker, route, wire.Predictions(part.streams, part.seqs, Y, extra))
    assert refused
    assert rows[names[1]] == 2
    reply = wire.decode_reply(client.recv_multipart()[1])
    assert isinstance(reply, wire.Predictions)
    assert (reply.streams, reply.seqs) == (names, seqs)
    assert wire.to_floats(seqs) == reply.Y
    assert reply.extra == {"score": wire.to_floats([10 * seq for seq in seqs])}


def test_an_address_that_is_taken_is_told_as_that_of_the_gateway(tmp_path: Path) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as taken:
        port = taken.bind_to_random_port("tcp://127.0.0.1")
        endpoints = gateway_endpoints(f"tcp://127.0.0.1:{port}")
        with pytest.raises(EndpointError, match=f"^--gateway, router tcp://127.0.0.1:{port}: "):
            serve_gateway(f"ipc://{tmp_path}/control", endpoints, lambda _: None)


@pytest.mark.parametrize(
    ("router", "pull", "xpub"),
    [
        ("tcp://127.0.0.1:5555", "tcp://127.0.0.1:5556", "tcp://127.0.0.1:5557"),
        ("tcp://[::1]:*", "tcp://[::1]:*", "tcp://[::1]:*"),
        ("ipc:///tmp/here", "ipc:///tmp/here.pull", "ipc:///tmp/here.xpub"),
    ],
)
def test_the_other_sockets_are_beside_the_first(router: str, pull: str, xpub: str) -> None:
    assert gateway_endpoints(router) == {"router": router, "pull": pull, "xpub": xpub}
