"""The class of commands whose options may also stand in a file and in the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from streamlstm.errors import ConfigurationError

from .environment import check_variables, name_variables
from .names import key_of, path_of

_META = "streamlstm.configuration"  # of a context: the file


def load_file(context: typer.Context, file: Path | None) -> Path | None:
    """Let the options that are not on the command line have the values of a file.

    Typer calls it with the value of --config, before other options get theirs.
    """
    if file is not None and not context.resilient_parsing:
        from .file import read_configuration

        tables = read_configuration(file)
        context.default_map = tables.get(path_of(context), {})
        context.meta[_META] = file
    return file


class ServiceCommand(TyperCommand):
    """A command that is told its options on the command line, in the environment or in a file."""

    is_service = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; what is wrong elsewhere is an error that says where."""
        path = path_of(ctx)
        name_variables(path, self)
        if not ctx.resilient_parsing:
            check_variables(path, self)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            parameter = getattr(error, "param", None)
            where = parameter is not None and origin(ctx, parameter)
            if not where or where in (COMMAND_LINE, DEFAULT):
                raise
            raise ConfigurationError(
                f"{where}: {error.message}, got {_given(ctx, parameter)!r}"
            ) from None


def _given(context: Any, parameter: Any) -> Any:
    """Return what the environment or the file says."""
    return parameter.resolve_envvar_value(context) or context.lookup_default(parameter.name)


COMMAND_LINE, DEFAULT = "command line", "default"


def origin(context: Any, parameter: Any) -> str:
    """Return where the value of a parameter came from: in words, a variable, or file and key."""
    source = context.get_parameter_source(parameter.name)
    match source.name if source is not None else "DEFAULT":
        case "COMMANDLINE":
            return COMMAND_LINE
        case "ENVIRONMENT":
            return str(parameter.envvar)
        case "DEFAULT_MAP":
            heading = ".".join(path_of(context))
            return f"{context.meta[_META]}: [{heading}] {key_of(parameter)}"
    return DEFAULT
