"""Arguments of all commands that read a table: the model, the data and what its columns mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

ModelFile = Annotated[Path, Argument(metavar="MODEL", help="A model file, as `train` writes it.")]
TableFile = Annotated[
    str,
    Argument(
        metavar="DATA",
        help="A table: CSV, Parquet, Feather or JSON lines, also packed by gzip; - for stdin.",
    ),
]
StreamColumn = Annotated[str | None, Option(help="The column that names each row's series.")]
TimeColumn = Annotated[str | None, Option(help="The time column, if it is not detected.")]

# By the fields of `ReadOptions`; `time_column` and `missing_value` may be repeated.
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "stream_column": (StreamColumn, None),
    "time_column": (
        Annotated[
            list[str] | None,
            Option(
                "--time-column",
                help="The time column, if it is not detected; repeated, columns are joined, such "
                "as a date and a time of day.",
            ),
        ],
        None,
    ),
    "time_unit": (
        Annotated[
            str | None,
            Option(help="What numbers in the time column count: s, ms, us, ns, excel, days, ..."),
        ],
        None,
    ),
    "time_format": (
        Annotated[
            str | None, Option(help="How times are written, for strptime: '%d.%m.%Y %H:%M'.")
        ],
        None,
    ),
    "timezone": (
        Annotated[
            str | None,
            Option(help="Zone of times that name none, such as Europe/Berlin; UTC by default."),
        ],
        None,
    ),
    "decimal": (Annotated[str | None, Option(help="The decimal mark: . or ,")], None),
    "thousands": (
        Annotated[str | None, Option(help="The mark between thousands: . , ' or a space.")],
        None,
    ),
    "missing_values": (
        Annotated[
            list[str] | None,
            Option("--missing-value", help="A cell that means missing, such as -999. Repeatable."),
        ],
        None,
    ),
    "sort": (Annotated[bool, Option("--sort", help="Sort the rows by time.")], False),
    "resample": (
        Annotated[
            str | None,
            Option(help="Resample to even steps: '1min mean', also last, sum, min or max."),
        ],
        None,
    ),
    "allow_gaps": (
        Annotated[bool, Option("--allow-gaps", help="Treat the rows around a gap as consecutive.")],
        False,
    ),
}


def reads_table(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how to read its table.

    The command has a parameter ``reading``: a dict by the fields of `ReadOptions`.
    """
    given = inspect.signature(command)
    own = [p for name, p in given.parameters.items() if name != "reading"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _OPTIONS.items()
    ]

    @wraps(command)
    def with_options(**values: Any) -> None:
        command(**{p.name: values[p.name] for p in own}, reading=reading_of(values))

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    with_options.__signature__ = given.replace(parameters=[*keyword, *added])  # type: ignore[attr-defined]
    annotations = {n: t for n, t in command.__annotations__.items() if n != "reading"}
    with_options.__annotations__ = annotations | {n: kind for n, (kind, _) in _OPTIONS.items()}
    return with_options


def reading_of(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `ReadOptions` of the values of options."""
    reading = {name: values[name] for name in _OPTIONS}
    reading["time_columns"] = tuple(reading.pop("time_column") or ())
    reading["missing_values"] = tuple(reading["missing_values"] or ())
    return reading
