"""``streamlstm fleet MODEL``: starts the workers of a fleet and watches them."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Context, Exit, Option

from .gateway import check_gateway, gateway_options
from .options import FILE

if TYPE_CHECKING:
    from streamlstm.fleet.supervisor import Supervisor


def serve(
    context: Context,
    model: Annotated[
        str | None, Argument(metavar="MODEL", help="Model file, as for streamlstm serve.")
    ] = None,
    workers: Annotated[int, Option(min=1, max=1024, help="How many workers.")] = 2,
    store: Annotated[
        str,
        Option(
            help="lmdb:FOLDER, in which each worker has a folder of its own; redis://HOST:PORT, "
            "with ?prefix=NAME, which all share; or memory."
        ),
    ] = "memory",
    take_over: Annotated[
        bool,
        Option(
            "--take-over",
            help="Take a store in Redis from the fleet or worker that owns it; that one ends.",
        ),
    ] = False,
    endpoints: Annotated[
        Path, Option(help="Write where the fleet is to this JSON file when ready.")
    ] = FILE,
    router: Annotated[
        str,
        Option(
            help="Where the workers are: with port * the system chooses, with port P the worker wN "
            "has P + 3 N for requests and the next two ports for PULL and XPUB."
        ),
    ] = "tcp://127.0.0.1:*",
    capacity: Annotated[
        int, Option(min=1, help="Streams that the workers together have in memory.")
    ] = 100_000,
    gateway: Annotated[
        str | None,
        Option(
            metavar="ENDPOINT",
            help="Let clients that know of a single worker only use the fleet at this address, "
            "with PULL and XPUB at the next two ports.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        Option(
            metavar="HOST:PORT",
            help="Serve the Prometheus metrics of all workers over HTTP at this address.",
        ),
    ] = None,
) -> None:
    """Start a fleet and watch it; further options are those of streamlstm serve, for every worker.

    Among them --idle-ttl, --when-full evict-idle, --preload, --commit-ms, --weights, --key and
    --allow. Ctrl-C or SIGTERM stops all workers, each as streamlstm serve stops.

    \b
    Example:
      streamlstm fleet model.safetensors --workers 4 --store lmdb:streams
      streamlstm fleet model.safetensors --router tcp://127.0.0.1:7500 --endpoints pumps.json
      streamlstm fleet model.safetensors --store lmdb:s --when-full evict-idle --capacity 50000
    """  # noqa: D301 - \b keeps the lines of the example apart
    import logging

    from streamlstm.fleet.endpoints import claim_file
    from streamlstm.fleet.gateway import GatewayOptions
    from streamlstm.fleet.sockets import WorkerSockets
    from streamlstm.fleet.storage import open_storage
    from streamlstm.fleet.supervisor import Supervisor

    from ..console import err
    from .passed_on import check_passed_on

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    arguments = [*([model] if model is not None else []), *context.args]
    given = check_passed_on(arguments, router, store)
    sockets = WorkerSockets(router)
    if gateway is not None:
        check_gateway(gateway, given["insecure"], given["key"] is not None)
    endpoints = claim_file(endpoints)
    supervisor = Supervisor(
        given["model"],
        [*context.args, *(["--metrics=127.0.0.1:*"] if metrics is not None else [])],
        open_storage(store, take_over),
        capacity,
        endpoints,
        lambda line: err.print(line, markup=False),
        sockets,
        None if gateway is None else GatewayOptions(gateway, gateway_options(context.args)),
    )
    with supervisor, _metrics(supervisor, metrics, given["insecure"]) as url:
        if url:
            err.print(f"metrics {url}", markup=False)
        ended_well = supervisor.run(workers, lambda: err.print("ready; Ctrl-C stops"))
    if not ended_well:
        raise Exit(1)


def _metrics(
    supervisor: "Supervisor", address: str | None, insecure: bool
) -> AbstractContextManager[str]:
    """Serve the metrics of a fleet within ``with``, if there is an address for them."""
    if address is None:
        return nullcontext("")
    from streamlstm.serving.fleet_metrics import FleetCollector
    from streamlstm.serving.metrics_port import MetricsPort, serving

    collector = FleetCollector(lambda: supervisor.seen, lambda: supervisor.metrics)
    port = MetricsPort(collector, supervisor.health_problem, supervisor.readiness_problem)
    return serving(port, address, insecure)
