"""`streamlstm top`: rates from two replies to INFO, and the table."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from streamlstm import LSTM, Dense, Engine
from streamlstm.cli import app
from streamlstm.cli.console import duration
from streamlstm.cli.fleet import status
from streamlstm.cli.fleet.status import table_of
from streamlstm.cli.top.table import COLUMNS, render
from streamlstm.cli.top.worker import PolledWorker, Row
from streamlstm.errors import EndpointError, ProtocolError
from streamlstm.serving.native import layout
from streamlstm.serving.service import Service
from streamlstm.serving.worker_stats import Snapshot, sum_gauges, sum_rates

from ..contract.models import random_model

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])


def answer(service: Service, uptime: float, pid: int = 1, cpu: float = 0.0) -> Snapshot:
    """What the service says, at a moment of the test's choice."""
    return Snapshot.from_info(service.info() | {"uptime": uptime, "pid": pid, "cpu": cpu})


def work(service: Service, blocks: int, nanoseconds: int = 1_000_000) -> None:
    """Let so much have been done: blocks of four, each answered after 3 ms."""
    for _ in range(blocks):
        service.counters.stepped(4, nanoseconds)
        for _ in range(4):
            service.counters.latency.add(3_000_000)
    service.counters.add(layout.MESSAGES, 4 * blocks)
    service.counters.add(layout.BUSY, blocks)
    service.counters.add(layout.DROPPED_ANSWERS, 2 * blocks)
    service.counters.add(layout.SUBSCRIBER_OVERFLOWS, 3 * blocks)
    service.counters.errors["gap"] += 5 * blocks


@pytest.fixture
def service() -> Service:
    made = Service(Engine(MODEL, 100, threads=1))
    made.counters.latency.add(10**12)  # before the first answer: no part of any difference
    made.counters.errors["bad-frame"] += 77
    work(made, 3, nanoseconds=10**9)
    return made


def test_rates_are_differences_by_the_worker_s_clock(service: Service) -> None:
    before = answer(service, uptime=10.0, cpu=7.0)
    work(service, 20)
    for n in range(6):
        service.engine.step(f"s{n}", [1, 2])
    service.counters.cells[layout.QUEUED] = 9
    after = answer(service, uptime=12.0, cpu=8.0)
    rates = after.since(before)
    assert rates is not None
    assert rates[:9] == (3, 40, 10, 50, 20, 0, 0, 0.5, 2)
    assert rates.block_size.mean == 4
    assert rates.arithmetic == pytest.approx(0.01)
    assert rates.latency.mean == pytest.approx(0.003)
    assert 0.003 < rates.latency.quantile(0.5) == rates.latency.quantile(0.99) < 0.0045
    assert after.gauges[:4] == (6, 100, 8, 69)  # the question itself is left out


def test_an_idle_interval_has_zero_rates(service: Service) -> None:
    rates = answer(service, uptime=12.0).since(answer(service, uptime=10.0))
    assert rates is not None
    assert rates[:6] == (0,) * 6
    assert rates.arithmetic == 0
    assert math.isnan(rates.block_size.mean)
    assert math.isnan(rates.latency.quantile(0.5))


def test_a_restarted_worker_has_no_rates_at_first(service: Service) -> None:
    before = answer(service, uptime=10.0)
    assert before.since(None) is None
    reborn = Service(Engine(MODEL, 100, threads=1))
    assert answer(reborn, uptime=11.0, pid=2).since(before) is None
    first = answer(reborn, uptime=1.0)  # in a container every worker has the pid 1
    assert first.since(before) is None
    work(reborn, 5)
    rates = answer(reborn, uptime=2.0).since(first)
    assert rates is not None
    assert rates.messages == 20


def test_the_sum_of_workers(service: Service) -> None:
    other = Service(Engine(MODEL, 50, threads=1))
    before = [answer(service, 10.0), answer(other, 100.0)]
    work(service, 10)
    work(other, 30, nanoseconds=3_000_000)
    after = [answer(service, 11.0, cpu=1.0), answer(other, 102.0, cpu=1.0)]
    rates = [later.since(earlier) for later, earlier in zip(after, before, strict=True)]
    both = sum_rates([one for one in rates if one])
    assert both is not None
    assert both.messages == 40 + 60
    assert both.cpu == 1.5
    assert both.block_size.counts.sum() == 40
    assert both.arithmetic == pytest.approx((0.01 + 0.09) / 3)
    for places, count in ((service, 1), (other, 3)):
        places.counters.add(layout.ALARMS, count)
        places.counters.add(layout.JUDGED, 10)
        places.counters.add(layout.COVERED, 10 - count)
        places.counters.add(layout.OWN_ERROR, count * layout.ERROR_UNIT)
        places.counters.add(layout.NAIVE_ERROR, 4 * layout.ERROR_UNIT)
    workers = [answer(service, 12.0), answer(other, 103.0)]
    gauges = sum_gauges(workers)
    assert gauges is not None
    assert gauges.capacity == 150
    assert (gauges.alarms, gauges.coverage) == (4, 0.8)
    assert gauges.error_ratio == 0.5
    assert math.isnan(after[0].gauges.coverage)
    assert math.isnan(after[0].gauges.error_ratio)
    of_fleet = sum_gauges([replace(each, fleet_capacity=120) for each in workers])
    assert of_fleet is not None
    assert of_fleet.capacity == 120
    assert (sum_gauges([]), sum_rates([])) == (None, None)


