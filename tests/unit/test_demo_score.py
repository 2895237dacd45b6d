"""The scores and the screen of the demo, without its processes."""

import io
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

sys.path.append(str(Path(__file__).resolve().parents[2] / "workers"))

import screen
from score import Scoreboard


def line(stream: str, value: float, prediction: float, microseconds: float = 100.0):
    return {
        "time": 0.0,
        "stream": stream,
        "value": [value],
        "prediction": [prediction],
        "round_trip_us": microseconds,
    }


def test_a_prediction_is_scored_against_its_target():
    board = Scoreboard(horizon=2)
    for value, prediction in [(0.0, 3.0), (1.0, 5.0), (4.0, 0.0), (6.0, 0.0)]:
        board.add(line("a", value, prediction))
    score = board.streams["a"]
    assert score.scored == 2
    assert score.model_error == abs(3.0 - 4.0) + abs(5.0 - 6.0)
    assert score.persistence_error == abs(0.0 - 4.0) + abs(1.0 - 6.0)
    assert board.ratio == pytest.approx(2 / 9)
    assert board.summary()["error"] == {
        "scored": 2,
        "model": 1.0,
        "persistence": 4.5,
        "ratio": pytest.approx(2 / 9),
    }


def test_streams_are_scored_separately_and_together():
    board = Scoreboard(horizon=1)
    for _ in range(3):
        board.add(line("good", 1.0, 1.0))
        board.add(line("bad", 1.0, 2.0))
    board.add(line("good", 3.0, 3.0))
    streams = board.summary()["streams"]
    assert streams["good"]["ratio"] == 1.0
    assert streams["bad"]["model"] == 1.0
    assert streams["bad"]["ratio"] is None  # nothing changed: persistence was never wrong
    assert board.ratio == pytest.approx((2.0 + 2.0) / 2.0)


def test_a_refused_observation_counts_as_a_time_step():
    board = Scoreboard(horizon=1)
    board.add(line("a", 0.0, 9.0))
    refused = {"time": 0.0, "stream": "a", "value": [1.0], "error": {"message": "busy"}}
    board.add(refused)
    board.add(line("a", 2.0, 2.0))
    summary = board.summary()
    assert (summary["observations"], summary["predictions"], summary["refused"]) == (3, 2, 1)
    assert summary["scored"] == 1  # the refused one predicted nothing for the third
    assert summary["error"]["model"] == 8.0


def test_nothing_is_scored_before_the_model_knows_the_stream():
    board = Scoreboard(horizon=1, quiet=3)
    for value in (0.0, 50.0, 0.0):
        board.add(line("a", value, 0.0))
    assert board.is_learning
    assert "learning" in screen._tally(board)
    assert "persistence" not in screen._tally(board)
    assert screen._verdict(board.streams["a"]).plain == "learning"
    board.add(line("a", 2.0, 1.0))
    board.add(line("a", 4.0, 0.0))
    score = board.streams["a"]
    assert not board.is_learning
    assert (score.scored, score.model_error, score.persistence_error) == (2, 2.0 + 3.0, 2.0 + 2.0)
    assert "25 % above persistence" in screen._tally(board)


def test_intervals_and_alarms_are_counted():
    board = Scoreboard(horizon=1, quiet=1)
    for value, low, high in [(9.0, 0.0, 1.0), (0.5, 2.0, 3.0), (2.5, 0.0, None), (9.0, 5.0, 6.0)]:
        board.add(line("a", value, 0.0) | {"low": [low], "high": [high]})
    assert board.coverage == 1.0  # of two: what has no upper bound is not judged
    board.add(line("a", 7.0, 0.0) | {"low": None, "alarm": True, "kind": "spike"})
    assert board.coverage == pytest.approx(2 / 3)
    assert board.streams["a"].alarm == "spike"
    assert "67 % inside · 1 alarm" in screen._tally(board)
    assert screen._row("a", board.streams["a"], screen.NARROW, 20)[0].plain == "a: spike"
    board.add(line("a", 7.0, 0.0))
    assert (board.streams["a"].alarm, board.alarms) == ("", 1)
    summary = board.summary()
    assert (summary["alarms"], summary["coverage"]) == (1, pytest.approx(2 / 3))


