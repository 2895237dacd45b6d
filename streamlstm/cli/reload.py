"""``streamlstm reload``: makes a worker load its model file again."""

from contextlib import nullcontext
from typing import Annotated

from typer import Option

from .worker_options import Endpoints, Key, Router, Server, connect


def reload(
    anew: Annotated[
        bool,
        Option(
            "--anew",
            help="Accept any model; all streams start from a fresh state and keep their sequence "
            "numbers.",
        ),
    ] = False,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
    timeout: Annotated[
        float,
        Option(min=0.1, metavar="SECONDS", help="Time for the reload, which may have to compile."),
    ] = 120.0,
) -> None:
    """Make a worker switch to the current content of its model file; no message is lost.

    Replace the file atomically first: write the new file beside it, then mv. Without --anew the
    model must have the same inputs, outputs and state layout, and streams continue with their
    state. A refused reload changes nothing.

    \b
    Example:
      streamlstm reload --endpoints worker.json
      streamlstm reload --anew
    """  # noqa: D301 - \b keeps the lines of the example apart
    from .console import err

    with connect(router, endpoints, key, server, timeout) as client:
        status = err.status("the worker prepares the model")
        with status if err.is_terminal else nullcontext():
            done = client.reload(anew)
    changed = "; ".join(done["changed"]) or "nothing, it is the same model"
    print(f"model {done['model'][:8]} replaces {done['before'][:8]}; changed: {changed}")
    print("all streams were reset" if done["anew"] else "all streams continue with their state")
