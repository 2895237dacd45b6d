"""The score of the Numenta benchmark: cases by hand, and figures that its authors published."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.nab_scorer import (
    PROFILES,
    Series,
    all_profiles,
    at_threshold,
    load,
    normalised,
    position_score,
    row_values,
    sweep,
)

ROWS = 100
STANDARD = PROFILES["standard"]


def series(*windows: tuple[int, int], rows: int = ROWS) -> Series:
    return Series("a.csv", np.arange(rows) * 300.0, np.zeros(rows), windows)


def marks(*rows: int, total: int = ROWS) -> np.ndarray:
    score = np.zeros(total)
    score[list(rows)] = 1.0
    return score


def test_worth_by_place() -> None:
    # From the paper: 0.98661 at the start of a window, 0.84828 in the middle, 0 at its end.
    assert position_score(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert position_score(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert position_score(0.0) == 0.0
    assert position_score(1.0) == pytest.approx(-0.98661, abs=1e-5)
    assert position_score(3.0) == -1.0


def test_silence_has_0_and_perfection_100() -> None:
    files = [series((30, 39), (60, 69)), series(), series((50, 79))]
    silence = [np.zeros(ROWS) for _ in files]
    perfect = [marks(*(first for first, _ in one.windows)) for one in files]
    for name in PROFILES:
        assert all_profiles(files, silence)[name] == 0.0
        assert all_profiles(files, perfect)[name] == pytest.approx(100.0)


def test_the_best_row_of_a_window_counts_once() -> None:
    one = series((40, 49))
    worth, window = row_values(ROWS, one.windows)
    assert (window == 0).sum() == 10
    early, late, both = (
        at_threshold(one, marks(*r), STANDARD, 1.0) for r in ((40,), (47,), (40, 47))
    )
    assert early == both == pytest.approx(1.0)
    assert late == pytest.approx(worth[47])
    assert worth[47] == pytest.approx((2 / (1 + math.exp(-1.5)) - 1) / position_score(-1.0))


def test_false_detections_cost_least_just_behind_a_window() -> None:
    one = series((40, 49))
    before, behind, far = (at_threshold(one, marks(n), STANDARD, 1.0) for n in (30, 50, 90))
    assert before == far == pytest.approx(-1.11)
    assert behind == pytest.approx(-1 + 0.11 * (2 / (1 + math.exp(5 / 9)) - 1))


def test_rows_on_probation_count_for_nothing() -> None:
    assert (row_values(ROWS, ())[1] == -2).sum() == 15
    assert (row_values(20_000, ())[1] == -2).sum() == 750
    assert at_threshold(series(), marks(3), STANDARD, 1.0) == 0.0


@pytest.mark.parametrize(
    ("rows", "widths", "outside"),
    [
        (10_320, [207] * 5, 8_535),  # nyc_taxi: the benchmark's own counts of a silent detector
        (1_882, [95] * 2, 1_410),  # rogue_agent_key_hold
        (22_695, [567] * 4, 19_677),  # machine_temperature_system_failure
    ],
)
def test_rows_are_counted_as_in_the_published_results(
    rows: int, widths: list[int], outside: int
) -> None:
    firsts = [rows // 4 + n * rows // 6 for n in range(len(widths))]
    spans = tuple((a, a + w - 1) for a, w in zip(firsts, widths, strict=True))
    window = row_values(rows, spans)[1]
    assert (window == -1).sum() == outside
    assert (window >= 0).sum() == sum(widths)


def test_profiles_weigh_errors() -> None:
    one = series((40, 49))
    sums = {name: at_threshold(one, marks(20), p, 1.0) for name, p in PROFILES.items()}
    assert sums == pytest.approx(
        {"standard": -1.11, "reward_low_FP": -1.22, "reward_low_FN": -2.11}
    )


def test_one_threshold_for_all_files_is_the_best_of_all() -> None:
    random = np.random.default_rng(0)
    files = [series((30, 44)), series((50, 59), (80, 89)), series()]
    scores = [np.round(random.random(ROWS), 2) for _ in files]
    thresholds, totals = sweep(files, scores, STANDARD)
    assert thresholds[0] == np.inf
    assert (np.diff(thresholds) < 0).all()
    for threshold, total in zip(thresholds, totals, strict=True):
        by_file = [
            at_threshold(f, s, STANDARD, threshold) for f, s in zip(files, scores, strict=True)
        ]
        assert sum(by_file) == pytest.approx(total)
    score, threshold = normalised(files, scores, STANDARD)
    assert totals[thresholds == threshold] == totals.max()
    assert score == pytest.approx(100 * (totals.max() + 3) / 6)


def test_files_are_read_with_their_windows(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data" / "real").mkdir(parents=True)
    text = "timestamp,value\n" + "".join(f"2014-04-01 00:{m:02}:00,{m}.5\n" for m in range(60))
    (tmp_path / "data" / "real" / "a.csv").write_text(text)
    windows = {"real/a.csv": [["2014-04-01 00:20:00.000000", "2014-04-01 00:29:00.000000"]]}
    labels = {**windows, "real/not_here.csv": []}
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps(labels))
    (one,) = load(tmp_path)
    assert (one.name, one.windows) == ("real/a.csv", ((20, 29),))
    assert one.values[:2].tolist() == [0.5, 1.5]
    assert one.times[1] - one.times[0] == 60.0
