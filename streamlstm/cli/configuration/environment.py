"""Options from the environment: STREAMLSTM_SERVE_ROUTER is --router of `streamlstm serve`."""

from __future__ import annotations

import os
from typing import Any

from streamlstm.errors import ConfigurationError

from .names import PREFIX, Path, nearest, options_of, services, variable_of


def name_variables(path: Path, command: Any) -> None:
    """Let typer look for each option of a command in its variable."""
    for key, parameter in options_of(command).items():
        parameter.envvar = variable_of(path, key)
        parameter.show_envvar = False  # that of --config says for all of them


def check_variables(path: Path, command: Any) -> None:
    """Refuse variables that name no option, but look as if they should.

    Those are what begins with the command's own prefix, and what ends as one of its variables does.

    Raises
    ------
    ConfigurationError
    """
    own = {variable_of(path, key) for key in options_of(command)}
    ends = tuple(f"_{key}".upper().replace("-", "_") for key in options_of(command))
    foreign = [name for name in os.environ if name.startswith(f"{PREFIX}_") and name not in own]
    for name in foreign:
        if name.startswith(variable_of(path, "")) or (name.endswith(ends) and not _is_known(name)):
            raise ConfigurationError(
                f"{name} in the environment is no option of streamlstm {' '.join(path)}; "
                f"{nearest(name, own)}"
            )


def _is_known(name: str) -> bool:
    """Tell whether a variable names an option of any command."""
    return any(
        name == variable_of(path, key)
        for path, command in services().items()
        for key in options_of(command)
    )
