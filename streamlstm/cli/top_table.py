"""The table of ``streamlstm top``: as many of its columns as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from .console import duration
from .top_worker import Row
from .worker_rates import Now, Rates, all_now, all_rates

_GAP = 2  # columns of a terminal between two of the table
_LEFT = 2  # columns of text: worker and model
_UNKNOWN = "-"


class Column(NamedTuple):
    """A column of numbers; those of least importance go first where the terminal is narrow."""

    header: str
    importance: int
    now: Callable[[Now], str] | None = None
    rates: Callable[[Rates], str] | None = None

    def cell(self, now: Now | None, rates: Rates | None) -> str:
        """Write one number."""
        if self.now is not None:
            return _UNKNOWN if now is None else self.now(now)
        return _UNKNOWN if rates is None or self.rates is None else self.rates(rates)


COLUMNS = (
    Column("streams", 15, now=lambda now: f"{now.streams:,} / {now.capacity:,}"),
    Column("steps/s", 17, rates=lambda rates: f"{rates.steps:,.0f}"),
    Column("messages/s", 10, rates=lambda rates: f"{rates.messages:,.0f}"),
    Column("block", 4, rates=lambda rates: _number(rates.block_size.mean)),
    Column("p50", 13, rates=lambda rates: duration(rates.latency.quantile(0.5))),
    Column("p99", 16, rates=lambda rates: duration(rates.latency.quantile(0.99))),
    Column("arithmetic", 9, rates=lambda rates: f"{rates.arithmetic:.0%}"),
    Column("queue", 14, now=lambda now: f"{now.queue:,}"),
    Column("busy/s", 11, rates=lambda rates: _rate(rates.busy)),
    Column("errors/s", 12, rates=lambda rates: _rate(rates.errors)),
    Column("dropped/s", 6, rates=lambda rates: _rate(rates.dropped)),
    Column("overflows", 5, now=lambda now: f"{now.overflows:,}"),
    Column("evicted/s", 3, rates=lambda rates: _rate(rates.evicted)),
    Column("returned/s", 2, rates=lambda rates: _rate(rates.returned)),
    Column("stored", 1, now=lambda now: f"{now.absent:,}"),
    Column("memory", 8, now=lambda now: f"{now.memory / 2**20:,.0f} MiB"),
    Column("CPU", 7, rates=lambda rates: f"{rates.cpu:.0%}"),
)


def draw(rows: Sequence[Row], width: int | None) -> list[str]:
    """Return the lines of a table of all workers: the headers, each worker, the sum of several.

    Parameters
    ----------
    rows : sequence of Row
        One a worker.
    width : int or None
        Columns of the terminal; None where there is no end to a line.
    """
    columns = list(COLUMNS)
    table = _texts(rows, columns)
    while width is not None and columns and sum(_widths(table)) + _GAP * (len(columns) + 1) > width:
        columns.remove(min(columns, key=lambda column: column.importance))
        table = _texts(rows, columns)
    widths = _widths(table)
    lines = (
        (" " * _GAP).join(
            cell.ljust(room) if place < _LEFT else cell.rjust(room)
            for place, (cell, room) in enumerate(zip(cells, widths, strict=True))
        )
        for cells in table
    )
    return [line[:width].rstrip() for line in lines]


def _texts(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    """Return headers and cells; trouble stands in the place of the model."""
    texts = [["worker", "model", *(column.header for column in columns)]]
    for row in rows:
        now = row.snapshot.now if row.snapshot else None
        model = row.trouble or (row.snapshot.fingerprint[:8] if row.snapshot else _UNKNOWN)
        texts.append([row.name, model, *(column.cell(now, row.rates) for column in columns)])
    if len(rows) > 1:
        now = all_now([row.snapshot.now for row in rows if row.snapshot])
        rates = all_rates([row.rates for row in rows if row.rates])
        answering = sum(row.trouble is None for row in rows)
        name = f"all {len(rows)}" if answering == len(rows) else f"{answering} of {len(rows)}"
        texts.append([name, "", *(column.cell(now, rates) for column in columns)])
    return texts


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _number(value: float) -> str:
    return _UNKNOWN if value != value else f"{value:,.1f}"


def _rate(value: float) -> str:
    """Write what should be 0: a single one within a long interval is not to look like none."""
    return f"{value:,.0f}" if value == 0 or value >= 10 else f"{value:.1g}"
