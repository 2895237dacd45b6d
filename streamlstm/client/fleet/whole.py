"""What the workers of a fleet answer together to LIST and INFO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ... import wire

_ADDED = ("streams", "subscriptions", "topic_bytes", "connections", "memory", "cpu")
_COUNTS = ("counters", "queue")


def is_fleet(answers: Mapping[str, Any]) -> bool:
    """Return whether those who answered are workers of a fleet, not one that belongs to none."""
    return list(answers) != [""]


def whole_page(pages: Iterable[Sequence[Sequence[Any]]]) -> list[tuple[wire.StreamId, int]]:
    """Return a page of all streams from pages that begin after the same one, in order of ids.

    A stream that is on its way between two workers is in several of them.
    """
    pages = list(pages)
    ends = [_order(page[-1][0]) for page in pages if len(page) >= wire.MAX_LISTED]
    found: dict[wire.StreamId, int] = {}
    for page in pages:
        for stream, seq in page:
            found[stream] = max(seq, found.get(stream, 0))
    streams = sorted(found, key=_order)
    return [(s, found[s]) for s in streams if not ends or _order(s) <= min(ends)]


def _order(stream: wire.StreamId) -> tuple[bool, int, bytes]:
    """Return the key of LIST: integers by value, then texts by their bytes."""
    return (True, 0, stream.encode()) if isinstance(stream, str) else (False, stream, b"")


def whole_info(infos: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the INFO of a fleet: sums, what all have in common, and ``workers``, that of each."""
    each = list(infos.values())
    if not is_fleet(infos):
        return each[0]
    found = dict(each[0])
    del found["pid"]
    found["uptime"] = min(info["uptime"] for info in each)
    for key in _ADDED:
        found[key] = sum(info[key] for info in each)
    for key in _COUNTS:
        found[key] = _sum([info[key] for info in each])
    found["histograms"] = {
        name: _sum_histograms([info["histograms"][name] for info in each])
        for name in found["histograms"]
    }
    known = [info["fleet_capacity"] for info in each if info["fleet_capacity"] is not None]
    found["capacity"] = max(known) if known else sum(info["capacity"] for info in each)
    found["store"] = _store([info["store"] for info in each])
    found["workers"] = dict(infos)
    return found


def _sum(maps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums of counts in maps, and in maps in them."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for each in maps for key in each):
        values = [each[key] for each in maps if key in each]
        found[key] = _sum(values) if isinstance(values[0], dict) else sum(values)
    return found


def _sum_histograms(histograms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    columns = zip(*(each["counts"] for each in histograms), strict=True)
    return {
        "bounds": histograms[0]["bounds"],
        "counts": [sum(column) for column in columns],
        "sum": sum(each["sum"] for each in histograms),
    }


def _store(stores: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Return what the stores of all workers are together: the worst of them."""
    some = [store for store in stores if store is not None]
    if not some:
        return None
    failing = [store for store in some if store["failing"] is not None]
    worst = max(failing, key=lambda store: store["failing"]) if failing else some[0]
    added = {key: sum(store[key] for store in some) for key in ("pending", "absent", "losses")}
    places = {store["place"] for store in some}
    if len(places) > 1:  # of all: the workers say where each has its own
        worst = {**worst, "place": f"{len(places)} places"}
    return {**worst, **added, "committed": min(store["committed"] for store in some)}
