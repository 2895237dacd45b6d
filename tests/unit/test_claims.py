"""What a replaying publisher claims, and what the replies mean, without a worker."""

from __future__ import annotations

import pytest

from streamlstm import wire
from streamlstm.client.replay.claims import Claims
from streamlstm.client.replay.outbox import Entry, Outbox
from streamlstm.errors import StreamLSTMError

OWN, FORMER, OTHER = 1, 2, 3


def made(tries: int, *formers: int) -> tuple[Outbox, Claims]:
    """Observations 6 to 8 of a stream, after a journal or a reconnect."""
    outbox = Outbox(one_in_flight=False)
    claims = Claims(OWN, formers, outbox, 2**20)
    for seq in (6, 7, 8):
        outbox.add(Entry(wire.Step("s", seq, bytes(8)), tries))
    claims.restart(everything=True)
    return outbox, claims


def next_claim(claims: Claims) -> wire.Claim:
    claim = claims.next()
    assert claim is not None
    return claim


def test_a_stream_that_is_claimed_twice_is_resumed_once() -> None:
    """For its unconfirmed observations and for a call that waits: both may be in flight."""
    outbox, claims = made(1, FORMER)
    first = next_claim(claims)
    claims.want(["s"])
    second = next_claim(claims)
    assert first == second == wire.Claim(["s"], FORMER)
    claims.handle(first, [(5, FORMER)])
    claims.handle(second, [(8, OWN)])  # what came over the connection before has arrived late
    assert [entry.seq for entry in outbox.next_message(2**20, 5)] == [6, 7, 8]
    assert outbox.next_message(2**20, 5) == []
    assert claims.claimed == {"s"}


def test_a_claim_that_was_not_granted_is_repeated_as_it_stands() -> None:
    outbox, claims = made(1, FORMER, OTHER)
    claims.handle(next_claim(claims), [(7, FORMER)])  # of the former one before the last
    assert outbox.next_message(2**20, 5) == []
    again = next_claim(claims)
    assert again == wire.Claim(["s"], FORMER)
    claims.handle(again, [(7, FORMER)])
    assert [entry.seq for entry in outbox.next_message(2**20, 5)] == [8]
    assert claims.next() is None


@pytest.mark.parametrize(
    ("tries", "last", "producer", "goes_on"),
    [
        (1, 5, OTHER, True),  # at the first contact, and nothing is in doubt
        (0, 5, OTHER, True),
        (1, 8, FORMER, True),
        (1, 15, FORMER, True),  # the journal is an old copy, or lost its end
        (1, 6, OTHER, False),
        (1, 6, 0, False),
        (0, 6, OWN, False),  # what was never sent was not applied
        (0, 6, FORMER, False),
        (1, 4, FORMER, False),  # lost state
    ],
)
def test_whether_it_goes_on(tries: int, last: int, producer: int, goes_on: bool) -> None:
    _, claims = made(tries, FORMER)
    claim = next_claim(claims)
    if goes_on:
        claims.handle(claim, [(last, producer)])
    else:
        with pytest.raises(StreamLSTMError, match=r"in doubt|not applied|lost state"):
            claims.handle(claim, [(last, producer)])


def test_who_took_the_stream_over_keeps_it_after_a_reconnect() -> None:
    """But the one that it was taken from may have it again, if the worker lost the claim."""
    for producer, goes_on in ((OTHER, False), (FORMER, True), (0, True)):
        outbox, claims = made(1)
        claims.handle(next_claim(claims), [(5, FORMER)])
        claims.handle(next_claim(claims), [(5, FORMER)])
        assert len(outbox.next_message(2**20, 5)) == 3
        claims.restart(everything=True)
        claim = next_claim(claims)
        assert claim.before == OWN
        if goes_on:
            claims.handle(claim, [(5, producer)])
            assert next_claim(claims).before == producer
        else:
            with pytest.raises(StreamLSTMError, match="not applied: 6 to 8"):
                claims.handle(claim, [(5, producer)])


def test_claims_are_divided() -> None:
    outbox = Outbox(one_in_flight=False)
    claims = Claims(OWN, (), outbox, 200)
    claims.want([*range(30), "x" * 255])
    claims.restart(everything=True)
    sizes = []
    while (claim := claims.next()) is not None:
        sizes.append(len(claim.streams))
        assert len(claim.streams) == 1 or len(wire.encode(claim)) <= 200
    assert sum(sizes) == 31
    claims.divide(wire.Claim(list(range(8)), None))
    assert [len(next_claim(claims).streams) for _ in range(2)] == [4, 4]
