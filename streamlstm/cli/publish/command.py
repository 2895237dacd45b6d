"""``streamlstm publish``: sends observations to a worker from a file, a pipe or this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Exit, Option

from streamlstm.data.live.problems import OnBad

from ..interrupts import Working
from ..table_options import reads_rows
from ..worker_options import Endpoints, Key, Router, Server, worker_or_fleet

if TYPE_CHECKING:
    from streamlstm.client.client import Client
    from streamlstm.client.publisher import Publisher

    from .output import PredictionPrinter
    from .problems import Problems
    from .sources import Observation

HOST_UNITS = (
    "values are fractions of 1 (loads, memory), or log10(1 + r) / 10 of a rate of r bytes or "
    "switches a second (streamlstm/data/host.py)"
)
LINGER = 10.0  # seconds that a slow worker has to take what --pull has sent


@reads_rows
def publish(
    source: Annotated[
        str | None, Argument(metavar="DATA.CSV|-", help="A CSV file, or - for standard input.")
    ] = None,
    host: Annotated[
        bool, Option("--host", help="Send samples of this machine instead of a file.")
    ] = False,
    router: Router = None,
    pull: Annotated[
        str | None,
        Option(help="Send to this PULL socket instead: no predictions come back, only a count."),
    ] = None,
    endpoints: Endpoints = None,
    stream: Annotated[
        str | None, Option(help="Name of the stream; by default that of the file.")
    ] = None,
    column: Annotated[
        list[str] | None,
        Option(
            help="Column of a feature, repeated in the order of the features. By default the "
            "model's inputs; with --pull all numeric columns."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        Option(
            help="Observations per second of each stream; by default as fast as they are "
            "answered, with --host 10."
        ),
    ] = None,
    seconds: Annotated[float | None, Option(help="Stop after this many seconds.")] = None,
    on_bad: Annotated[
        OnBad,
        Option(
            help="What becomes of a row that cannot be used: skip and tell it, fill its bad cells "
            "as missing values (if the model fills), or stop."
        ),
    ] = OnBad.SKIP,
    replay: Annotated[
        bool,
        Option(
            "--replay",
            help="Apply each row exactly once despite crashes: row n of a stream is its "
            "observation n; rows applied before are skipped, rows lost in a crash are sent again.",
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        Option(
            help="With --replay: file for unconfirmed observations, so that no prediction is lost."
        ),
    ] = None,
    key: Key = None,
    server: Server = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
    *,
    reading: dict[str, Any],
) -> None:
    """Send observations to a worker or a fleet and print the predictions.

    Rows that cannot be used are told on stderr, once a second at most, and counted at the end. The
    exit status is 0 if the input ended and the worker took every row that could be used, 1 if it
    refused one, if no row could be used, or with --on-bad stop at one that could not.

    \b
    Example:
      streamlstm publish data.csv
      streamlstm publish --host --seconds 10
      tail -f sensor.csv | streamlstm publish - --stream sensor-1 --json
      tail -n +1 -f a.csv | streamlstm publish - --replay --journal a.journal
      streamlstm publish data.csv --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.client.client import Client
    from streamlstm.client.publisher import Publisher
    from streamlstm.data.options import ReadOptions

    from ..console import err
    from .output import PredictionPrinter
    from .problems import Problems
    from .sources import Input, Pace, from_host, from_rows

    if host == (source is not None):
        raise BadParameter("expected either a CSV file (or - for standard input) or --host")
    if sum(option is not None for option in (router, pull, endpoints)) > 1:
        raise BadParameter("expected only one of --router, --pull and --endpoints")
    _check_numbers({"--rate": rate, "--seconds": seconds})
    if stream == "":
        raise BadParameter("expected a name, got none", param_hint="--stream")
    if journal is not None and not replay:
        raise BadParameter("expected --replay with it", param_hint="--journal")
    if pull is not None:
        _check_one_way(replay, on_bad)
    fills = False  # whether cells may be missing
    pace = Pace(rate, seconds)
    problems = Problems("sample" if host else "line")

    def observations(
        columns: Sequence[str] | None, applied: Callable[[str], int] | None = None
    ) -> Iterator[Observation]:
        if source is None:
            return from_host(pace, problems, on_bad)
        options = ReadOptions(**reading, columns=tuple(columns or ()), missing=fills)
        rows = Input(source, stream, options, on_bad)
        return from_rows(rows, pace, problems, applied)

    if pull is not None:
        with Working(), Publisher(pull, linger=LINGER, key=key, server=server) as publisher:
            _send(publisher, observations(column), problems, json)
        return
    where = worker_or_fleet(router, endpoints)
    printer = PredictionPrinter(json)
    with Client(**where, key=key, server=server) as client:
        # A request in any case: a missing worker is reported before anything is read.
        model = client.info()["model"]
        inputs, fills = model["inputs"], "fill" in (model.get("online") or {})
        if on_bad is OnBad.FILL and not fills:
            raise BadParameter(
                "the worker's model refuses missing values; `streamlstm online MODEL --fill last "
                "--out NEW` makes one that fills them, or use --on-bad skip",
                param_hint="--on-bad",
            )
        if host and not json:
            err.print(HOST_UNITS)
        if not replay:
            with Working():
                _step(client, observations(column or inputs), printer, problems)
    if replay:
        from .replay import replay as replay_all

        columns = column or inputs
        with Working():
            replay_all(
                where,
                lambda applied: observations(columns, applied),
                problems,
                journal,
                json,
                key,
                server,
            )
    if printer.refusals:
        raise Exit(1)


def _check_numbers(given: Mapping[str, float | None]) -> None:
    for option, number in given.items():
        if number is not None and not 0 < number < float("inf"):
            raise BadParameter(f"expected a number above 0, got {number:g}", param_hint=option)


def _check_one_way(replay: bool, on_bad: OnBad) -> None:
    """Refuse what needs replies, which do not come from a PULL socket."""
    if replay:
        raise BadParameter("expected only one of --replay and --pull: --replay needs replies")
    if on_bad is OnBad.FILL:
        raise BadParameter(
            "a PULL socket does not tell whether the model fills missing values; send to --router, "
            "or use --on-bad skip",
            param_hint="--on-bad",
        )


def _step(
    client: Client,
    observations: Iterator[Observation],
    printer: PredictionPrinter,
    problems: Problems,
) -> None:
    """Request the prediction of each observation, and print it."""
    from time import perf_counter

    from streamlstm.errors import RemoteError, ShapeError, StreamLSTMError

    failed = False
    try:
        for observation in observations:
            start = perf_counter()
            try:
                prediction = client.observe(
                    observation.stream, observation.values, time=observation.time
                )
            except RemoteError as error:
                printer.refused(observation, error)
                if error.code == ShapeError.code:
                    break  # all rows of a source are equally wide: the next would be refused too
            else:
                printer.answered(observation, prediction, perf_counter() - start)
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if printer.observations or not failed:  # else the error message is enough
            printer.summarize()
            problems.summarize()


def _send(
    publisher: Publisher, observations: Iterator[Observation], problems: Problems, as_json: bool
) -> None:
    """Send each observation without a reply, and print their number."""
    from streamlstm.errors import StreamLSTMError

    from ..console import counted

    sent, failed = 0, False
    try:
        for observation in observations:
            publisher.send(observation.stream, observation.values, time=observation.time)
            sent += 1
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if sent or not failed:  # else the error message is enough
            line = f'{{"sent": {sent}}}' if as_json else f"{counted(sent, 'observation')} sent"
            print(line, flush=True)
            problems.summarize()
