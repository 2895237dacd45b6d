"""``streamlstm store``: checks, copies and describes an LMDB store, also beside its worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streamlstm.serving.stores.lmdb.snapshot import Snapshot

SHOWN = 20  # problems of a damaged store

Place = Annotated[
    str, typer.Argument(metavar="PATH", help="Folder of an LMDB store; lmdb:PATH works too.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

store = typer.Typer(
    help="Check, copy and describe an LMDB store, also while a worker uses it.\n\n\b\nExample:\n"
    "  streamlstm store check /var/lib/streamlstm/pumps",
    no_args_is_help=True,
)


@store.command()
def check(path: Place, json: Json = False) -> None:
    """Read a store as a whole, and list what is damaged: pages, keys and records.

    It changes nothing, and may run while a worker uses the store. The exit status is 0 if the store
    is sound, 1 if it is damaged or cannot be read.

    \b
    Example:
      streamlstm store check /var/lib/streamlstm/pumps
    """  # noqa: D301 - \b keeps the lines of the example apart
    from json import dumps

    from ..console import counted

    with _opened(path, "checking") as found:
        problems = list(found.problems())
        streams = 0 if problems else found.count
        size = found.size
    if json:
        print(
            dumps({"place": found.place, "streams": streams, "bytes": size, "problems": problems})
        )
    elif not problems:
        print(f"{found.place}: is sound: {counted(streams, 'stream')}, {_mebibytes(size)}")
    else:
        print(f"{found.place}: is damaged:")
        for problem in problems[:SHOWN]:
            print(f"  {problem}")
        if len(problems) > SHOWN:
            print(f"  and {len(problems) - SHOWN:,} more")
    if problems:
        raise typer.Exit(1)


@store.command()
def backup(
    path: Place,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write; new, or an empty one.")
    ],
) -> None:
    """Copy the last commit of a store into another folder, which a worker can use as a store.

    It may run while a worker uses the store: the copy is that of one moment. It is compact, and
    checked before and after copying. OUT appears when it is complete; until then the copy is beside
    it. The exit status is 0, or 1 if there is no copy.

    \b
    Example:
      streamlstm store backup /var/lib/streamlstm/pumps /backup/pumps-monday
    """  # noqa: D301 - \b keeps the lines of the example apart
    from ..console import counted

    with _opened(path, "copying") as found:
        size, streams = found.copy(out), found.count
    print(f"wrote {out}: {counted(streams, 'stream')}, {_mebibytes(size)}")


@store.command()
def info(path: Place, json: Json = False) -> None:
    """Show what a store holds: streams, bytes, model, restarts, and how it was closed.

    The exit status is 0, or 1 if it cannot be read or its pages are damaged.

    \b
    Example:
      streamlstm store info /var/lib/streamlstm/pumps
      streamlstm store info /var/lib/streamlstm/pumps --json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from json import dumps

    with _opened(path, "reading") as found:
        answer = found.info()
    if json:
        print(dumps(answer))
        return
    for name, value in _lines(answer):
        print(f"{name:12} {value}")


def _lines(answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from datetime import UTC, datetime

    last = datetime.fromtimestamp(answer["last_commit"], UTC)
    yield "place", answer["place"]
    yield "state", answer["state"]
    yield "streams", f"{answer['streams']:,}"
    yield "record", f"{answer['record_size']:,} bytes"
    yield "file", f"{_mebibytes(answer['bytes'])}, {_mebibytes(answer['free'])} of it free"
    yield "model", answer["model"]
    yield "format", str(answer["format"])
    yield "restarts", f"{answer['epoch']} of all streams"
    yield "commits", f"{answer['commits']:,}, the last at {last:%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def _opened(path: str, doing: str) -> "Iterator[Snapshot]":
    """Open a store for reading, and show in a terminal that something is going on."""
    from contextlib import nullcontext

    from streamlstm.serving.stores.lmdb.snapshot import Snapshot

    from ..console import err

    status = err.status(f"{doing} {path}") if err.is_terminal else nullcontext()
    with status, Snapshot(path) as found:
        yield found


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
