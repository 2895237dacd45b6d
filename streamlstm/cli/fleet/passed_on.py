"""Options that ``streamlstm fleet`` passes on to its workers: checked before a worker starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer import BadParameter

from ..serve import serve
from ..serve.checks import check_sockets
from ..serve.model import check_served, load_served

# What a fleet decides itself, and what to use in place of it.
OWN = {
    "pull": "a fleet derives it from --router",
    "xpub": "a fleet derives it from --router",
    "take_over": "a fleet takes the folders of its own workers over by itself",
    "fleet": "streamlstm fleet starts the workers with it",
    "fleet_parent": "streamlstm fleet starts the workers with it",
    "fleet_name": "streamlstm fleet starts the workers with it",
    "fleet_epoch": "streamlstm fleet starts the workers with it",
}


def check_passed_on(arguments: Sequence[str], router: str, store: str) -> dict[str, Any]:
    """Check what is passed on to the workers; return the options of streamlstm serve.

    ``model`` is the model file, None for a detector, and ``fingerprint`` that of the model.

    Raises
    ------
    BadParameter, StreamLSTMError
        As streamlstm serve would.
    """
    given = _parse([*arguments, "--store", store])
    defaults = _parse(["model"])
    for name, instead in OWN.items():
        if given[name] != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            raise BadParameter(f"{option} is not for the workers of a fleet: {instead}")
    check_sockets({"router": router}, given["insecure"], given["key"] is not None)
    file = check_served(given["model"], given["detector"])
    network = load_served(file, given["model"])
    return given | {"model": file, "fingerprint": network.fingerprint}


def _parse(arguments: Sequence[str]) -> dict[str, Any]:
    app = typer.Typer(add_completion=False)
    app.command(name="fleet")(serve)
    context = typer.main.get_command(app).make_context("streamlstm fleet", list(arguments))
    found: dict[str, Any] = context.params
    return found
