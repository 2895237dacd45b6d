"""`@service`: makes a function a command that runs until it is stopped."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from typer import Option

from .command import ServiceCommand, load_file
from .names import FILE_VARIABLE

_Function = TypeVar("_Function", bound=Callable[..., Any])

Config = Annotated[
    Path | None,
    Option(
        "--config",
        metavar="FILE",
        envvar=FILE_VARIABLE,
        show_envvar=False,
        is_eager=True,
        callback=load_file,
        help="TOML file with these options, in a table of the command's name. They may also stand "
        "in the environment, --max-rate of serve as STREAMLSTM_SERVE_MAX_RATE; streamlstm config "
        "show says what holds.",
    ),
]
LogFormat = Annotated[
    str,
    Option(metavar="FORMAT", help="Of the log, on stderr: text, or json, one object a line."),
]


def service(function: _Function) -> _Function:
    """Make a function a command that runs until it is stopped.

    Its options may also stand in a configuration file (``--config``) and in the environment, and
    it logs to stderr as ``--log-format`` says; the function itself sees neither of both.
    """

    @wraps(function)
    def command(log_format: str = "text", **options: Any) -> None:
        from streamlstm.serving.logs import log_to_stderr

        options.pop("config", None)  # it was read before the other options
        log_to_stderr(log_format)
        function(**options)

    more = [_parameter("log_format", LogFormat, "text"), _parameter("config", Config, None)]
    _take(command, inspect.signature(function, eval_str=True), more)
    return cast("_Function", command)


def with_options_of(
    other: Callable[..., Any], without: Container[str] = ()
) -> Callable[[_Function], _Function]:
    """Let a command that has ``**options`` take the options of another one, too.

    Those that the command has itself are left out, and so are hidden ones and those of ``without``.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function, eval_str=True)
        theirs = inspect.signature(inspect.unwrap(other), eval_str=True).parameters
        more = [
            _parameter(name, parameter.annotation, parameter.default)
            for name, parameter in theirs.items()
            if name not in signature.parameters and name not in without
        ]
        _take(function, signature, more)
        return function

    return decorate


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _take(function: Any, signature: inspect.Signature, more: Iterable[inspect.Parameter]) -> None:
    """Let typer find more parameters in the signature of a function."""
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=[*own, *more])
    function.command_class = ServiceCommand
