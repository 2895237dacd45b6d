"""The configuration file: TOML, a table for each command."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streamlstm.errors import ConfigurationError

from .names import Path as CommandPath
from .names import nearest, options_of, services


def read_configuration(file: Path) -> dict[CommandPath, dict[str, Any]]:
    """Return the values for each command, by the names of the functions' parameters.

    Parameters
    ----------
    file : Path

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or has a table, an option or a kind of value that there is not.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError among them
        raise ConfigurationError(f"{file}: expected TOML: {error}") from None
    found: dict[CommandPath, dict[str, Any]] = {}
    known = services()
    for name, value in tables.items():
        if not isinstance(value, dict):
            raise ConfigurationError(
                f"{file}: {name} stands in no table: expected it below the name of its command, "
                f"such as {_headings(known)[0]}"
            )
        _read_table(file, (name,), value, known, found)
    return found


def _headings(known: dict[CommandPath, Any]) -> list[str]:
    return [f"[{'.'.join(path)}]" for path in known]


def _read_table(
    file: Path,
    path: CommandPath,
    table: dict[str, Any],
    known: dict[CommandPath, Any],
    found: dict[CommandPath, dict[str, Any]],
) -> None:
    """Read a table, and those in it that are of other commands."""
    heading = f"[{'.'.join(path)}]"
    if not any(other[: len(path)] == path for other in known):
        said = nearest(heading, _headings(known))
        raise ConfigurationError(f"{file}: there is no command for {heading}; {said}")
    options = options_of(known[path]) if path in known else {}
    for name, value in table.items():
        key = name.replace("_", "-")
        if isinstance(value, dict) and not _takes_pairs(options.get(key)):
            _read_table(file, (*path, name), value, known, found)
        elif key not in options:
            within = {each: known[each] for each in known if each[: len(path)] == path}
            said = nearest(key, options or _headings(within))
            raise ConfigurationError(f"{file}: {heading} has no option {name}; {said}")
        else:
            parameter = options[key]
            where = f"{file}: {heading} {name}"
            found.setdefault(path, {})[parameter.name] = _checked(where, parameter, value)


def _checked(where: str, parameter: Any, value: Any) -> Any:
    """Return a value as the command line would have it; what is left is checked by typer."""
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    if isinstance(value, dict):
        value = [f"{name}={each}" for name, each in _pairs(where, value, "")]
    if isinstance(value, list):
        if not several:
            raise ConfigurationError(f"{where}: expected one value, got a list of {len(value)}")
        return [_checked(where, _One(parameter), each) for each in value]
    flag = getattr(parameter, "is_flag", False)
    if isinstance(value, bool) != flag or not isinstance(value, str | int | float):
        expected = "true or false" if flag else "a text or a number"
        raise ConfigurationError(f"{where}: expected {expected}, got {_as_toml(value)}")
    if flag:
        return value
    return [str(value)] if several else str(value)


def _takes_pairs(parameter: Any) -> bool:
    """Tell whether an option takes NAME=VALUE several times, which a table may say."""
    return getattr(parameter, "metavar", None) == "NAME=VALUE"


def _pairs(where: str, table: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    """Return names and values of a table; a name with dots in it is a table to TOML."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _pairs(where, value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{name}", value if isinstance(value, str) else _as_toml(value)
        else:
            raise ConfigurationError(
                f"{where}: {prefix}{name}: expected a text, a number, true or false, got "
                f"{_as_toml(value)}"
            )


class _One:
    """One value of an option that may have several."""

    multiple, nargs = False, 1

    def __init__(self, parameter: Any) -> None:
        self.is_flag = getattr(parameter, "is_flag", False)


def _as_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
