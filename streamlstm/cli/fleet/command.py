"""``streamlstm fleet``: the command of many workers, and its parts."""

from typing import Any

import typer

from .changes import drain, move, scale
from .gateway import gateway
from .on_ray import down, on_ray
from .reload import reload
from .serve import serve
from .status import status


class _ModelOrCommand(typer.core.TyperGroup):
    """Takes ``fleet MODEL`` for ``fleet serve MODEL``, or ``fleet on-ray MODEL`` with --ray."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            with_ray = any(argument.partition("=")[0] == "--ray" for argument in args)
            args = ["on-ray" if with_ray else "serve", *args]
        return super().parse_args(context, args)


fleet = typer.Typer(
    cls=_ModelOrCommand,
    help="Serve one model with many workers: start them, see them, change them while they run.\n\n"
    "streamlstm fleet MODEL starts a fleet (serve); the other commands find it by the file that it "
    "writes, fleet.json in the current folder.\n\n\b\n"
    "Example:\n  streamlstm fleet model.safetensors --workers 4 --store lmdb:streams\n"
    "  streamlstm fleet status\n  streamlstm fleet scale 8",
    no_args_is_help=True,
)
for _part in (serve, on_ray, status, scale, drain, move, reload, down):
    _passes_on = _part in (serve, on_ray)
    _settings = {"allow_extra_args": _passes_on, "ignore_unknown_options": _passes_on}
    fleet.command(context_settings=_settings)(_part)
fleet.command(hidden=True)(gateway)
