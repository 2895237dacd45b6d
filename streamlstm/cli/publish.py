"""``streamlstm publish``: send observations to a worker, from a file, a pipe or this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Exit, Option

if TYPE_CHECKING:
    from streamlstm.client.client import Client, Publisher

    from .publish_report import Report
    from .publish_sources import Observation

HOST_UNITS = (
    "values are fractions of 1 (loads, memory), or log10(1 + r) / 10 of a rate of r bytes or "
    "switches a second (streamlstm/data/host.py)"
)
LINGER = 10.0  # seconds that a slow worker has to take what was fed


def publish(
    source: Annotated[
        str | None, Argument(metavar="DATA.CSV|-", help="A CSV file, or - for standard input.")
    ] = None,
    host: Annotated[
        bool, Option("--host", help="Send samples of this machine instead of a file.")
    ] = False,
    router: Annotated[
        str | None, Option(help="Ask there; tcp://127.0.0.1:7450 if left out.")
    ] = None,
    pull: Annotated[
        str | None, Option(help="Feed there instead: no predictions come back, only a count.")
    ] = None,
    endpoints: Annotated[
        Path | None, Option(help="Ask where the file says that serve --endpoints wrote.")
    ] = None,
    stream: Annotated[
        str | None, Option(help="Name of the stream; the file's if left out.")
    ] = None,
    stream_column: Annotated[str | None, Option(help="Column that names the stream.")] = None,
    column: Annotated[
        list[str] | None,
        Option(
            help="Column of a feature, once for each, in order. If left out: the model's inputs; "
            "with --pull all numeric columns."
        ),
    ] = None,
    rate: Annotated[
        float | None,
        Option(
            help="Observations a second of each stream; if left out as fast as they are "
            "answered, with --host 10."
        ),
    ] = None,
    seconds: Annotated[float | None, Option(help="Stop after so many seconds.")] = None,
    replay: Annotated[
        bool,
        Option(
            "--replay",
            help="Apply each row exactly once, whatever crashes: row n of a stream is its "
            "observation n; what was applied before is passed over, what a crash undid sent again.",
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        Option(
            help="With --replay: keep there what is not confirmed, so that no prediction is lost."
        ),
    ] = None,
    key: Annotated[
        Path | None, Option(help="This client's secret key, for a worker that has keys.")
    ] = None,
    server: Annotated[Path | None, Option(help="The worker's public key.")] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Send observations to a worker and print its predictions.

    \b
    Example:
      streamlstm publish data.csv
      streamlstm publish --host --seconds 10
      tail -f sensor.csv | streamlstm publish - --stream sensor-1 --json
      tail -n +1 -f a.csv | streamlstm publish - --replay --journal a.journal
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm import wire
    from streamlstm.client.client import Client, Publisher
    from streamlstm.serving.endpoints_file import read_endpoints

    from .console import err
    from .publish_report import Report
    from .publish_sources import HOST_RATE, from_csv, from_host

    if host == (source is not None):
        raise BadParameter("expected either a CSV file (or - for standard input) or --host")
    if sum(option is not None for option in (router, pull, endpoints)) > 1:
        raise BadParameter("expected only one of --router, --pull and --endpoints")
    for option, number in (("--rate", rate), ("--seconds", seconds)):
        if number is not None and not 0 < number < float("inf"):
            raise BadParameter(f"expected a number above 0, got {number:g}", param_hint=option)
    if stream == "":
        raise BadParameter("expected a name, got none", param_hint="--stream")
    if replay and pull is not None:
        raise BadParameter("--replay asks at the router, --pull feeds: expected only one of them")
    if journal is not None and not replay:
        raise BadParameter("expected --replay with it", param_hint="--journal")

    def observations(
        columns: Sequence[str] | None, had: Callable[[str], int] | None = None
    ) -> Iterator[Observation]:
        if source is None:
            return from_host(rate or HOST_RATE, seconds)
        return from_csv(source, stream, stream_column, columns, rate, seconds, had)

    if pull is not None:
        with Publisher(pull, linger=LINGER, key=key, server=server) as publisher:
            _feed(publisher, observations(column), json)
        return
    asked = read_endpoints(endpoints)["router"] if endpoints else router or wire.ROUTER
    report = Report(json)
    with Client(asked, key=key, server=server) as client:
        # The worker is asked in any case: whether it is there is said before anything is read.
        inputs = client.info()["model"]["inputs"]
        if host and not json:
            err.print(HOST_UNITS)
        if not replay:
            _ask(client, observations(column or inputs), report)
    if replay:
        from .publish_replay import replay as replay_all

        chosen = column or inputs
        where = endpoints or asked
        replay_all(where, lambda had: observations(chosen, had), journal, json, key, server)
    if report.refusals:
        raise Exit(1)


def _ask(client: Client, observations: Iterator[Observation], report: Report) -> None:
    """Ask for the prediction of each observation, and print it."""
    from time import perf_counter

    from streamlstm.errors import RemoteError, ShapeError, StreamLSTMError

    failed = False
    try:
        for observation in observations:
            start = perf_counter()
            try:
                prediction = client.step(
                    observation.stream, observation.values, time=observation.time
                )
            except RemoteError as error:
                report.refused(observation, error)
                if error.code == ShapeError.code:
                    break  # the width of a source never changes: the next would be refused as well
            else:
                report.answered(observation, prediction, perf_counter() - start)
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if report.observations or not failed:  # else the error says it all
            report.end()


def _feed(publisher: Publisher, observations: Iterator[Observation], as_json: bool) -> None:
    """Send each observation and count."""
    from streamlstm.errors import StreamLSTMError

    from .console import counted

    sent, failed = 0, False
    try:
        for observation in observations:
            publisher.send(observation.stream, observation.values, time=observation.time)
            sent += 1
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if sent or not failed:  # else the error says it all
            said = f'{{"sent": {sent}}}' if as_json else f"{counted(sent, 'observation')} sent"
            print(said, flush=True)
