"""The short version of `python -m benchmarks.torture`, and a judge that finds what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import torture
from benchmarks.live.source import (
    DELIVERED,
    ENDED,
    RECORD,
    TAKEN,
    event_time,
    model,
    name,
    observations,
)
from benchmarks.live.witness import Judge
from streamlstm import Engine
from streamlstm.client.client import Client

from .conftest import WorkerProcess

STREAMS, ROWS, SEED = 5, 8, 4


def test_killed_in_every_way_nothing_is_lost(tmp_path: Path) -> None:
    result = torture.torture(tmp_path, rounds=12, streams=200, seed=11, look=6, longest=0.4)
    assert result["faults"] == []
    assert [row["rounds"] for row in result["rows"]] == [3, 3, 3, 3]
    assert result["cuts"] >= 6
    assert result["observations"] > 0
    assert result["replayed"] > 0
    assert result["predictions"] > 0


def test_a_fault_is_told_with_what_repeats_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def found(folder: Path, rounds: int, streams: int, seed: int) -> dict[str, Any]:
        rows = [{"killed": "worker", "rounds": rounds, "longest": None}]
        counts = dict.fromkeys(("seconds", "observations", "predictions", "replayed"), 9)
        told = {"seed": seed, "rounds": rounds, "streams": streams, "rows": rows, **counts}
        return told | {"faults": ["rounds 1 to 3: stream 7: it is lost"]}

    monkeypatch.setattr(torture, "torture", found)
    monkeypatch.setattr(torture.processes, "ended_by_sigterm", lambda: None)
    monkeypatch.setattr("sys.argv", ["torture", "--rounds", "3", "--streams", "9", "--json"])
    with pytest.raises(SystemExit) as left:
        torture.main()
    assert left.value.code == 1
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert (result["bench"], result["rounds"], len(result["faults"])) == ("torture", 3, 1)
    assert "FAULT rounds 1 to 3: stream 7: it is lost" in told.err
    assert f"--seed {result['seed']} --rounds 3 --streams 9" in told.err


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A worker that was fed in peace, and what its publisher would have told."""
    path = tmp_path_factory.mktemp("judged") / "model.safetensors"
    model().save(path)
    process, engine = WorkerProcess(path), Engine(model(), threads=1)
    told = np.zeros(0, RECORD)
    streams, ids = np.arange(STREAMS), [name(n) for n in range(STREAMS)]
    with process.client() as client:
        for seq in range(1, ROWS + 1):
            X = observations(SEED, streams, np.full(STREAMS, seq))
            client.step(ids[0], X[0], seq=seq, time=event_time(seq))
            client.step_many(ids[1:], X[1:], seqs=[seq] * (STREAMS - 1))
            records = np.zeros(STREAMS, RECORD)
            records["stream"], records["seq"] = streams, seq
            records["y"] = engine.step_many(ids, X)
            for kind in (TAKEN, DELIVERED, *([ENDED] if seq == ROWS else [])):
                records["kind"] = kind
                told = np.append(told, records)
        yield client, told
    process.stop()


def judged(client: Client, told: Any, seed: int = SEED) -> list[str]:
    return Judge(model(), STREAMS, seed).judge(told, client)


def test_the_judge_finds_nothing_where_nothing_is_wrong(fed: tuple[Client, Any]) -> None:
    client, told = fed
    assert judged(client, told) == []
    assert judged(client, np.append(told, told[told["kind"] == DELIVERED])) == []


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        (DELIVERED, "drop", "the prediction of observation 3 was never delivered"),
        (DELIVERED, "y", "the prediction of observation 3 was delivered as"),
        (DELIVERED, "seq", "was delivered, the worker stands at 8"),
        (TAKEN, "seq", "the worker stands at observation 8, the publisher had taken 90"),
        (ENDED, "seq", "the publisher had counted at its end 90"),
    ],
)
def test_the_judge_finds(fed: tuple[Client, Any], kind: int, change: str, said: str) -> None:
    client, told = fed
    told = told.copy()
    at = np.flatnonzero((told["kind"] == kind) & (told["stream"] == 1))
    row = at[min(2, len(at) - 1)]
    if change == "drop":
        told = np.delete(told, row)
    elif change == "y":
        told["y"][row].view("<u4")[0] ^= 1
    else:
        told["seq"][row] = 90
    faults = judged(client, told)
    assert any(said in fault and "stream 'pump-1'" in fault for fault in faults)


def test_the_judge_finds_a_state_of_other_observations(fed: tuple[Client, Any]) -> None:
    faults = judged(*fed, seed=SEED + 1)
    assert any("was delivered as" in fault for fault in faults)
    assert any("state differs from byte" in fault for fault in faults)
    assert "and 35 more like this" in faults
