"""What each option is called in a configuration file and in the environment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

PREFIX = "STREAMLSTM"
FILE_VARIABLE = f"{PREFIX}_CONFIG"

Path = tuple[str, ...]  # a command's words behind `streamlstm`


def path_of(context: Any) -> Path:
    """Return the words of the command that a context is of.

    ``serve`` in a group stands for the group: ``streamlstm fleet MODEL`` is ``fleet serve MODEL``.
    """
    words: list[str] = []
    while context.parent is not None:
        words.insert(0, context.info_name)
        context = context.parent
    return tuple(words[:-1] if len(words) > 1 and words[-1] == "serve" else words)


def key_of(parameter: Any) -> str:
    """Return the name of an option without its dashes, or that of an argument."""
    long = [option[2:] for option in parameter.opts if option.startswith("--")]
    return (long[0] if long else str(parameter.name)).replace("_", "-")


def variable_of(path: Path, key: str) -> str:
    """Return the variable of the environment that an option may stand in."""
    return "_".join([PREFIX, *path, key]).upper().replace("-", "_")


def options_of(command: Any) -> dict[str, Any]:
    """Return the parameters of a command that may stand elsewhere, by their keys."""
    found = (p for p in command.params if not getattr(p, "hidden", False) and p.name != "config")
    return {key_of(parameter): parameter for parameter in found}


def services() -> dict[Path, Any]:
    """Return every command whose options may stand elsewhere, by its path."""
    from streamlstm.cli import all_commands

    return dict(_services(all_commands(), ()))


def _services(command: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    for name, part in getattr(command, "commands", {}).items():
        below = (*path, name)
        if getattr(part, "is_service", False):
            yield path if name == "serve" and path else below, part
        yield from _services(part, below)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that says which name was meant, or which there are."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