def test_a_reply_of_another_version_is_an_error(service: Service) -> None:
    info = service.info()
    del info["histograms"]
    with pytest.raises(ProtocolError, match="no 'histograms'"):
        Snapshot.from_info(info)


@pytest.fixture
def rows(service: Service) -> list[Row]:
    before = answer(service, 10.0)
    work(service, 5_000, nanoseconds=50_000)
    after = answer(service, 11.0)
    return [
        Row("tcp://127.0.0.1:7450", None, after, after.since(before)),
        Row("new", None, before, None),
        Row("tcp://127.0.0.1:7460", "no answer for 12 s", None, None),
    ]


def test_a_wide_terminal_shows_all_columns(rows: list[Row]) -> None:
    head, *lines = render(rows, None)
    assert head.split() == ["worker", "model", *(column.header for column in COLUMNS)]
    cells = lines[0].split()
    assert cells[:7] == [
        "tcp://127.0.0.1:7450", MODEL.fingerprint[:8], "0", "/", "100", "0", "20,000",
    ]  # fmt: skip
    assert "25%" in cells
    assert lines[0].count("3.1 ms") == 2  # 3 ms lies below this bound
    assert lines[1].split()[:6] == ["new", MODEL.fingerprint[:8], "0", "/", "100", "-"]
    assert "no answer for 12 s" in lines[2]
    assert set(lines[2].split("no answer for 12 s")[1]) == {" ", "-"}
    assert lines[3].startswith("2 of 3 ")
    assert "0 / 200" in lines[3]
    assert len({len(line) for line in (head, *lines)}) == 1


@pytest.mark.parametrize("width", range(20, 200, 7))
def test_a_narrow_terminal_keeps_the_most_important_columns(rows: list[Row], width: int) -> None:
    lines = render(rows, width)
    assert max(map(len, lines)) <= width
    shown = set(lines[0].split()[1 if width < 80 else 2 :])
    by_importance = sorted(COLUMNS, key=lambda column: -column.importance)
    assert shown == {column.header for column in by_importance[: len(shown)]}
    if width >= 40:
        assert "no answer for 12 s" in lines[3]
    if width >= 50:  # what a person looks at first
        assert {"steps/s", "p99", "queue"} <= shown


def test_one_worker_has_no_sum(rows: list[Row]) -> None:
    assert len(render(rows[:1], None)) == 2


def test_the_sum_of_no_answers(rows: list[Row]) -> None:
    assert render([rows[2]] * 2, None)[3].startswith("0 of 2 ")


def test_every_column_has_an_importance_of_its_own() -> None:
    assert len({column.importance for column in COLUMNS}) == len(COLUMNS)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (2.56e-7, "0.3 us"),
        (9.94e-6, "9.9 us"),
        (1.64e-5, "16 us"),
        (9.996e-4, "1.0 ms"),
        (0.0031, "3.1 ms"),
        (0.25, "250 ms"),
        (34.36, "34.4 s"),
        (math.nan, "-"),
    ],
)
def test_durations_have_suitable_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


async def test_a_missing_endpoints_file_is_a_failure_until_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "worker.json"
    worker = PolledWorker("worker", path)
    await worker.poll()
    assert worker.row()[1] == "no endpoints file for 0 s"
    path.write_text(json.dumps({"router": "nonsense", "pull": "", "xpub": ""}))
    await worker.poll()
    assert worker.row()[1] == "no endpoints file for 0 s"
    await worker.close()
    with pytest.raises(EndpointError):
        PolledWorker("worker", "nonsense")


@pytest.mark.parametrize("every", ["0", "nan", "-1", "inf"])
def test_wrong_intervals_are_refused(every: str) -> None:
    shown = CliRunner().invoke(app, ["top", "--every", every])
    assert shown.exit_code == 2
    assert "Usage" in shown.output


@pytest.mark.parametrize("width", range(35, 120, 5))
def test_a_narrow_terminal_keeps_what_matters_of_a_fleet(width: int) -> None:
    worker = {
        "name": "w0", "machine": "", "pid": 123_456, "partitions": 512, "streams": 12_345,
        "rate": 20_000.0, "p99": 1.2e-3, "memory": 150 * 2**20, "restarts": 0, "router": "tcp",
        "silent": 0.1, "store_failing": None, "leaves": False,
    }  # fmt: skip
    leaves = {**worker, "name": "w1", "leaves": True}
    terminal = Console(width=width, file=io.StringIO())
    terminal.print(table_of([worker, leaves], width))
    head, *lines = terminal.file.getvalue().splitlines()
    shown = head.split()
    assert max(map(len, [head, *lines])) <= width
    assert len(lines) == 3, "nothing is folded"
    assert lines[1].split()[-1] == "leaves"
    left_out = [name for name in status.COLUMNS if name and name not in shown]
    assert left_out == [name for name in status.COLUMNS if name in status.LEAVE[: len(left_out)]]
    if width >= 50:
        assert {"streams", "rate", "p99"} <= set(shown)
