"""``streamlstm fleet status``: the workers of a fleet, what they have and what they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .options import FILE, Endpoints, Json, ask

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("worker", "pid", "partitions", "streams", "rate", "p99", "memory", "restarts", "")
LEAVE = ("pid", "memory", "restarts", "partitions", "p99")  # in this order, if there is no room
GAP = 2  # spaces between two columns


def status(endpoints: Endpoints = FILE, json: Json = False) -> None:
    """Show the workers of a fleet: partitions, streams, observations a second, p99, restarts.

    Rate and p99 are those of the last second.

    \b
    Example:
      streamlstm fleet status
      streamlstm fleet status --endpoints fleet.json --json
    """  # noqa: D301 - \b keeps the lines of the example apart
    show(ask(endpoints, "status"), json)


def show(found: Mapping[str, Any], as_json: bool) -> None:
    """Print the status of a fleet as a table, or as JSON."""
    if as_json:
        from json import dumps

        print(dumps(found))
        return
    from ..console import console

    console.print(table_of(found["workers"], console.width))
    streams = sum(worker["streams"] or 0 for worker in found["workers"])
    console.print(f"{streams:,} streams in memory, of {found['capacity']:,} that may be")
    if found["moving"]:
        console.print(f"{found['moving']:,} partitions are on their way to another worker")
    for agent in found.get("agents", []):
        if not agent["ready"]:
            where = "waits for a machine" if agent["machine"] is None else "starts"
            console.print(f"{agent['name']} {where} {agent['machine'] or ''}".rstrip())
    if found["copying"]:
        console.print(f"{found['copying']:,} partitions are copied from workers that have ended")


def table_of(workers: Sequence[Mapping[str, Any]], width: int) -> Table:
    """Return the table of the workers; in few columns, what matters least is left out first."""
    from rich.table import Table

    machines = len({worker["machine"] for worker in workers})
    lines = [list(COLUMNS), *map(_cells, workers)]
    lines += [_sums(workers, machines)] if len(workers) > 1 else []
    kept = list(range(len(COLUMNS)))
    for name in LEAVE:
        if sum(max(len(line[n]) for line in lines) + GAP for n in kept) - GAP > width:
            kept.remove(COLUMNS.index(name))
    table = Table(box=None, pad_edge=False)
    for n in kept:
        is_text = COLUMNS[n] in ("worker", "pid", "")
        table.add_column(COLUMNS[n], justify="left" if is_text else "right")
    for place, line in enumerate(lines[1:]):
        table.add_row(*[line[n] for n in kept], style="bold" if place == len(workers) else None)
    return table


def _cells(worker: Mapping[str, Any]) -> list[str]:
    from ..console import duration

    p99 = worker["p99"]
    return [
        worker["name"],
        str(worker["pid"] or "-"),
        f"{worker['partitions']:,}",
        _number(worker["streams"]),
        _number(worker["rate"]),
        "-" if p99 is None else duration(p99),
        _mebibytes(worker["memory"]),
        f"{worker['restarts']:,}",
        _what(worker),
    ]


def _what(worker: Mapping[str, Any]) -> str:
    """Return what is unusual about a worker, in a few words."""
    if worker["router"] is None:
        return "starts"
    if worker["silent"] is not None and worker["silent"] > 5:
        return f"silent for {worker['silent']:.0f} s"
    if worker["store_failing"]:
        return f"its store has failed for {worker['store_failing']:.0f} s"
    return "leaves" if worker["leaves"] else ""


def _sums(workers: Sequence[Mapping[str, Any]], machines: int) -> list[str]:
    def total(key: str) -> int:
        return sum(worker[key] or 0 for worker in workers)

    slowest = max((worker["p99"] or 0 for worker in workers), default=0)
    from ..console import duration

    numbers = [f"{total(key):,.0f}" for key in ("partitions", "streams", "rate")]
    p99 = duration(slowest) if slowest else "-"
    memory = _mebibytes(total("memory"))
    where = f" on {machines} machines" if machines > 1 else ""
    return [f"all {len(workers)}{where}", "", *numbers, p99, memory, f"{total('restarts'):,}", ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _mebibytes(value: int | None) -> str:
    return "-" if value is None else f"{value / 2**20:,.0f} MiB"
