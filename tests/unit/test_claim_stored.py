"""CLAIM of streams that are in the store only: they are loaded where their producer changes."""

from __future__ import annotations

from pathlib import Path

from streamlstm import Engine, wire
from streamlstm.serving.access.client_accounts import Account
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.service import Service
from streamlstm.serving.sessions import Session

from .small_service import MODEL, ONES, code_of, commit, small, step
from .test_store import opened

P, Q = 11, 2**64 - 1


def ask(
    service: Service, message: wire.Request, producer: int, session: Session | None = None
) -> wire.Reply:
    answers = service.handle([wire.encode(message)], (), True, [session], {0: producer})
    return wire.decode_reply(answers[0].reply)


def claim(
    service: Service, streams: list[wire.StreamId], producer: int, before: int | None = None
) -> list[list[int]]:
    reply = ask(service, wire.Claim(streams, before), producer)
    assert isinstance(reply, wire.Done), reply
    value: list[list[int]] = reply.value
    return value


def test_claims_of_evicted_streams(tmp_path: Path) -> None:
    with small(tmp_path, capacity=4) as (engine, checkpointer, eviction, service):
        for n in range(8):
            assert isinstance(
                ask(service, wire.Step(n, 1, ONES), P if n % 2 else Q), wire.Prediction
            )
        commit(checkpointer)
        assert eviction.evicted >= 4
        returned = service.returned
        stored = [n for n in range(8) if n not in engine]
        # Looked up only: they are not before's, or the sender's already.
        before = {n: P if n % 2 else Q for n in range(8)}
        assert claim(service, list(range(8)), 5, before=6) == [[1, before[n]] for n in range(8)]
        mine = [n for n in stored if before[n] == P]
        assert claim(service, [*mine], P) == [[1, P]] * len(mine)
        assert service.returned == returned
        assert [n for n in range(8) if n not in engine] == stored
        # Taken: loaded, changed, and committed before they leave memory again.
        assert claim(service, stored[:2], 5) == [[1, before[n]] for n in stored[:2]]
        assert service.returned == returned + 2
        commit(checkpointer)
        for n in range(100, 104):
            ask(service, wire.Step(n, 0, ONES), 0)
        commit(checkpointer)
        assert not any(n in engine for n in stored[:2])
        for n in stored[:2]:
            assert code_of(ask(service, wire.Step(n, 2, ONES), before[n])) == "fenced"
            assert isinstance(ask(service, wire.Step(n, 2, ONES), 5), wire.Prediction)
        # More than fit at once: the sender divides it. Nothing has changed.
        assert code_of(ask(service, wire.Claim(list(range(8)), None), 6)) == "capacity"
        assert [owner for _, owner in claim(service, stored[:2], 7, before=0)] == [5, 5]


def test_a_restart_keeps_claims(tmp_path: Path) -> None:
    place = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODEL, threads=1)
    with opened(engine, place) as checkpointer:
        service = Service(engine, checkpointer=checkpointer)
        service.handle([step("a", 1), step("b", 1)])
        assert claim(service, ["a"], P) == [[1, 0]]
        commit(checkpointer)
    again = Engine(MODEL, threads=1)
    with opened(again, place) as checkpointer:
        service = Service(again, checkpointer=checkpointer)
        assert claim(service, ["a", "b", "c"], 5, before=9) == [[1, P], [1, 0], [0, 0]]
        assert len(again) == 0
        assert code_of(ask(service, wire.Step("a", 2, ONES), Q)) == "fenced"


def test_a_quota_counts_what_a_claim_loads(tmp_path: Path) -> None:
    place = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODEL, threads=1)
    with opened(engine, place) as checkpointer:
        Service(engine, checkpointer=checkpointer).handle([step(n, 1) for n in range(5)])
        commit(checkpointer)
    again = Engine(MODEL, threads=1)
    with opened(again, place) as checkpointer:
        service = Service(again, checkpointer=checkpointer, limits=Limits(streams=3))
        session = Session(0, Account(1, b"A", True))
        refused = ask(service, wire.Claim([0, 1, 2, 3], None), P, session)
        assert code_of(refused) == "capacity"
        assert len(again) == 0
        assert isinstance(ask(service, wire.Claim([0, 1, 2], None), P, session), wire.Done)
        assert code_of(ask(service, wire.Claim([3], None), P, session)) == "capacity"
        assert isinstance(ask(service, wire.Claim([0, 3], 77), P, session), wire.Done)
