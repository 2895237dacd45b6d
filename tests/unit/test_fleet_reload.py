"""A fleet changes its model: no worker switches before all have prepared, whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from streamlstm.fleet.actions import Stop, Tell
from streamlstm.fleet.reload import IS_DONE, IS_REFUSED, PREPARES, SWITCHES, Reload


class Worker:
    def __init__(self) -> None:
        self.model, self.held, self.lives = "old", False, True


@pytest.mark.parametrize("seed", range(60))
def test_all_change_or_none(seed: int) -> None:
    """Replies come in any order, workers die and refuse at any time; those that live agree."""
    rng = np.random.default_rng(seed)
    workers = {f"w{n}": Worker() for n in range(int(rng.integers(1, 7)))}
    reload = Reload(1, "new.safetensors", anew=False, at_once=bool(rng.integers(2)))
    dying, refusing = rng.choice([0, 0.02, 0.2], 2)
    queue = list(reload.begin(list(workers)))
    while queue:
        to = queue[int(rng.integers(len(queue)))].worker  # each link keeps its order
        action = next(each for each in queue if each.worker == to)
        queue.remove(action)
        if isinstance(action, Stop):
            workers[action.worker].lives = False
            queue += reload.died(action.worker)
            continue
        assert isinstance(action, Tell)
        name, worker = action.worker, workers[action.worker]
        if worker.lives and rng.random() < dying:
            worker.lives = False
            queue += reload.died(name)
        elif not worker.lives:
            continue
        elif action.name == "prepare":
            assert reload.state in (PREPARES, IS_REFUSED)
            worker.held = rng.random() >= refusing
            queue += reload.said_by(name, "prepared" if worker.held else "refused", "why")
        elif action.name in ("cancel", "no-reload", "reloaded"):
            worker.held = False
        elif rng.random() < refusing:  # the store fails just then
            queue += reload.said_by(name, "refused", "why")
        else:
            assert worker.held
            assert reload.state == SWITCHES
            worker.held, worker.model = False, "new"
            queue += reload.said_by(name, "done", {"model": "new"})
    assert not reload.is_under_way
    models = {worker.model for worker in workers.values() if worker.lives}
    assert models <= {"new" if reload.state == IS_DONE else "old"}
    assert not any(worker.held for worker in workers.values() if worker.lives)
    assert (reload.state == IS_REFUSED) == (reload.said != "" and not reload.has_begun)


def test_one_switches_after_the_other_or_all_when_they_are_told() -> None:
    for at_once, told in ((False, [["w0"], ["w1"]]), (True, [["w0", "w1"]])):
        reload = Reload(1, "new", False, at_once)
        waves = [reload.begin(["w0", "w1"])]
        while waves[-1]:
            actions: list[Tell] = []
            for action in waves[-1]:
                assert isinstance(action, Tell)
                how_far = "prepared" if action.name == "prepare" else "done"
                actions += reload.said_by(action.worker, how_far, {})  # type: ignore[arg-type]
            waves.append(actions)
        switched = [[each.worker for each in wave if each.name == "switch"] for wave in waves]
        assert [wave for wave in switched if wave] == told
        assert reload.status()["state"] == IS_DONE
