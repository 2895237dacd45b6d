"""Sweeps: what is tried, in which rounds, in processes that end, and how long it will take."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamlstm.errors import DataError
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.fit import fit
from streamlstm.learn.settings import NetworkSettings, Settings
from streamlstm.learn.sweep.estimate import Estimate
from streamlstm.learn.sweep.halving import Trial, rounds_of, run_sweep
from streamlstm.learn.sweep.space import SPACE, candidates, differences
from streamlstm.learn.training import train

ASKED = Settings(hidden_sizes=(8,), epochs=9, window=16, batch=8, target=("value",))


def dataset(n: int = 300) -> Dataset:
    wave = 10 + 3 * np.sin(np.arange(n) / 3)[:, None]
    return Dataset([("", wave.astype(np.float32))], [0], [0])


def test_the_first_is_what_was_asked_for_and_what_was_given_is_not_varied() -> None:
    tried = candidates(ASKED, 9, {"hidden_sizes", "rate"}, longest=40)
    assert tried[0] == ASKED
    assert len(set(tried)) == 9
    assert {(t.hidden_sizes, t.rate, t.epochs) for t in tried} == {((8,), ASKED.rate, 9)}
    assert max(t.window for t in tried) <= 40
    assert differences(tried[1], tried).keys() <= SPACE.keys() - {"hidden_sizes", "rate"}
    assert candidates(ASKED, 9, {"hidden_sizes", "rate"}, longest=40) == tried
    kept = candidates(ASKED, 9, (), longest=40, keep_network=True)
    assert len({tuple(t.of(NetworkSettings).items()) for t in kept}) == 1


def test_where_nothing_is_left_to_vary_there_is_one_to_try() -> None:
    assert candidates(ASKED, 9, SPACE.keys(), longest=40) == [ASKED]


@pytest.mark.parametrize(
    ("n", "epochs", "rounds"),
    [(1, 90, []), (2, 90, [30]), (3, 90, [30]), (9, 90, [10, 30]), (10, 90, [3, 10, 30])],
)
def test_rounds_are_thrice_as_long_each(n: int, epochs: int, rounds: list[int]) -> None:
    assert rounds_of(n, epochs) == rounds


def test_a_third_goes_on_and_the_best_comes_first(tmp_path: Path) -> None:
    data, tried = dataset(), candidates(ASKED, 5, {"hidden_sizes"}, longest=40)
    seen: list[float] = []
    sweep = run_sweep(
        data, tried, tmp_path, processes=2, on_progress=lambda now: seen.append(now.share)
    )
    assert sorted(t.epochs for t in sweep.trials) == [1, 1, 1, 3, 3]
    assert sweep.best.validation == min(t.validation for t in sweep.trials)
    assert sweep.guess >= 0
    assert seen[-1] == pytest.approx(1)
    for trial in sweep.trials:  # a trial is what a training of its own would have been
        alone = fit(data, Settings(**vars(trial.settings) | {"epochs": trial.epochs}))
        assert alone.best.validation == trial.validation


def test_a_setting_that_fails_does_not_end_the_sweep(tmp_path: Path) -> None:
    data = dataset()
    bad = Settings(**vars(ASKED) | {"rate": 1e38})
    sweep = run_sweep(data, [bad, ASKED], tmp_path, processes=1)
    assert [t.number for t in sweep.trials] == [2, 1]
    assert "diverged" in sweep.trials[1].failed
    (tmp_path / "other").mkdir()
    others = [bad, Settings(**vars(bad) | {"seed": 1})]
    with pytest.raises(DataError, match=r"all settings failed.*diverged"):
        run_sweep(data, others, tmp_path / "other", processes=1)


def children() -> set[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in text.split()}


def test_a_process_that_is_killed_fails_its_trial_alone(tmp_path: Path) -> None:
    before, killed = children(), []

    def kill_once(_: Estimate) -> None:
        if not killed:
            killed.append(min(children() - before))
            os.kill(killed[0], 9)

    tried = candidates(ASKED, 3, {"hidden_sizes"}, longest=40)
    sweep = run_sweep(dataset(), tried, tmp_path, processes=1, on_progress=kill_once)
    assert [bool(t.failed) for t in sweep.trials] == [False, False, True]
    assert "ended with status -9" in sweep.trials[-1].failed
    assert children() == before


def test_an_interrupt_leaves_the_best_so_far_and_no_process(tmp_path: Path) -> None:
    before = children()

    def interrupt(now: Estimate) -> None:
        if now.best < math.inf:
            raise KeyboardInterrupt

    tried = candidates(ASKED, 3, {"hidden_sizes"}, longest=40)
    sweep = run_sweep(dataset(), tried, tmp_path, processes=1, on_progress=interrupt)
    assert sweep.interrupted
    assert math.isfinite(sweep.best.validation)
    assert children() == before


def test_the_time_left_is_what_it_takes() -> None:
    """Two trials at once, of 1 and 4 seconds an epoch, up to 10 epochs; the quicker goes on."""
    now = [0.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    trials = [Trial(1, ASKED), Trial(2, ASKED)]
    estimate = Estimate(dataset(), trials, [10], 2, 3, clock)
    assert math.isnan(estimate.seconds_left)
    for second in range(0, 40, 2):
        now[0] = second
        if second < 10:
            estimate.hear(1, {"epochs": second})
        if second == 10:
            estimate.hear(1, {"done": 10, "seconds": 10, "validation": 0.5})
        estimate.hear(2, {"epochs": second / 4})
        if second > 0:
            assert estimate.seconds_left == pytest.approx(40 - second)
            assert estimate.share == pytest.approx((min(second, 10) + second) / 50)


SCRIPT = """
import numpy as np
import streamlstm as sl
from streamlstm.learn.training import train
trained = train({path!r}, target="value", hidden=8, epochs=6, sweep=3, processes=2)
print(len(trained.sweep.trials), trained.history[-1].number)
"""


def test_a_script_without_a_guard_can_sweep(tmp_path: Path) -> None:
    data = tmp_path / "wave.csv"
    rows = (f"{60 * t},{10 + math.sin(t / 3):.6f}\n" for t in range(300))
    data.write_text("time,value\n" + "".join(rows))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=str(data)))
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.returncode) == ("3 6\n", 0), done.stderr


def test_a_sweep_that_ended_early_trains_nothing_again(tmp_path: Path) -> None:
    data, tried = dataset(), candidates(ASKED, 5, {"hidden_sizes"}, longest=40)
    whole, folder = (tmp_path / name for name in ("whole", "folder"))
    whole.mkdir()
    folder.mkdir()
    expected = run_sweep(data, tried, whole, processes=1)

    def interrupt(now: Estimate) -> None:
        if now.best < math.inf:
            raise KeyboardInterrupt

    early = run_sweep(data, tried, folder, processes=1, on_progress=interrupt)
    ended = {t.number for t in early.trials if t.epochs}
    assert len(ended) == 1
    (first,) = folder.glob("trial-*.checkpoint")
    written = first.stat().st_mtime_ns
    trained: list[int] = []
    times = {}

    def look(_: Estimate) -> None:
        trained.append(1)
        times.setdefault(first, first.stat().st_mtime_ns)

    again = run_sweep(data, tried, folder, processes=1, on_progress=look)
    assert times[first] == written  # others were trained before it went on
    assert again.summary() == expected.summary()
    assert [t.number for t in again.trials] == [t.number for t in expected.trials]
    trained.clear()
    once_more = run_sweep(data, tried, folder, processes=1, on_progress=look)
    assert once_more.summary() == expected.summary()
    assert not trained  # no process was started
    with pytest.raises(DataError, match="other settings are tried"):
        run_sweep(data, tried[:3], folder, processes=1)
    with pytest.raises(DataError, match="the data have changed"):
        run_sweep(dataset(299), tried, folder, processes=1)
    (folder / "sweep.json").write_text("{")
    with pytest.raises(DataError, match=r"sweep\.json: .* damaged"):
        run_sweep(data, tried, folder, processes=1)


def test_a_checkpoint_without_a_sweep_is_refused_before_the_sweep(tmp_path: Path) -> None:
    table = {"v": np.sin(np.arange(300) / 3)}
    checkpoint = tmp_path / "c"
    checkpoint.write_bytes(b"")
    with pytest.raises(DataError, match="a training without a sweep"):
        train(table, target="v", epochs=2, hidden=4, sweep=3, checkpoint=checkpoint)