def test_round_trips_are_ranked():
    board = Scoreboard(horizon=1)
    for microseconds in range(100, 0, -1):
        board.add(line("a", 0.0, 0.0, microseconds))
    assert board.summary()["round_trip_us"] == {"p50": 50, "p99": 99}


def test_an_empty_scoreboard_has_no_ratio():
    summary = Scoreboard(horizon=10).summary()
    assert summary["observations"] == summary["scored"] == 0
    assert summary["round_trip_us"] == {"p50": None, "p99": None}
    assert summary["error"]["ratio"] is None


def terminal(width: int, height: int) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system=None,
        width=width,
        height=height,
        legacy_windows=False,
        soft_wrap=True,  # as the console of every command
        _environ={},
    )


def drawn(board: Scoreboard, width: int, height: int) -> list[str]:
    console = terminal(width, height)
    with console.capture() as capture:
        console.print(screen.Screen(console, 20)._picture(board, 3.0))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (110, 30), (200, 50), (60, 12)])
@pytest.mark.parametrize("cores", [1, 2, 128])
def test_the_picture_fits_the_terminal(width, height, cores):
    board = Scoreboard(horizon=10)
    names = [*(f"cpu-{core}" for core in range(cores)), "memory", "net-lo-in", "switches"]
    for step in range(200):
        for name in names:
            board.add(line(name, step % 7 / 7, 0.5))
    lines = drawn(board, width, height)
    assert len(lines) < height
    assert max(len(text) for text in lines) <= width
    shown = "\n".join(lines)
    assert "cpu-0" in shown
    assert "memory" in shown
    assert ("more" in shown) == (len(names) > height - screen.AROUND_THE_TABLE)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_the_picture_tells_how_many_values_were_inside_and_alarms(width):
    board = Scoreboard(horizon=1)
    for step in range(40):
        interval = {"low": [0.4], "high": [0.6], "alarm": step == 30, "kind": "level"}
        board.add(line("cpu-0", 0.5, 0.5, 123_456.0) | interval)
    lines = drawn(board, width, 24)
    shown = " ".join(" ".join(lines).split())
    assert "100 % inside" in shown
    assert "1 alarm" in shown
    assert max(len(text) for text in lines) <= width
    assert ("40.0 % - 60.0 %" in shown) == (width >= screen.WIDER)


def test_bars_move_but_never_change():
    board = Scoreboard(horizon=10)
    history = []
    for step in range(200):
        board.add(line("cpu-0", step * 37 % 100 / 100, 0.5))
        bars, _ = screen._history(
            screen.Metric.of("cpu-0"), board.streams["cpu-0"], 22
        ).plain.split(" ")
        history.append(bars)
    for before, after in pairwise(history[100:]):
        assert after[:-1] in (before[:-1], before[1:])


def test_a_stream_that_hardly_changes_is_steady():
    board = Scoreboard(horizon=1)
    for step in range(20):
        board.add(line("memory", 0.5 + 1e-5 * (step % 2), 0.51))
        board.add(line("cpu-0", step % 2, 0.5))
    console = terminal(100, 30)
    with console.capture() as capture:
        screen.print_summary(console, board)
    shown = capture.get()
    summary = {words[0]: " ".join(words[1:]) for words in map(str.split, shown.splitlines()[1:])}
    assert summary["steady"] == "memory"
    assert "(moves less than 0.5 % of its scale a second" in shown
    assert summary["worst"].startswith("cpu-0")
    assert summary["error"].startswith("49 % below persistence")  # what is steady counts as well


def test_fifty_columns_lose_nothing_that_matters():
    board = Scoreboard(horizon=1)
    for step in range(40):
        for stream in ("cpu-0", "switches"):
            alarm = {"alarm": True, "kind": "spike"} if step == 39 and stream == "cpu-0" else {}
            board.add({**line(stream, 0.3 + 0.01 * (step % 5), 0.31), **alarm})
    console = terminal(50, 24)
    with console.capture() as capture:
        console.print(screen.Screen(console, 60)._picture(board, 23))
        screen.print_summary(console, board)
    shown = capture.get()
    assert max(map(len, shown.splitlines())) <= 50
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown  # no word, number or kind of alarm is cut off
    assert "spike" in shown.split("switches")[0]
    assert "23 of 60 s" in shown
