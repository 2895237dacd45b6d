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


def check_variables(path: Path, command: Any, root: Any) -> None:
    """Refuse variables that name no option, but look as if they should.

    Those are what begins with the command's own prefix, and what ends as one of its variables does.

    Raises
    ------
    ConfigurationError
    """
    own = {variable_of(path, key) for key in options_of(command)}
    ends = tuple(f"_{key}".upper().replace("-", "_") for key in options_of(command))
    others = {variable_of(other, key) for other, part in services(root) for key in options_of(part)}
    for name in os.environ:
        if not name.startswith(f"{PREFIX}_") or name in own | others:
            continue
        if name.startswith(f"{variable_of(path, '')}") or name.endswith(ends):
            raise ConfigurationError(
                f"{name} in the environment is no option of streamlstm {' '.join(path)}; "
                f"{nearest(name, own)}"
            )
