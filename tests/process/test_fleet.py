"""A fleet of real workers: streams move between them and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from streamlstm import Engine, Model, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import BadValueError

from .conftest import MODEL
from .fleet_process import FleetProcess, PlainSockets

STREAMS: list[int | str] = [*range(40), *(f"pump-{n}" for n in range(40))]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    folder = tmp_path_factory.mktemp("fleet")
    MODEL.save(folder / "model.safetensors")
    fleet = FleetProcess(folder / "model.safetensors", folder)
    yield fleet
    assert fleet.stop() == 0, "".join(fleet.lines)


@pytest.fixture
def sockets(fleet: FleetProcess) -> Iterator[PlainSockets]:
    sockets = PlainSockets(next(iter(fleet.workers().values()))["router"])
    yield sockets
    sockets.close()


def test_partitions_move_under_load_and_nothing_is_lost(
    fleet: FleetProcess, sockets: PlainSockets
) -> None:
    reference = Engine(Model.load(fleet.endpoints.parent / "model.safetensors"))
    values = np.random.default_rng(3).normal(size=(12, len(STREAMS), 2)).astype(np.float32)
    for round_, rows in enumerate(values, start=1):
        if round_ == 3:
            fleet.ask("scale", 3)
        if round_ == 8:
            fleet.ask("drain", "w0")
        for stream, x in zip(STREAMS, rows, strict=True):
            found = sockets.step(stream, round_, x.tolist())
            assert (found.values == reference.step(stream, x, seq=round_)).all()
    for stream in STREAMS:
        state = sockets.ask(stream, wire.Export(stream))
        assert isinstance(state, wire.Done)
        assert state.value == reference.export_stream(stream)


def test_one_partition_moves_to_the_worker_that_is_named(
    fleet: FleetProcess, sockets: PlainSockets
) -> None:
    sockets.step("named", 1, [1.0, 2.0])
    partition = int(partitions_of(["named"])[0])
    before = sockets.routers[partition]
    name, after = next(
        (name, each["router"])
        for name, each in fleet.workers().items()
        if each["router"] not in (None, before)
    )
    while fleet.ask("status")["moving"]:
        sockets.ask("named", wire.Last(["named"]))
    fleet.ask("move", partition, name)
    assert sockets.step("named", 2, [1.0, 2.0]).seq == 2
    while sockets.routers[partition] != after:
        sockets.ask("named", wire.Last(["named"]))


def test_what_is_wrong_is_refused_with_the_reason(fleet: FleetProcess) -> None:
    with pytest.raises(BadValueError, match="expected one of w"):
        fleet.ask("move", 3, "nobody")
    with pytest.raises(BadValueError, match="1 or more"):
        fleet.ask("scale", 0)
