"""``streamlstm fleet scale``, ``drain`` and ``move``: change a fleet while clients send."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option

from .options import FILE, Endpoints, Json, Wait, ask, say
from .ray_file import ray_file
from .status import show

LOOK_SECONDS = 0.1  # between two looks at how far a change is
LINE_SECONDS = 5.0  # between two lines that say so, where no terminal shows it
START_SECONDS = 20.0  # in which a fleet that was started just now has claimed its file


def scale(
    workers: Annotated[
        int | None, Argument(min=0, metavar="[N]", help="How many workers.", show_default=False)
    ] = None,
    machine: Annotated[
        str | None, Option(metavar="NAME", help="On this machine; else on all together, evenly.")
    ] = None,
    machines: Annotated[
        int | None, Option(min=1, help="How many machines, of a fleet that was started with --ray.")
    ] = None,
    endpoints: Endpoints = FILE,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Have N workers from now on: new ones get partitions, those that are too many hand all over.

    \b
    Example:
      streamlstm fleet scale 8
      streamlstm fleet scale 2 --no-wait
      streamlstm fleet scale 4 --machine b
      streamlstm fleet scale --machines 4
    """  # noqa: D301 - \b keeps the lines of the example apart
    if (workers is None) == (machines is None):
        raise BadParameter("expected either N, the number of workers, or --machines")
    if wait:
        _wait_for(endpoints)
    if machines is not None:
        _resize(endpoints, machines)
    question = (
        ("status",)
        if workers is None
        else ("scale", workers, *([] if machine is None else [machine]))
    )
    _change(endpoints, wait, json, *question)


def _resize(endpoints: Path, machines: int) -> None:
    on_ray = ray_file(endpoints)
    if on_ray is None:
        raise BadParameter(
            f"--machines: the fleet of {endpoints} was not started with --ray; start an agent on "
            "one more machine (streamlstm fleet MODEL --join), or let one leave (fleet drain)"
        )
    on_ray.fleet().resize(machines, say)


def _wait_for(endpoints: Path) -> None:
    """Wait for the fleet of a file while it starts; not for ever if none does.

    Raises
    ------
    EndpointError
        If it has ended before it was ready.
    """
    from time import monotonic, sleep

    from streamlstm.errors import EndpointError
    from streamlstm.fleet.endpoints import serves, starting

    deadline, before = monotonic() + START_SECONDS, None
    if not serves(endpoints) and starting(endpoints) is None:
        say(f"{endpoints}: waits up to {START_SECONDS:.0f} s for a fleet to start")
    while not serves(endpoints):
        process = starting(endpoints)
        if before is None and process is not None:
            say(
                f"{endpoints}: waits until the fleet is ready that starts (process {process}); "
                "if its workers compile kernels, its log says how far they are"
            )
        if process is None and before is not None:
            raise EndpointError(
                f"{endpoints}: its fleet (process {before}) has ended before it was ready; its "
                "log says why"
            )
        if process is None and monotonic() > deadline:
            return
        before = process
        sleep(LOOK_SECONDS)


def drain(
    worker: Annotated[
        str, Argument(metavar="WORKER", help="Its name, such as w2; or that of a machine.")
    ],
    endpoints: Endpoints = FILE,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Let a worker, or all of a machine, hand over all it has to the others, and end.

    \b
    Example:
      streamlstm fleet drain w2
      streamlstm fleet drain b
    """  # noqa: D301 - \b keeps the lines of the example apart
    _change(endpoints, wait, json, "drain", worker)


def move(
    partition: Annotated[int, Argument(metavar="PARTITION", help="0 to 1023.")],
    worker: Annotated[str, Argument(metavar="WORKER", help="Its name, such as w2.")],
    endpoints: Endpoints = FILE,
    wait: Wait = True,
    json: Json = False,
) -> None:
    """Move one partition to a worker.

    \b
    Example:
      streamlstm fleet move 17 w1
    """  # noqa: D301 - \b keeps the lines of the example apart
    _change(endpoints, wait, json, "move", partition, worker)


def _change(endpoints: Path, wait: bool, json: bool, *question: Any) -> None:
    """Ask for a change, wait until it is done, and show what is then."""
    found = ask(endpoints, *question)
    if wait:
        found = wait_until(lambda: ask(endpoints, "status"), found)
    show(found, json)


def wait_until(look: Callable[[], dict[str, Any]], found: dict[str, Any]) -> dict[str, Any]:
    """Look again and again until a fleet has nothing under way; show how far it is meanwhile.

    Into a pipe, a line every few seconds says that.
    """
    from contextlib import nullcontext
    from time import monotonic, sleep

    from ..console import err

    status, due = err.status(_progress(found)), monotonic() + LINE_SECONDS
    with status if err.is_terminal else nullcontext():
        while not found["settled"]:
            sleep(LOOK_SECONDS)
            found = look()
            status.update(_progress(found))
            if not err.is_terminal and monotonic() > due:
                say(_progress(found))
                due = monotonic() + LINE_SECONDS
    return found


def _progress(found: Mapping[str, Any]) -> str:
    """Say in a line what a fleet has under way."""
    starting = [each["name"] for each in found["workers"] if each["router"] is None]
    leaving = [each for each in found["workers"] if each["leaves"]]
    parts = [f"{', '.join(starting)} start"] if starting else []
    parts += [f"{each['name']} leaves, {each['partitions']:,} partitions left" for each in leaving]
    parts += [f"{found['moving']:,} partitions on their way"] if found["moving"] else []
    parts += [f"{found['copying']:,} partitions being copied"] if found["copying"] else []
    parts += [
        f"the store of {each['name']} has failed for {each['store_failing']:.0f} s"
        for each in found["workers"]
        if each.get("store_failing")
    ]
    return "; ".join(parts) or "partitions are divided"
