"""What the live page remembers: in bounded memory, sorted, thinned, and beside its forecasts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import Engine, detector, wire
from streamlstm.client.observing import Published
from streamlstm.serving.service import Service
from streamlstm.web.page import board as boards
from streamlstm.web.page.board import Board
from streamlstm.web.page.chart import POINTS, Chart
from streamlstm.web.page.gates import Gates
from streamlstm.web.page.history import PAGE, History
from streamlstm.web.page.points import Points, points_of
from streamlstm.web.page.signals import Shape, Signal, shape_of

LIMIT = 2**20
NAN = float("nan")


def shape(horizon: int = 1, outputs: int = 1) -> Shape:
    signals = [Signal("value", 0, 0, horizon)] if outputs else [Signal("value", 0, -1, 0)]
    return Shape("x", 1, outputs, False, tuple(signals))


def points(streams: list, values: list[float], **other: list) -> Points:
    B = len(streams)
    column = np.array(values, np.float32)[:, None]
    said = {"low": column - 1, "high": column + 1, "error": np.full((B, 1), NAN, np.float32)}
    one = {"score": np.zeros(B), "p_value": np.ones(B), "alarm": np.zeros(B, bool)}
    one |= {"kind": np.zeros(B, np.uint8), "filled": np.zeros(B, int), "times": np.full(B, NAN)}
    said |= one | {name: np.array(value) for name, value in other.items()}
    return Points(streams=list(streams), X=column, Y=column + 100, **said)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 70)), max_size=40), st.data())
def test_a_history_keeps_the_last_points_of_each_stream_in_bounded_memory(runs, data) -> None:
    size = PAGE * (8 + 2 * 4)
    history, kept, n = History(2, np.float32, 20 * size), defaultdict(list), 0
    for slot, count in runs:
        if data.draw(st.integers(0, 9)) == 0:
            history.forget(slot)
            kept[slot] = []
        for _ in range(count):
            n += 1
            history.append(slot, float(n), np.array([n, -n], np.float32))
            kept[slot].append(n)
    total = 0
    for slot, numbers in kept.items():
        times, rows = history.last(slot, 10**6)
        total += len(times)
        assert times.tolist() == numbers[len(numbers) - len(times) :], "the last, in order"
        assert rows[:, 1].tolist() == [-float(time) for time in times]
        some = history.last(slot, 3)[0]
        assert some.tolist() == times.tolist()[-3:]
    if n <= 20 * PAGE - 6 * PAGE:
        assert total == sum(map(len, kept.values())), "nothing is lost while there is room"
    assert total <= 20 * PAGE


def test_streams_are_found_and_sorted() -> None:
    board, names = Board(shape(), LIMIT), ["pump-9", "pump-10", "Fan-1", 7]
    quiet, now = points(names, [1, 2, 3, 4]), board.began + 1
    board.add(quiet, now)
    board.add(points(["pump-10", "Fan-1"], [5, 6], score=[2.0, 9.0], alarm=[True, False]), now + 5)
    board.add(points([7], [6], score=[1.0], alarm=[True]), now + 6)

    def found(search: str = "", order: str = "alarm") -> list:
        return [board.ids[n] for n in board.find(search, order, now + 7)[0]]

    assert found(order="name") == [7, "Fan-1", "pump-9", "pump-10"]
    assert found() == [7, "pump-10", "Fan-1", "pump-9"]
    assert found(order="score") == ["Fan-1", "pump-10", 7, "pump-9"]
    assert found(order="silence")[0] == "pump-9"
    assert found("UMP 9") == ["pump-9"]
    assert found("nothing") == []
    slots, columns = board.find("fan", "alarm", now + 65)
    (row,) = board.rows(slots.tolist(), columns, now + 65)
    assert (row["value"], row["line"], row["silent"]) == (6.0, [3.0, 6.0], 60.0)
    assert row["score"] == pytest.approx(9 / np.e)
    # Forecasts of 100 too much: the error of the second value is told without a stage.
    assert (np.abs(board._error[: len(names), 0]) > 0).tolist() == [False, True, True, True]


def test_of_too_many_streams_the_silent_ones_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "MOST", 3)
    board = Board(shape(), LIMIT)
    for n, name in enumerate("abcad"):
        board.add(points([name], [n]), board.began + n)
    assert sorted(board.slots) == ["a", "c", "d"]
    _, rows = board.history.last(board.slots["d"], 9)
    assert rows[:, 0].tolist() == [4.0], "nothing of the stream that was there before"


def test_a_stream_that_was_forgotten_is_not_found_and_its_place_is_free() -> None:
    board = Board(shape(), LIMIT)
    board.add(points(["a", "b", "c"], [1, 2, 3], score=[9, 9, 9], alarm=[True] * 3), board.began)
    chart = Chart(board, board.slots["b"], board.shape.signals[0], 600)
    board.forget("b")
    board.forget("b")
    for order in boards.ORDERS:
        found = board.find("", order, board.began)[0]
        assert sorted(board.ids[n] for n in found) == ["a", "c"]
    assert chart.is_gone
    board.add(points(["d", "e"], [4, 5]), board.began + 1)
    assert [board.ids[n] for n in board.find("", "name", 0)[0]] == ["a", "c", "d", "e"]
    (row,) = board.rows([board.slots["d"]], board.find("", "name", 0)[1], board.began + 1)
    assert (row["value"], row["score"], row["alarm"], row["line"]) == (4.0, 0.0, None, [4.0])
    assert len(board.ids) == 4


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_forecast_is_drawn_where_what_it_is_for_has_come(horizon: int) -> None:
    board = Board(shape(horizon), LIMIT)
    for n in range(10):
        board.add(points(["a"], [n], times=[1000.0 + n]), board.began + n)
    chart = Chart(board, 0, board.shape.signals[0], 600)
    whole = chart.begin(board.began + 10)
    assert whole["value"] == list(range(10))
    assert whole["forecast"] == [None] * horizon + [100 + n for n in range(10 - horizon)]
    assert whole["low"][-1] == 9 - horizon - 1
    assert whole["ahead"]["time"] == [1010.0 + n for n in range(horizon)]
    assert whole["ahead"]["forecast"] == [100 + n for n in range(10 - horizon, 10)]
    assert chart.go_on(0.1) is None
    board.add(points(["a", "a"], [10, 11], times=[1010.0, 1011.0]), board.began + 11)
    more = chart.go_on(0.1)
    assert (more["value"], more["time"]) == ([10, 11], [1010.0, 1011.0])
    assert more["forecast"] == [110 - horizon, 111 - horizon]
    # A span of five seconds has the points that arrived within, and their forecasts.
    short = Chart(board, 0, board.shape.signals[0], 5).begin(board.began + 11)
    assert short["value"] == [6, 7, 8, 9, 10, 11]
    assert short["forecast"][0] == 106 - horizon


def test_of_many_points_extremes_and_alarms_are_drawn() -> None:
    board, count = Board(shape(), LIMIT), 20_000
    values = np.sin(np.arange(count) / 50)
    values[7_777], values[12_345] = 9, -9
    alarm = np.zeros(count, bool)
    alarm[[3, 9_999]] = True
    board.add(
        points(["a"] * count, values.tolist(), times=np.arange(count) + 1e5, alarm=alarm),
        board.began,
    )
    drawn = Chart(board, 0, board.shape.signals[0], 600).begin(board.began)
    assert len(drawn["time"]) < 1.1 * POINTS
    assert (max(drawn["value"]), min(drawn["value"])) == (9.0, -9.0)
    assert sum(drawn["alarm"]) == 2
    assert drawn["time"] == sorted(drawn["time"])
    assert drawn["time"][-1] == 1e5 + count - 1


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize("late", [-3, 0, 3, 40])
def test_gates_are_those_of_the_engine_also_from_the_middle_of_a_stream(
    late: int, weights: str
) -> None:
    """A state joins what comes where it belongs: older than that, or so many rows newer."""
    model, random = detector(["a", "b"]), np.random.default_rng(3)
    worker, own = Engine(model, weights=weights), Engine(model, weights=weights)
    info = Service(worker).info()
    gates = Gates(model, info["weights"])
    shown = shape_of(info["model"])
    assert [signal[:3] for signal in shown.signals] == [("a", 0, 0), ("b", 1, 1)]

    def step(x: np.ndarray) -> Points:
        own.observe("s", x)
        seen = worker.observe("s", x)
        y, low, high = map(wire.to_floats, (seen.y, seen.low, seen.high))
        extra = {"alarm": bool(abs(x).max() > 50), "low": low, "high": high}
        return points_of([Published("s", 0, y, extra, wire.to_floats(x), None)])

    rows = random.normal(size=(120, 2)).astype(np.float32)
    for x in rows[:40]:
        gates.follow(step(x))
    assert (gates.next_wanted(), gates.next_wanted()) == ("s", None)
    seen, state = [], b""
    for n, x in enumerate(rows[40 : 46 + max(late, 0)]):  # six come while it is on its way
        if n == 6 + late:
            state = worker.export_stream("s")
        seen.append(step(x))
    for each in seen[:6]:
        gates.follow(each)
    gates.begin("s", state or worker.export_stream("s"))
    for each in seen[6:]:
        assert gates.follow(each) == {}
    assert gates.followed == 1
    spike = np.array([99.0, 0.0], np.float32)
    expected = own.explain("s", spike)
    found = gates.follow(step(spike))
    assert list(found) == [0]
    for ours, theirs in zip(found[0].layers, expected.layers, strict=True):
        for name, vector in theirs.values.items():
            np.testing.assert_array_equal(ours.values[name], vector)
    # The worker resets the stream: its predictions differ, and it is exported again.
    worker.reset("s")
    assert gates.follow(step(spike)) == {}, "gates of another state are none of this alarm"
    assert gates.followed == 0
    assert gates.next_wanted() == "s"
    gates.leave("s")
    gates.begin("s", state)
    assert (gates.followed, gates.next_wanted()) == (0, None), "it was forgotten meanwhile"
