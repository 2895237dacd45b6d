"""``streamlstm reload``: let a worker take its model file anew."""

from contextlib import nullcontext
from typing import Annotated

from typer import Option

from .worker_options import Endpoints, Key, Router, Server, connect


def reload(
    anew: Annotated[
        bool,
        Option("--anew", help="Let all streams begin anew, with any model; their numbers stay."),
    ] = False,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
    timeout: Annotated[
        float, Option(min=0.1, metavar="SECONDS", help="To wait for; it may have to compile.")
    ] = 120.0,
) -> None:
    """Let a worker go on with what stands in its model file now; no message is lost.

    Replace the file first, in one piece: write the new one beside it, then mv. Without
    --anew the model must have the same inputs and outputs, and layers whose memory is laid out
    alike; streams go on with their state. What is refused changes nothing.

    \b
    Example:
      streamlstm reload --endpoints worker.json
      streamlstm reload --anew
    """  # noqa: D301 - \b keeps the lines of the example apart
    from .console import err

    with connect(router, endpoints, key, server, timeout) as client:
        waits = err.status("the worker makes the model ready")
        with waits if err.is_terminal else nullcontext():
            done = client.reload(anew)
    changed = "; ".join(done["changed"]) or "nothing, it is the same model"
    print(f"model {done['model'][:8]} follows {done['before'][:8]}; changed: {changed}")
    print("all streams begin anew" if done["anew"] else "all streams go on with their state")
