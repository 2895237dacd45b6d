"""What a worker makes of changes of the model that its fleet begins and gives up again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlstm import LSTM, Dense, Engine
from streamlstm.serving.fleet_reload import DONE, PREPARED, REFUSED, FleetReload
from streamlstm.serving.service import Service

from ..contract.models import random_model

FIRST, SECOND = (random_model([LSTM(2, 3), Dense(3, 1)], seed=seed) for seed in (1, 2))
TIMEOUT = 30.0


def test_what_follows_a_change_that_was_given_up_is_not_taken_for_it(tmp_path: Path) -> None:
    """Its order comes when the outcome of the other one is there, and nobody has been told yet."""
    file = tmp_path / "model.safetensors"
    FIRST.save(file)
    SECOND.save(tmp_path / "next")
    told: list[tuple[int, str, Any]] = []
    service = Service(Engine(FIRST), model_file=file)
    change = FleetReload(service, lambda *said: told.append(said), tmp_path)

    def turn_until(done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not done():
            assert time.monotonic() < deadline, told
            change.turn(service.reload(False))

    change.commands["prepare"](1, False, "next")
    turn_until(lambda: bool(told))
    change.commands["cancel"](1, "another worker refuses it")
    outcome = service.reload(False)
    assert outcome is not None
    change.commands["prepare"](2, False, "next")
    change.turn(outcome)
    turn_until(lambda: len(told) == 3)
    change.commands["switch"](2)
    turn_until(lambda: len(told) == 4)
    assert [each[:2] for each in told] == [(1, PREPARED), (1, REFUSED), (2, PREPARED), (2, DONE)]
    assert service.engine.model.fingerprint == SECOND.fingerprint


def test_what_was_given_up_before_it_began_never_begins(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    FIRST.save(file)
    told: list[tuple[int, str, Any]] = []
    service = Service(Engine(FIRST), model_file=file)
    change = FleetReload(service, lambda *said: told.append(said), tmp_path)
    change.commands["prepare"](1, False, "model.safetensors")
    change.commands["cancel"](1, "another worker refuses it")
    change.commands["prepare"](2, False, "model.safetensors")
    change.commands["cancel"](2, "another worker refuses it")
    deadline = time.monotonic() + TIMEOUT
    while (1, REFUSED) not in [each[:2] for each in told]:
        assert time.monotonic() < deadline
        change.turn(service.reload(False))
    change.commands["prepare"](3, False, "model.safetensors")
    while (3, PREPARED) not in [each[:2] for each in told]:
        assert time.monotonic() < deadline
        change.turn(service.reload(False))
    assert 2 not in [each[0] for each in told]
    service.stop_reloading()
