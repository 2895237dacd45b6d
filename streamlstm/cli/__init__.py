"""The `streamlstm` command: its subcommands, and how errors become messages and exit statuses.

Each name in `COMMANDS` is a module or a package of this package that has a function of the same
name, or a typer.Typer where the command has several parts. To add a command, write that module and
add its name. A command that runs until it is stopped is decorated with `@service`
(configuration/decorator.py): its options also stand in a file and in the environment.
"""

# ruff: noqa: E402 - Ctrl-C is handled before anything else is imported
from . import interrupts

_before = interrupts.handle(interrupts.exit_now)

import gc
import io
import os
import sys
from importlib import import_module
from inspect import cleandoc
from typing import Annotated, Any, NoReturn

import typer

from streamlstm import __version__
from streamlstm.errors import StreamLSTMError

# In the order of the help text.
COMMANDS = (
    "train",
    "convert",
    "inspect",
    "online",
    "predict",
    "evaluate",
    "detect",
    "gates",
    "plot",
    "serve",
    "fleet",
    "publish",
    "bridge",
    "watch",
    "web",
    "gateway",
    "info",
    "top",
    "keys",
    "streams",
    "forget",
    "reload",
    "bench",
    "compile",
    "store",
    "config",
)

app = typer.Typer(
    name="streamlstm",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"streamlstm {__version__}")
        raise typer.Exit


@app.callback()
def _streamlstm(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Recurrent networks over live streams: train, serve, publish, watch.

    \b
    Example:
      streamlstm train data.csv --target value --out model.safetensors
      streamlstm serve model.safetensors
    """  # noqa: D301 - \b keeps the lines of the example apart


def _unfold(text: str) -> str:
    """Join the lines of each paragraph except examples; typer would keep the source's breaks."""
    paragraphs = cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith("\b") else p.replace("\n", " ") for p in paragraphs)


def _add(to: typer.Typer, name: str) -> None:
    command = getattr(import_module(f".{name}", __name__), name)
    if isinstance(command, typer.Typer):
        for part in command.registered_commands:
            part.help = _unfold(str(part.callback.__doc__))
            part.cls = getattr(part.callback, "command_class", part.cls)
        to.add_typer(command, name=name)
    else:
        made_by = getattr(command, "command_class", None)
        to.command(name, cls=made_by, help=_unfold(command.__doc__))(command)


def all_commands() -> Any:
    """Return a group of all commands."""
    every = typer.Typer(name="streamlstm")
    for name in COMMANDS:
        _add(every, name)
    return typer.main.get_command(every)


# These modules import little; a command imports what it needs when it runs. In a process of its own
# a command is made alone: to make all of them takes a sixth of the time of `streamlstm info`.
_asked = [name for name in sys.argv[1:2] if name in COMMANDS and interrupts.is_command()]
for _name in _asked or COMMANDS:
    _add(app, _name)

if not interrupts.is_command():
    interrupts.handle(_before)


def main() -> NoReturn:
    """Run the command line; an error of the user ends with one sentence and exit status 1."""
    interrupts.handle(interrupts.exit_now)
    _reopen_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        try:
            interrupts.handle(interrupts.interrupt)
            app()
        finally:
            sys.stdout.flush()
            interrupts.handle(interrupts.exit_now)  # until the interpreter is gone
            gc.freeze()  # or the end looks through all that was imported, for a third of a second
    except KeyboardInterrupt:
        sys.exit(interrupts.STATUS)
    except BrokenPipeError:
        # The reader is gone (`| head`). Python would report that again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except StreamLSTMError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"there is not enough memory for this: {error or 'an allocation failed'}")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    sys.exit(0)


def _reopen_closed_streams() -> None:
    """Point closed standard streams (`<&-`, `>&-`) to the null device.

    Python sets them to None, and the next file or socket that is opened would take their file
    descriptor and receive their output.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            # open() takes the lowest free descriptor, which is that of the closed stream.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as we run


def _fail(sentence: str) -> NoReturn:
    if (logs := sys.modules.get("streamlstm.serving.logs")) is not None and logs.logs_json():
        logs.log_end(sentence)
    else:
        print(f"streamlstm: {sentence}", file=sys.stderr)
    sys.exit(1)
