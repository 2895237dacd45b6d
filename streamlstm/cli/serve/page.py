"""The live page beside a worker: a process of its own that ends with the worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from typer import BadParameter

from streamlstm.errors import EndpointError
from streamlstm.serving.endpoints import describe_bind_error
from streamlstm.serving.logs import logs_json
from streamlstm.serving.parent import environment_of_parts

LOOPBACK = "127.0.0.1"
_END = 5.0  # seconds that the page has to end


def check_page(port: int | None, has_keys: bool) -> None:
    """Check whether a page can be shown.

    Raises
    ------
    BadParameter
        If it would need a key of its own.
    StreamLSTMError
        If something is not installed.
    EndpointError
        If the port is taken.
    """
    if port is None:
        return
    from ..listening import check_installed

    check_installed()
    _check_port(port)
    if has_keys:
        raise BadParameter(
            "--web: a worker with keys asks the page for one, too: start it beside the worker, "
            "streamlstm web --key ... --server ..., with a key whose role is read-only"
        )


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            reason = describe_bind_error(error, "web", "0")
            raise EndpointError(f"--web {port}: {LOOPBACK}:{port} {reason}") from None


@contextmanager
def showing(port: int | None, endpoints: Mapping[str, str], model: Path | None) -> Iterator[None]:
    """Show the worker with these endpoints at a port of loopback, inside a ``with`` block.

    The page is a process of low priority: the loop of the worker does not feel it.
    """
    if port is None:
        yield
        return
    where = ["--router", endpoints["router"], "--xpub", endpoints["xpub"]]
    gates = [] if model is None else ["--model", str(model)]
    options = ["--listen", f"{LOOPBACK}:{port}", "--parent", str(os.getpid()), *where, *gates]
    options += ["--log-format", "json" if logs_json() else "text"]
    page = subprocess.Popen(
        [sys.executable, "-m", "streamlstm", "web", *options], env=environment_of_parts()
    )
    try:
        yield
    finally:
        page.terminate()
        try:
            page.wait(_END)
        except subprocess.TimeoutExpired:
            page.kill()
            page.wait()
