"""``streamlstm info``: shows a worker's model, streams and counters."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from typer import Option

from .worker_options import Endpoints, Key, Router, Server, connect


def info(
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the model, the streams and the counters of a worker, or of a whole fleet.

    \b
    Example:
      streamlstm info
      streamlstm info --router tcp://127.0.0.1:7450 --json
      streamlstm info --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from json import dumps

    with connect(router, endpoints, key, server) as client:
        answer = client.info()
    workers = answer.get("workers", {})  # of a fleet
    if json:
        for each in (answer, *workers.values()):
            for histogram in each.get("histograms", {}).values():
                histogram["bounds"][-1] = None  # infinity, which JSON does not have
        print(dumps(answer))
        return
    if workers:
        answer["workers"] = ", ".join(workers)
    for name, value in _lines(answer):
        print(f"{name:30} {value}")
    counters = answer.get("counters", {})
    if judged := counters.get("judged"):
        share = f"{counters['covered'] / judged:.1%} of {judged:,}"
        print(f"{'inside the widest interval':30} {share}")
    if naive := counters.get("naive_error"):
        print(f"{'error, of that of persistence':30} {counters['own_error'] / naive:.3f}")


def _online(stage: Mapping[str, Any] | None) -> str:
    """Format what the online stage does, in one line."""
    if stage is None:
        return "none"
    words = (
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in stage.items()
        if name != "transitions"  # of a time zone, hundreds of numbers
    )
    return ", ".join(words) or "on"


_NO_SECONDS = ("own_error", "naive_error")  # fractions that are no durations


def _lines(answer: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each line of a nested map."""
    for key, value in answer.items():
        name = f"{prefix}{key}".replace("_", " ")
        if key == "histograms":
            for metric, histogram in value.items():
                yield metric.replace("_", " "), _summary(metric, histogram)
        elif key == "online":
            yield "online stage", _online(value)
        elif key == "memory":
            yield name, f"{value / 2**20:,.1f} MiB"
        elif isinstance(value, Mapping):
            yield from _lines(value, f"{name} ")
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value))
        elif isinstance(value, float):
            yield name, f"{value:,.1f}" if key in _NO_SECONDS else f"{value:,.1f} s"
        elif isinstance(value, int) and key not in ("pid", "protocol"):
            yield name, f"{value:,}"
        else:
            yield name, str(value)


def _summary(name: str, entry: Mapping[str, Any]) -> str:
    """Format p50, p99 and mean of a histogram: durations with units, sizes as whole numbers."""
    from math import ceil

    from streamlstm.serving.worker_stats import Histogram

    from .console import duration

    histogram = Histogram.from_info(entry)
    p50, p99, mean = histogram.quantile(0.5), histogram.quantile(0.99), histogram.mean
    if mean != mean:
        return "none yet"
    if name == "block_size":
        # the largest whole number below the bound
        return f"p50 {ceil(p50) - 1:,}, p99 {ceil(p99) - 1:,}, mean {mean:,.1f}"
    return f"p50 {duration(p50)}, p99 {duration(p99)}, mean {duration(mean)}"
