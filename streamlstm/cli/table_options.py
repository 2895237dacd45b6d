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
            Option(help="Resample to even steps: '1min mean', also last, min, max, sum, median."),
        ],
        None,
    ),
    "allow_gaps": (
        Annotated[bool, Option("--allow-gaps", help="Treat the rows around a gap as consecutive.")],
        False,
    ),
}


_WITH_GAPS = tuple(name for name in _OPTIONS if name != "allow_gaps")
_OF_ROWS = tuple(name for name in _OPTIONS if name not in ("sort", "resample", "allow_gaps"))
"""Those that rows have which are read one by one."""


def reads_table(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how to read its table.

    The command has a parameter ``reading``: a dict by the fields of `ReadOptions`.
    """
    return _with_options(command, tuple(_OPTIONS))


def reads_table_with_gaps(command: Callable[..., None]) -> Callable[..., None]:
    """Do the same for a command to which rows around a gap are always consecutive."""
    return _with_options(command, _WITH_GAPS)


def reads_rows(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how to read live rows, as `reads_table` does for tables."""
    return _with_options(command, _OF_ROWS)


def _with_options(command: Callable[..., None], names: tuple[str, ...]) -> Callable[..., None]:
    given = inspect.signature(command, eval_str=True)
    own = [p for name, p in given.parameters.items() if name != "reading"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_OPTIONS[name][1],
            annotation=_OPTIONS[name][0],
        )
        for name in names
    ]

    @wraps(command)
    def with_options(**values: Any) -> None:
        reading = reading_of(values, names)
        command(**{p.name: values[p.name] for p in own}, reading=reading)

    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    with_options.__signature__ = given.replace(parameters=[*keyword, *added])  # type: ignore[attr-defined] # typer's
    with_options.__annotations__ = {p.name: p.annotation for p in (*keyword, *added)}
    return with_options


def reading_of(values: dict[str, Any], names: tuple[str, ...] = tuple(_OPTIONS)) -> dict[str, Any]:
    """Return the fields of `ReadOptions` of the values of options."""
    reading = {name: values[name] for name in names}
    reading["time_columns"] = tuple(reading.pop("time_column") or ())
    reading["missing_values"] = tuple(reading["missing_values"] or ())
    return reading
