"""``streamlstm fleet gateway``: the process of a gateway, which the fleet starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from typer import BadParameter, Option


def gateway(
    control: Annotated[str, Option()],
    router: Annotated[str, Option()],
    pull: Annotated[str, Option()],
    xpub: Annotated[str, Option()],
    insecure: Annotated[bool, Option("--insecure")] = False,
    key: Annotated[Path | None, Option()] = None,
    allow: Annotated[Path | None, Option()] = None,
    max_message_bytes: Annotated[int, Option()] = 1_048_576,
    max_connections: Annotated[int | None, Option()] = None,
    max_rate: Annotated[float | None, Option()] = None,
    spin: Annotated[float, Option()] = 0,
    fleet_parent: Annotated[int | None, Option()] = None,
    log_format: Annotated[str, Option()] = "text",
) -> None:
    """Serve the clients of a fleet at one address."""
    import gc
    import logging
    import sys

    from streamlstm.backends.warmup import compile_kernels
    from streamlstm.fleet.gateway import serve_gateway
    from streamlstm.serving.access.curve_server import CurveServer
    from streamlstm.serving.connections import allow_descriptors
    from streamlstm.serving.gateway.gateway import NAMES
    from streamlstm.serving.logs import log_to_stderr
    from streamlstm.serving.parent import end_with

    from ..signals import exit_on_interrupt

    def on_ready(endpoints: dict[str, str]) -> None:
        log = logging.getLogger(__name__)
        for name, endpoint in endpoints.items():
            log.info("%-7s %s", name, endpoint)
        log.info("ready; Ctrl-C stops", extra={"fields": {"endpoints": endpoints}})

    if fleet_parent is not None:
        end_with(fleet_parent)
    log_to_stderr(log_format)
    allow_descriptors(max_connections)
    curve = None if key is None or allow is None else CurveServer(key, allow)
    with exit_on_interrupt():  # the compiler swallows some interrupts
        compile_kernels(NAMES, report=True)
    sys.setswitchinterval(0.0005)
    gc.freeze()
    serve_gateway(
        control,
        {"router": router, "pull": pull, "xpub": xpub},
        on_ready,
        insecure=insecure,
        curve=curve,
        max_message_bytes=max_message_bytes,
        max_connections=max_connections,
        max_rate=max_rate,
        spin=spin * 1e-6,
    )


_SHARED = ("--key", "--allow", "--max-message-bytes", "--max-connections", "--max-rate", "--spin")


def gateway_options(arguments: list[str]) -> list[str]:
    """Return those of the options of ``streamlstm serve`` that a gateway has, too."""
    found = [argument for argument in arguments if argument == "--insecure"]
    for n, argument in enumerate(arguments):
        if argument in _SHARED:
            found += arguments[n : n + 2]
        elif argument.partition("=")[0] in _SHARED:
            found.append(argument)
    return found


def check_gateway(router: str, given: Mapping[str, Any]) -> None:
    """Check where a gateway is to be bound, before anything starts.

    Parameters
    ----------
    router : str
    given : mapping of str to object
        The options of ``streamlstm serve``.

    Raises
    ------
    EndpointError
    BadParameter
        If options of the workers do not go together with a gateway.
    """
    from streamlstm.fleet.gateway import gateway_endpoints
    from streamlstm.serving.endpoints import check_endpoint

    if given["max_streams_per_client"] is not None:
        raise BadParameter(
            "--max-streams-per-client: to a worker all clients of a gateway are one, so one of "
            "them could use up what all may have; leave it out, give clients --endpoints in place "
            "of --gateway, or bound them with --max-rate, which the gateway counts for each"
        )
    for endpoint in gateway_endpoints(router).values():
        check_endpoint("gateway", endpoint, given["insecure"], given["key"] is not None)
