"""``streamlstm fleet MODEL``: starts the workers of a fleet and watches them."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Context, Exit, Option

from ..configuration.decorator import service, with_options_of
from ..serve import serve as serve_one
from .gateway import check_gateway, gateway_options
from .join import READY, check_joining, run_agent
from .options import FILE
from .passed_on import OWN, as_arguments

if TYPE_CHECKING:
    from streamlstm.fleet.machine import Machine
    from streamlstm.serving.systemd import Notifier

_MOST_WORKERS = 1024
_OF_A_WORKER = 3  # descriptors: its process, its log, its connection


@service
@with_options_of(serve_one, without=OWN)
def serve(
    context: Context,
    model: Annotated[
        str | None, Argument(metavar="MODEL", help="Model file, as for streamlstm serve.")
    ] = None,
    workers: Annotated[int, Option(min=1, max=_MOST_WORKERS, help="How many workers.")] = 2,
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
    join: Annotated[
        bool,
        Option(
            "--join",
            help="Be one machine of a fleet on many: all that have the same store in Redis.",
        ),
    ] = False,
    machine: Annotated[
        str | None,
        Option(metavar="NAME", help="With --join: name of this machine, else that of the host."),
    ] = None,
    control: Annotated[
        str | None,
        Option(
            metavar="ENDPOINT",
            help="With --join: where the other machines reach this one, else at a port of the "
            "address of --router.",
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        Option(
            metavar="HOST:PORT",
            help="Serve the Prometheus metrics of all workers over HTTP at this address.",
        ),
    ] = None,
    fleet_parent: Annotated[int | None, Option(hidden=True, help="End with this process.")] = None,
    **for_workers: Any,
) -> None:
    """Start a fleet and watch it; options that streamlstm serve has too are for every worker.

    Ctrl-C or SIGTERM stops all workers, each as streamlstm serve stops.

    \b
    Example:
      streamlstm fleet model.safetensors --workers 4 --store lmdb:streams
      streamlstm fleet model.safetensors --router tcp://127.0.0.1:7500 --endpoints pumps.json
      streamlstm fleet model.safetensors --store lmdb:s --when-full evict-idle --capacity 50000
      streamlstm fleet model.safetensors --join --machine a --store redis://10.0.0.9:6379
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.fleet.endpoints import claimed

    with claimed(endpoints) as file:  # before what takes time: others see that a fleet starts
        from streamlstm.fleet.gateway import GatewayOptions
        from streamlstm.fleet.machine import Machine
        from streamlstm.fleet.sockets import WorkerSockets
        from streamlstm.serving.connections import allow_descriptors
        from streamlstm.serving.parent import end_with
        from streamlstm.serving.systemd import Notifier

        from .passed_on import check_passed_on

        if fleet_parent is not None:
            end_with(fleet_parent)
        allow_descriptors(_OF_A_WORKER * _MOST_WORKERS)
        options = [*as_arguments(context, for_workers), *context.args]
        arguments = [*([model] if model is not None else []), *options]
        given = check_passed_on(arguments, router, store)
        sockets = WorkerSockets(router)
        if gateway is not None:
            check_gateway(gateway, given)
        joining = check_joining(join, machine, control, router, store, take_over, given)
        of_all = ["--store", store] if join else []
        here = Machine(
            [*options, *of_all, *(["--metrics=127.0.0.1:*"] if metrics is not None else [])],
            sockets,
            file,
            _log,
            None if gateway is None else GatewayOptions(gateway, gateway_options(options)),
        )
        with closing(here), Notifier() as systemd:
            here.wakeup.on_stop = systemd.stopping
            if joining is not None:
                ended_well = run_agent(
                    here, joining, store, given, workers, capacity, metrics, _log, systemd
                )
            else:
                ended_well = _run(
                    here, store, take_over, given, workers, capacity, metrics, systemd
                )
    if not ended_well:
        raise Exit(1)


def _log(line: str) -> None:
    import logging

    logging.getLogger("streamlstm.fleet").info("%s", line)


def _run(
    machine: "Machine",
    store: str,
    take_over: bool,
    given: dict[str, Any],
    workers: int,
    capacity: int,
    metrics: str | None,
    systemd: "Notifier",
) -> bool:
    """Run a fleet on this machine; tell whether it ended well."""
    from streamlstm.fleet.launcher import Joined
    from streamlstm.fleet.model import FleetModel
    from streamlstm.fleet.storage import open_storage
    from streamlstm.fleet.supervisor import Supervisor

    from .metrics import serving_metrics

    supervisor = Supervisor(
        machine,
        open_storage(store, take_over),
        FleetModel(given["model"], machine.use_model),
        _log,
        machine.wakeup,
        evicts=given["when_full"] == "evict-idle",
        on_ready=lambda: on_ready(),
    )

    def on_ready() -> None:
        _log(READY)
        systemd.ready(supervisor.watch.health_problem, f"{workers} workers serve")

    watch = supervisor.watch
    about = (lambda: watch.seen), (lambda: watch.metrics)
    problems = watch.health_problem, watch.readiness_problem
    with supervisor, serving_metrics(metrics, given["insecure"], *about, *problems) as url:
        if url:
            _log(f"metrics {url}")
        machine.start_gateway()
        return supervisor.run(Joined("", workers, capacity, ()))
