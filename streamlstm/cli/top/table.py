"""The table of ``streamlstm top``: as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from streamlstm.serving.worker_stats import Gauges, Rates, sum_gauges, sum_rates

from ..console import duration
from .worker import Row

_GAP = 2  # spaces between two columns
_NARROW = 80  # in fewer columns the model is left out, and TCP is understood
_UNKNOWN = "-"


class Column(NamedTuple):
    """A column of numbers; a narrow terminal drops the least important ones first."""

    header: str
    importance: int
    gauge: Callable[[Gauges], str] | None = None
    rate: Callable[[Rates], str] | None = None

    def cell(self, gauges: Gauges | None, rates: Rates | None) -> str:
        """Format one number."""
        if self.gauge is not None:
            return _UNKNOWN if gauges is None else self.gauge(gauges)
        return _UNKNOWN if rates is None or self.rate is None else self.rate(rates)


COLUMNS = (
    Column("streams", 18, gauge=lambda gauges: f"{gauges.streams:,} / {gauges.capacity:,}"),
    Column("steps/s", 20, rate=lambda rates: f"{rates.steps:,.0f}"),
    Column("messages/s", 12, rate=lambda rates: f"{rates.messages:,.0f}"),
    Column("block", 4, rate=lambda rates: _number(rates.block_size.mean)),
    Column("p50", 16, rate=lambda rates: duration(rates.latency.quantile(0.5))),
    Column("p99", 19, rate=lambda rates: duration(rates.latency.quantile(0.99))),
    Column("arithmetic", 11, rate=lambda rates: f"{rates.arithmetic:.0%}"),
    Column("queue", 17, gauge=lambda gauges: f"{gauges.queue:,}"),
    Column("busy/s", 13, rate=lambda rates: _rate(rates.busy)),
    Column("errors/s", 14, rate=lambda rates: _rate(rates.errors)),
    Column("alarms", 15, gauge=lambda gauges: f"{gauges.alarms:,}"),
    Column("coverage", 10, gauge=lambda gauges: _share(gauges.coverage)),
    Column("error", 9, gauge=lambda gauges: _ratio(gauges.error_ratio)),
    Column("dropped/s", 6, rate=lambda rates: _rate(rates.dropped)),
    Column("overflows", 5, gauge=lambda gauges: f"{gauges.overflows:,}"),
    Column("evicted/s", 3, rate=lambda rates: _rate(rates.evicted)),
    Column("returned/s", 2, rate=lambda rates: _rate(rates.returned)),
    Column("stored", 1, gauge=lambda gauges: f"{gauges.absent:,}"),
    Column("memory", 8, gauge=lambda gauges: f"{gauges.memory / 2**20:,.0f} MiB"),
    Column("CPU", 7, rate=lambda rates: f"{rates.cpu:.0%}"),
)


def render(rows: Sequence[Row], width: int | None) -> list[str]:
    """Return the lines of the table: the header, one line a worker, the sum of several workers.

    Parameters
    ----------
    rows : sequence of Row
        One a worker.
    width : int or None
        Columns of the terminal; None for lines of any length.
    """
    columns, narrow = list(COLUMNS), width is not None and width < _NARROW
    cells = _cells(rows, columns, narrow)
    while width is not None and columns and _total(cells) > width:
        columns.remove(min(columns, key=lambda column: column.importance))
        cells = _cells(rows, columns, narrow)
    widths, texts = _widths(cells), 1 if narrow else 2  # the first columns hold text
    lines = [
        (" " * _GAP).join(
            cell.ljust(room) if place < texts else cell.rjust(room)
            for place, (cell, room) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    if narrow:  # instead of the numbers, which are not known
        for place, row in enumerate(rows, 1):
            if row.failure:
                lines[place] = f"{cells[place][0].ljust(widths[0])}{' ' * _GAP}{row.failure}"
    return [line[:width].rstrip() for line in lines]


def _cells(rows: Sequence[Row], columns: Sequence[Column], narrow: bool) -> list[list[str]]:
    """Return headers and cells; a failure stands in the place of the model, if that is shown."""
    cells = [["worker", "model", *(column.header for column in columns)]]
    for row in rows:
        gauges = row.snapshot.gauges if row.snapshot else None
        model = row.failure or (row.snapshot.fingerprint[:8] if row.snapshot else _UNKNOWN)
        name = row.name.removeprefix("tcp://") if narrow else row.name
        cells.append([name, model, *(column.cell(gauges, row.rates) for column in columns)])
    if len(rows) > 1:
        gauges = sum_gauges([row.snapshot for row in rows if row.snapshot])
        rates = sum_rates([row.rates for row in rows if row.rates])
        answering = sum(row.failure is None for row in rows)
        name = f"all {len(rows)}" if answering == len(rows) else f"{answering} of {len(rows)}"
        cells.append([name, "", *(column.cell(gauges, rates) for column in columns)])
    return [[line[0], *line[2:]] for line in cells] if narrow else cells


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _total(cells: Sequence[Sequence[str]]) -> int:
    widths = _widths(cells)
    return sum(widths) + _GAP * (len(widths) - 1)


def _number(value: float) -> str:
    return _UNKNOWN if value != value else f"{value:,.1f}"


def _share(value: float) -> str:
    return _UNKNOWN if value != value else f"{value:.1%}"


def _ratio(value: float) -> str:
    return _UNKNOWN if value != value else f"{value:.2f}"


def _rate(value: float) -> str:
    """Format a rate that should be 0: even one event in a long interval must not read as 0."""
    return f"{value:,.0f}" if value == 0 or value >= 10 else f"{value:.1g}"
