"""The comparison of two commits: what it calls slower, and that it leaves nothing behind."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live import revision
from benchmarks.verdicts import QUICKER, SAME, SLOWER, Verdict, compare

PAIRS, TURNS = 5, 4


def seconds(seed: int, noise: float = 0.02) -> np.ndarray:
    return np.exp(noise * np.random.default_rng(seed).standard_normal((PAIRS, TURNS)))


def test_what_is_slower_in_every_pair_of_processes_is_called_slower() -> None:
    before, after = seconds(1), 1.1 * seconds(2)
    verdict = compare(before, after)
    assert verdict.word() == SLOWER
    assert verdict.low < 1.1 < verdict.high
    assert compare(after, before).word() == QUICKER
    busy = np.linspace(1, 3, PAIRS * TURNS).reshape(PAIRS, TURNS)  # the machine, more and more
    assert compare(busy * before, busy * after).word() == SLOWER


def test_noise_and_what_both_sides_share_are_the_same() -> None:
    busy = np.linspace(1, 3, PAIRS * TURNS).reshape(PAIRS, TURNS)
    words = [compare(busy * seconds(2 * n), busy * seconds(2 * n + 1)).word() for n in range(200)]
    assert set(words) == {SAME}


def test_processes_that_are_slow_for_all_of_their_life_are_no_slower_code() -> None:
    """Four of five pairs, sixteen of twenty blocks: each block alone would be evidence enough."""
    slow = np.array([1.1, 1.1, 1, 1.1, 1.1])[:, None]
    assert compare(seconds(1, 0.001), slow * seconds(2, 0.001)).word() == SAME


def test_less_than_the_threshold_is_not_told() -> None:
    assert compare(seconds(1, 1e-4), 1.015 * seconds(2, 1e-4)).word() == SAME
    assert Verdict(1.015, 1.015, 1.015).word(0.01) == SLOWER


def interrupted(made: list[revision.Revision]) -> None:
    with revision.checked_out("HEAD", revision.commit_of(None)) as checkout:
        assert (checkout.root / "new").read_text() == "not added"
        made.append(checkout)
        raise KeyboardInterrupt


def test_a_checkout_has_the_working_tree_and_is_removed_whatever_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *revision.SOMEBODY, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    monkeypatch.setattr(revision, "ROOT", tmp_path)
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "empty")
    (tmp_path / "new").write_text("not added")
    made = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(made)
    assert not made[0].root.exists()
    assert git("worktree", "list").count("\n") == 1
    assert git("status", "--short") == "?? new\n"
    with pytest.raises(SystemExit, match="rev-parse --verify none"):
        revision.commit_of("none")
