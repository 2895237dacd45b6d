"""``streamlstm config``: what the configuration is, and where each value came from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, BadParameter, Option

config = typer.Typer(
    help="Show the options that hold: of the command line, the environment, a file, or the default."
    "\n\n\b\nExample:\n  streamlstm config show serve --config streamlstm.toml",
    no_args_is_help=True,
)


@config.command(context_settings={"ignore_unknown_options": True})
def show(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        Argument(
            metavar="[COMMAND [OPTIONS]]",
            help="A command line as it would be run, such as: serve --config FILE --capacity 500.",
        ),
    ] = None,
    as_json: Annotated[bool, Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the options of a command and where each value comes from, without running it.

    Without a COMMAND: of all commands, what a file (--config) or the environment says.

    \b
    Example:
      streamlstm config show serve --config streamlstm.toml --capacity 500
      streamlstm config show --config streamlstm.toml --json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from .configuration.names import services

    root, words, known = context.find_root(), list(command or []), services()
    if words and not words[0].startswith("-"):
        found = [_of(root, words, known)]
    else:
        parsed = (_parse(root, path, part, words) for path, part in known.items())
        found = [(path, [row for row in rows if row["from"] != "default"]) for path, rows in parsed]
    if as_json:
        _print_json(found)
    else:
        _print_table(found)


CommandPath = tuple[str, ...]
Rows = list[dict[str, Any]]


def _of(root: Any, words: list[str], known: dict[CommandPath, Any]) -> tuple[CommandPath, Rows]:
    """Return the path and the options of the command that a command line begins with."""
    for path, command in known.items():
        if tuple(words[: len(path)]) == path:
            rest = words[len(path) :]
            return _parse(root, path, command, rest[rest[:1] == ["serve"] :])  # fleet serve
    commands = ", ".join(" ".join(each) for each in known)
    raise BadParameter(f"expected one of the commands {commands}, got {words[0]}")


def _parse(
    root: Any, path: CommandPath, command: Any, words: list[str]
) -> tuple[CommandPath, Rows]:
    """Parse a command line; a command may lack what it cannot run without."""
    parent = root
    for name in path[:-1]:
        parent = type(root)(root.command, info_name=name, parent=parent)
    for parameter in command.params:
        parameter.required = False
    context = command.make_context(path[-1], list(words), parent=parent)
    return path, list(_rows(context, path))


def _rows(context: Any, path: CommandPath) -> Iterator[dict[str, Any]]:
    from .configuration.command import origin
    from .configuration.names import options_of, variable_of

    for key, parameter in options_of(context.command).items():
        yield {
            "option": key,
            "value": _plain(context.params.get(parameter.name)),
            "from": origin(context, parameter),
            "variable": variable_of(path, key),
        }


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _print_json(found: list[tuple[CommandPath, Rows]]) -> None:
    import json

    said = {
        " ".join(path): {row.pop("option"): row for row in rows} for path, rows in found if rows
    }
    print(json.dumps(said, indent=2))


def _print_table(found: list[tuple[CommandPath, Rows]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from .console import console

    table = Table("command", "option", "value", "from", box=None, pad_edge=False)
    for path, rows in found:
        for row in rows:
            value = "-" if row["value"] in (None, []) else _shown(row["value"])
            table.add_row(" ".join(path), row["option"], escape(value), escape(row["from"]))
    console.print(table if table.row_count else "nothing is set in a file or in the environment")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
