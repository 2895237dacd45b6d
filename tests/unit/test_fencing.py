"""A producer owns the streams that it numbers: others are fenced, until they claim a stream.

The rule is checked against a few lines of Python, on both loops, with whatever comes in between.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.serving.native import layout

from ..contract.models import random_model
from .worker_harness import Harness, harness

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
X = wire.to_floats([1.0, 0.5])
P, Q = 2**64 - 1, 7
LOOPS = ["native", "python"]


@pytest.fixture(params=LOOPS)
def both(request: pytest.FixtureRequest) -> Iterator[Harness]:
    with harness(Engine(MODEL, 8, threads=1), loop=request.param) as made:
        yield made


def ask(made: Harness, message: wire.Request, producer: int = 0, rest: bytes = b"") -> wire.Reply:
    frame = wire.encode(message)
    envelope = [wire.envelope_of(producer, rest)] if producer else []
    (answer,) = made.ask([[*envelope, frame]])
    assert answer[:-1] == envelope
    return wire.decode_reply(answer[-1])


def code(made: Harness, stream: wire.StreamId, seq: int, producer: int = 0) -> str:
    reply = ask(made, wire.Step(stream, seq, X), producer)
    return reply.code if isinstance(reply, wire.Error) else ""


def claim(
    made: Harness, streams: list[wire.StreamId], producer: int, before: int | None = None
) -> list[list[int]]:
    reply = ask(made, wire.Claim(streams, before), producer)
    assert isinstance(reply, wire.Done), reply
    assert (reply.kind, reply.stream) == (wire.Kind.CLAIM, None)
    value: list[list[int]] = reply.value
    return value


def test_who_numbers_first_owns_the_stream(both: Harness) -> None:
    assert code(both, "a", 1, P) == ""
    assert code(both, "a", 2, P) == ""
    refused = ask(both, wire.Step("a", 3, X), Q)
    assert isinstance(refused, wire.Error)
    assert (refused.stream, refused.seq, refused.code, refused.last_seq) == ("a", 3, "fenced", 2)
    assert "'a'" in refused.message
    assert code(both, "a", 2, Q) == "fenced"  # not duplicate: it is not the one that was applied
    assert code(both, "a", 9, Q) == "fenced"
    assert code(both, "a", 2, P) == "duplicate"
    assert code(both, "a", 4, P) == "gap"
    assert code(both, "a", 3, P) == ""
    assert claim(both, ["a", "none"], Q) == [[3, P], [0, 0]]
    assert code(both, "a", 4, P) == "fenced"
    assert code(both, "a", 4, Q) == ""


def test_a_sender_without_identity_is_not_fenced_and_fences(both: Harness) -> None:
    assert code(both, 7, 1, P) == ""
    assert code(both, 7, 0) == ""  # not numbered: it changes nothing
    assert code(both, 7, 0, Q) == ""
    assert code(both, 7, 2, P) == ""
    assert code(both, 7, 3) == ""
    assert code(both, 7, 4, P) == "fenced"
    assert claim(both, [7], P, before=P) == [[3, 0]]
    assert code(both, 7, 4, P) == "fenced"  # it was nobody's, and stays so
    assert claim(both, [7], P, before=0) == [[3, 0]]
    assert code(both, 7, 4, P) == ""
    both.feed([wire.encode(wire.Step(7, 5, X))])  # nor has the PULL socket any
    assert code(both, 7, 6, P) == "fenced"


def test_a_conditional_claim_takes_only_what_is_before_s(both: Harness) -> None:
    for stream, producer in (("p", P), ("q", Q), ("nobody", 0)):
        assert code(both, stream, 1, producer) == ""
    assert code(both, "unnumbered", 0) == ""
    streams: list[wire.StreamId] = ["p", "q", "nobody", "unnumbered", "absent", "p"]
    assert claim(both, streams, 5, before=P) == [[1, P], [1, Q], [1, 0], [0, 0], [0, 0], [1, P]]
    assert claim(both, streams, 6, before=0) == [[1, 5], [1, Q], [1, 0], [0, 0], [0, 0], [1, 5]]
    assert claim(both, streams, 6, before=1) == [[1, 5], [1, Q], [1, 6], [0, 6], [0, 0], [1, 5]]
    assert code(both, "unnumbered", 1, 5) == "fenced"
    assert code(both, "absent", 1, 5) == ""  # a claim makes no stream
    assert "absent" in both.service.engine


def test_a_claim_needs_an_identity(both: Harness) -> None:
    for envelope in ([], [b"PRD\1" + bytes(7)], [b"PRD\1" + bytes(8)], [b"PRE\1" + b"\1" * 8]):
        (answer,) = both.ask([[*envelope, wire.encode(wire.Claim(["a"], None))]])
        refused = wire.decode_reply(answer[-1])
        assert isinstance(refused, wire.Error)
        assert refused.code == "bad-frame"
        assert "CLAIM: envelope: expected the identity" in refused.message
    both.feed([wire.encode(wire.Claim(["a"], None))])
    assert both.service.counters.errors["unknown-kind"] == 1


def test_only_the_last_frame_of_an_envelope_counts(both: Harness) -> None:
    frame = wire.encode(wire.Step("a", 1, X))
    p, q = wire.envelope_of(P, b"rest" * 60), wire.envelope_of(Q)
    both.ask([[q, b"", p, frame]])
    table = both.service.engine._table
    assert table.producers[table.find("a")] == P
    both.ask([[p] * 8 + [wire.encode(wire.Step("a", 2, X))]])
    both.ask([[p, b"", wire.encode(wire.Step("b", 1, X))]])  # a REQ behind a proxy, say
    assert table.producers[table.find("b")] == 0
    both.ask([[b"number", q, wire.encode(wire.Step("c", 1, X))]])
    assert table.producers[table.find("c")] == Q


def test_a_steps_is_fenced_as_a_whole(both: Harness) -> None:
    assert code(both, "b", 1, Q) == ""
    steps = wire.Steps(["new", "a", "b", "a"], [1, 1, 2, 2], X * 4)
    refused = ask(both, steps, P)
    assert isinstance(refused, wire.Error)
    assert (refused.stream, refused.seq, refused.code, refused.last_seq) == ("b", 2, "fenced", 1)
    assert both.service.engine.streams() == ["b"]
    assert isinstance(ask(both, steps, Q), wire.Predictions)
    assert code(both, "a", 3, P) == "fenced"
    # Unnumbered rows are not looked at.
    mixed = wire.Steps(["a", "b", "other"], [0, 0, 1], X * 3)
    assert isinstance(ask(both, mixed, P), wire.Predictions)


def test_reset_and_forget_leave_no_owner(both: Harness) -> None:
    for request in (wire.Reset("a"), wire.Forget("a")):
        assert code(both, "a", 1, P) == ""
        ask(both, request)
        assert code(both, "a", 1, Q) == ""
        ask(both, wire.Forget("a"))


def test_one_batch_of_several_senders(both: Harness) -> None:
    """What comes before in a batch decides, as if each message had come by itself."""
    nan = wire.to_floats([float("nan"), 0.0])
    messages = [
        (P, wire.Step("a", 1, X), ""),
        (Q, wire.Step("a", 2, X), "fenced"),
        (P, wire.Step("b", 1, nan), "bad-value"),
        (Q, wire.Step("b", 1, X), ""),  # which the refused one did not take
        (0, wire.Step("c", 1, X), ""),
        (P, wire.Step("c", 2, X), "fenced"),
        (P, wire.Steps(["d", "d"], [1, 2], X * 2), ""),
        (0, wire.Step("d", 3, X), ""),
        (P, wire.Steps(["e", "d"], [1, 4], X * 2), "fenced"),
        (Q, wire.Step("e", 1, X), ""),
    ]
    frames = [
        [*([wire.envelope_of(producer)] if producer else [b"x"]), wire.encode(message)]
        for producer, message, _ in messages
    ]
    replies = [wire.decode_reply(answer[-1]) for answer in both.ask(frames)]
    codes = [reply.code if isinstance(reply, wire.Error) else "" for reply in replies]
    assert codes == [expected for _, _, expected in messages]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("seed", range(3))
def test_the_rule(loop: str, seed: int) -> None:
    """Random messages of three senders: both loops do what a dictionary does."""
    chance = random.Random(seed)
    streams: list[wire.StreamId] = ["a", "b", 3]
    state: dict[wire.StreamId, tuple[int, int]] = {}
    with harness(Engine(MODEL, 8, threads=1), loop=loop) as made:
        for _ in range(400):
            producer, stream = chance.choice([0, P, Q]), chance.choice(streams)
            last, owner = state.get(stream, (0, 0))
            what = chance.random()
            if what < 0.15 and producer:
                before = chance.choice([None, 0, P, Q])
                assert claim(made, [stream], producer, before) == [[last, owner]]
                if stream in state and (before is None or owner in (before, producer)):
                    state[stream] = last, producer
                continue
            if what < 0.2:
                ask(made, wire.Forget(stream))
                state.pop(stream, None)
                continue
            seq = chance.choice([0, last + 1, last + 1, last + 1, max(last, 1), last + 2])
            expected = ""
            if seq and producer and producer != owner and (owner or last):
                expected = "fenced"
            elif seq:
                expected = "duplicate" if seq <= last else "gap" if seq > last + 1 else ""
            assert code(made, stream, seq, producer) == expected
            if not expected:
                state[stream] = (seq, producer) if seq else (last, owner)


def test_the_producer_s_messages_stay_in_the_compiled_loop() -> None:
    with harness(Engine(MODEL, 100, threads=1)) as made:
        envelope = wire.envelope_of(P, bytes(8))
        frames = [[envelope, wire.encode(wire.Step("a", n, X))] for n in range(1, 6)]
        steps = wire.Steps(["b", "c", "b"], [1, 1, 2], X * 3)
        made.ask([*frames, [envelope, wire.encode(steps)]])
        assert made.service.engine.steps == 8
        assert made.service.counters[layout.HANDED_OVER] == 0
