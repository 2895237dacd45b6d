"""Options that ``streamlstm fleet`` passes on to its workers: checked before a worker starts."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer import BadParameter

from ..configuration.names import key_of
from ..serve import serve
from ..serve.model import check_served, load_served

# What a fleet decides itself, and what to use in place of it.
OWN = {
    "pull": "a fleet derives it from --router",
    "xpub": "a fleet derives it from --router",
    "web": "streamlstm web --endpoints shows a fleet",
    "take_over": "a fleet takes the folders of its own workers over by itself",
    "fleet": "streamlstm fleet starts the workers with it",
    "fleet_parent": "streamlstm fleet starts the workers with it",
    "fleet_name": "streamlstm fleet starts the workers with it",
    "fleet_epoch": "streamlstm fleet starts the workers with it",
    "fleet_ports": "streamlstm fleet starts the workers with it",
}


def check_passed_on(arguments: Sequence[str], router: str, store: str) -> dict[str, Any]:
    """Check what is passed on to the workers; return the options of streamlstm serve.

    ``model`` is the model file, None for a detector, and ``fingerprint`` that of the model.

    Raises
    ------
    BadParameter, StreamLSTMError
        As streamlstm serve would.
    """
    from ..serve.checks import check_options, check_sockets

    given = _parse([*arguments, "--store", store])
    defaults = _parse(["model"])
    for name, instead in OWN.items():
        if given[name] != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            raise BadParameter(f"{option} is not for the workers of a fleet: {instead}")
    check_options(given)
    check_sockets({"router": router}, given["insecure"], given["key"] is not None)
    file = check_served(given["model"], given["detector"])
    network = load_served(file, given["model"])
    return given | {"model": file, "fingerprint": network.fingerprint}


def as_arguments(context: typer.Context, options: Mapping[str, Any]) -> list[str]:
    """Return as arguments those of the options that have been given, wherever."""
    found = []
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        value = options.get(str(parameter.name))
        if value is None or value is False or source is None or source.name == "DEFAULT":
            continue
        found.append(f"--{key_of(parameter)}{'' if value is True else f'={value}'}")
    return found


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    app = typer.Typer(add_completion=False)
    app.command(name="fleet")(inspect.unwrap(serve))
    context = typer.main.get_command(app).make_context("streamlstm fleet", list(arguments))
    found: dict[str, Any] = context.params
    return found
