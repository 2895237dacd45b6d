"""A short run of `python -m benchmarks.torture`, and violations that its verifier must find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import torture
from benchmarks.live.chaos import KINDS, STORES
from benchmarks.live.publisher import (
    ACCEPTED,
    DELIVERED,
    FLUSHED,
    RECORD,
    event_time,
    model,
    name,
    observations,
)
from benchmarks.live.redis_server import redis_server
from benchmarks.live.verification import Verifier
from streamlstm import Engine
from streamlstm.client.client import Client

from ..exhaustive import exhaustive, short
from .conftest import WorkerProcess

STREAMS, ROWS, SEED = 5, 8, 4


@pytest.mark.parametrize("again", [short(1), exhaustive(3)])
@pytest.mark.parametrize("store", STORES)
def test_nothing_is_lost_by_kills_of_any_kind(tmp_path: Path, store: str, again: int) -> None:
    if store == "redis" and redis_server() is None:
        pytest.skip("needs redis-server: make test")
    rounds = again * (len(KINDS) + (store == "redis"))
    result = torture.torture(
        tmp_path, rounds, streams=200, seed=11, store=store, verify=rounds // 2, longest=0.4
    )
    assert result["faults"] == []
    assert {row["rounds"] for row in result["rows"]} == {again}
    assert result["cuts"] >= 2 * again
    assert result["observations"] > 0
    assert result["replayed"] > 0
    assert result["predictions"] > 0


def test_a_violation_is_reported_with_the_command_that_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def found(
        folder: Path, rounds: int, streams: int, seed: int, store: str, **_: Any
    ) -> dict[str, Any]:
        rows = [{"store": store, "killed": "worker", "rounds": rounds, "longest": None}]
        counts = dict.fromkeys(("seconds", "observations", "predictions", "replayed"), 9)
        result = {"seed": seed, "rounds": rounds, "streams": streams, "rows": rows, **counts}
        return result | {"faults": ["rounds 1 to 3: stream 7: it is lost"]}

    monkeypatch.setattr(torture, "torture", found)
    monkeypatch.setattr(torture.processes, "exit_on_sigterm", lambda: None)
    options = ["--rounds", "3", "--streams", "9", "--store", "lmdb", "--json"]
    monkeypatch.setattr("sys.argv", ["torture", *options])
    with pytest.raises(SystemExit) as left:
        torture.main()
    assert left.value.code == 1
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert (result["bench"], result["rounds"], len(result["faults"])) == ("torture", 3, 1)
    assert "FAULT rounds 1 to 3: stream 7: it is lost" in output.err
    assert f"--store lmdb --rounds 3 --seed {result['seed']} --streams 9" in output.err


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A client of an undisturbed worker, and the records that its publisher would have written."""
    path = tmp_path_factory.mktemp("verified") / "model.safetensors"
    model().save(path)
    process, engine = WorkerProcess(path), Engine(model(), threads=1)
    events = np.zeros(0, RECORD)
    streams, ids = np.arange(STREAMS), [name(n) for n in range(STREAMS)]
    with process.client() as client:
        for seq in range(1, ROWS + 1):
            X = observations(SEED, streams, np.full(STREAMS, seq))
            client.step(ids[0], X[0], seq=seq, time=event_time(seq))
            client.step_many(ids[1:], X[1:], seqs=[seq] * (STREAMS - 1))
            records = np.zeros(STREAMS, RECORD)
            records["stream"], records["seq"] = streams, seq
            records["y"] = engine.step_many(ids, X)
            for kind in (ACCEPTED, DELIVERED, *([FLUSHED] if seq == ROWS else [])):
                records["kind"] = kind
                events = np.append(events, records)
        yield client, events
    process.stop()


def verified(client: Client, events: Any, seed: int = SEED) -> list[str]:
    return Verifier(model(), STREAMS, seed).verify(events, client)


def test_the_verifier_finds_no_violation_in_an_undisturbed_run(fed: tuple[Client, Any]) -> None:
    client, events = fed
    assert verified(client, events) == []
    assert verified(client, np.append(events, events[events["kind"] == DELIVERED])) == []


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (DELIVERED, "drop", "the prediction of observation 3 was never delivered"),
        (DELIVERED, "y", "the prediction of observation 3 was delivered as"),
        (DELIVERED, "seq", "was delivered, the worker is at 8"),
        (ACCEPTED, "seq", "the worker is at observation 8, the publisher had accepted 90"),
        (FLUSHED, "seq", "the publisher had flushed 90"),
    ],
)
def test_the_verifier_finds(fed: tuple[Client, Any], kind: int, change: str, said: str) -> None:
    client, events = fed
    events = events.copy()
    at = np.flatnonzero((events["kind"] == kind) & (events["stream"] == 1))
    row = at[min(2, len(at) - 1)]
    if change == "drop":
        events = np.delete(events, row)
    elif change == "y":
        events["y"][row].view("<u4")[0] ^= 1
    else:
        events["seq"][row] = 90
    faults = verified(client, events)
    assert any(said in fault and "stream 'pump-1'" in fault for fault in faults)


def test_the_verifier_finds_a_state_of_other_observations(fed: tuple[Client, Any]) -> None:
    faults = verified(*fed, seed=SEED + 1)
    assert any("was delivered as" in fault for fault in faults)
    assert any("state differs from byte" in fault for fault in faults)
    assert "and 35 more like this" in faults
