"""``streamlstm serve``: runs one worker that serves one model."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from ..configuration.decorator import service as command
from ..signals import exit_on_interrupt
from .model import check_served, load_served

if TYPE_CHECKING:
    from streamlstm.serving.service import Service
    from streamlstm.serving.worker import Worker


@command
def serve(
    model: Annotated[
        str | None,
        Argument(
            metavar="MODEL",
            help="Model file of streamlstm train or convert; with --detector the names of its "
            "inputs, separated by commas.",
        ),
    ] = None,
    detector: Annotated[
        bool,
        Option(
            "--detector",
            help="Serve no model file, but a detector that scores any numbers from their first "
            "row on, without training; of one input if no names are given.",
        ),
    ] = False,
    router: Annotated[
        str,
        Option(
            help="Endpoint of the ROUTER socket, which answers requests; port * lets the system "
            "choose."
        ),
    ] = "tcp://127.0.0.1:7450",
    pull: Annotated[
        str, Option(help="Endpoint of the PULL socket, which takes observations without replies.")
    ] = "tcp://127.0.0.1:7451",
    xpub: Annotated[
        str, Option(help="Endpoint of the XPUB socket, which publishes predictions.")
    ] = "tcp://127.0.0.1:7452",
    endpoints: Annotated[
        Path | None, Option(help="Write the endpoints to this JSON file when ready.")
    ] = None,
    capacity: Annotated[int, Option(min=1, help="Streams that fit into memory.")] = 100_000,
    when_full: Annotated[
        str,
        Option(
            help="At capacity, refuse new streams, or evict-idle: move the streams that were idle "
            "longest to the store."
        ),
    ] = "refuse",
    idle_ttl: Annotated[
        float | None,
        Option(
            metavar="SECONDS",
            help="Evict streams without an observation for this long to the store; without a "
            "store they end.",
        ),
    ] = None,
    threads: Annotated[
        int,
        Option(
            min=1,
            max=1024,
            help="Threads that may share a large block: more than 1 pay on cores that nothing else "
            "uses.",
        ),
    ] = 1,
    backend: Annotated[str, Option(help="auto, cpu, cuda or reference.")] = "auto",
    device: Annotated[
        int | None, Option(min=0, help="Number of the GPU for --backend cuda; 0 by default.")
    ] = None,
    weights: Annotated[
        str,
        Option(
            help="float32, float16, bfloat16 or int8; the short ones round, and speed up large "
            "networks."
        ),
    ] = "float32",
    metrics: Annotated[
        str | None,
        Option(metavar="HOST:PORT", help="Serve Prometheus metrics over HTTP at this address."),
    ] = None,
    web: Annotated[
        int | None,
        Option(
            min=0,
            max=65535,
            metavar="PORT",
            help="Show the streams in a browser at this port of 127.0.0.1, as streamlstm web does; "
            "0 lets the system choose.",
        ),
    ] = None,
    insecure: Annotated[
        bool, Option("--insecure", help="Allow addresses that other machines can reach.")
    ] = False,
    key: Annotated[
        Path | None, Option(help="This worker's secret key, made by streamlstm keys new.")
    ] = None,
    allow: Annotated[
        Path | None,
        Option(help="Folder with the .pub files of the allowed clients, or one file of them."),
    ] = None,
    max_message_bytes: Annotated[
        int, Option(min=1024, max=2**30, help="Largest message that is accepted.")
    ] = 1_048_576,
    loop: Annotated[
        str, Option(help="auto, native (compiled) or python.", show_default=True)
    ] = "auto",
    spin: Annotated[
        float,
        Option(
            min=0,
            max=1e6,
            metavar="MICROSECONDS",
            help="Poll for messages this long before sleeping: lower latency for a busy core.",
        ),
    ] = 0,
    queue_messages: Annotated[
        int | None,
        Option(
            min=16,
            max=2**24,
            help="Messages that may wait before senders get `busy`; 16384 by default.",
        ),
    ] = None,
    queue_bytes: Annotated[
        int | None,
        Option(
            min=8192,
            max=2**40,
            help="Bytes that may wait, at least 8 times --max-message-bytes; 64 MiB or more by "
            "default.",
        ),
    ] = None,
    max_connections: Annotated[
        int | None,
        Option(
            min=1,
            help="Connections that may be open, of all clients; 1000 by default, or as many as "
            "the limit of open files allows.",
        ),
    ] = None,
    max_rate: Annotated[
        float | None,
        Option(
            min=0.001,
            help="Rate limit of one client (one key, or one connection without keys) in "
            "observations per second.",
        ),
    ] = None,
    max_streams_per_client: Annotated[
        int | None,
        Option(min=1, help="Quota of one client: streams that it may bring into memory."),
    ] = None,
    store: Annotated[
        str,
        Option(
            help="Store for checkpoints of streams: lmdb:PATH, redis://HOST:PORT/NUMBER, with "
            "?prefix=NAME for several in one database, or memory."
        ),
    ] = "memory",
    take_over: Annotated[
        bool,
        Option(
            "--take-over",
            help="Take a store in Redis from the worker that owns it; that worker ends.",
        ),
    ] = False,
    commit_ms: Annotated[
        int, Option(min=1, metavar="MILLISECONDS", help="Interval between commits to the store.")
    ] = 100,
    preload: Annotated[
        bool, Option("--preload", help="Load all streams of the store before being ready.")
    ] = False,
    fleet: Annotated[str | None, Option(hidden=True)] = None,
    fleet_name: Annotated[str, Option(hidden=True)] = "",
    fleet_epoch: Annotated[int | None, Option(hidden=True)] = None,
    fleet_ports: Annotated[str | None, Option(hidden=True)] = None,
    fleet_parent: Annotated[int | None, Option(hidden=True)] = None,
    other_model: Annotated[
        str,
        Option(
            help="If the store holds streams of another model: refuse, keep (they continue, if "
            "the layout is the same) or anew (they start from a fresh state)."
        ),
    ] = "refuse",
) -> None:
    """Start a worker, which keeps the state of every stream and answers observations.

    Ctrl-C or SIGTERM stops it within 5 seconds, after it has answered what has arrived; with a
    store within 10 seconds, after the last commit.

    \b
    Example:
      streamlstm serve model.safetensors
      streamlstm serve model.safetensors --router 'tcp://127.0.0.1:*' --endpoints worker.json
      streamlstm serve --detector temperature,pressure
    """  # noqa: D301 - \b keeps the lines of the example apart
    given = locals().copy()  # the options, by their names
    if fleet_parent is not None:
        from streamlstm.serving.parent import end_with

        end_with(fleet_parent)
    file = check_served(model, detector)
    if endpoints is not None:
        endpoints = _remove_stale(endpoints, file)
    import logging
    import os
    from contextlib import nullcontext

    from streamlstm.backends.warmup import compile_for
    from streamlstm.engine.engine import Engine
    from streamlstm.kernels.compile import DIRTY_TRACKING, EVICTION
    from streamlstm.serving.access.limits import Limits
    from streamlstm.serving.commits import SharedCommits
    from streamlstm.serving.compiled_loop import NAMES
    from streamlstm.serving.connections import allow_descriptors, connection_limit
    from streamlstm.serving.endpoints import derived_from
    from streamlstm.serving.eviction import make_eviction
    from streamlstm.serving.memory import configure_allocator
    from streamlstm.serving.partitions import Partitions
    from streamlstm.serving.service import Service
    from streamlstm.serving.stores.open import Membership
    from streamlstm.serving.worker import Worker

    from .checks import (
        check_device,
        check_options,
        check_sockets,
        curve_server,
        ports_of,
        queue_limits,
    )
    from .page import check_page
    from .store import checkpointing

    # Threads that share a block would otherwise spin afterwards, on the cores that ZeroMQ needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    check_options(given)
    backend = check_device(backend, device)
    allow_descriptors(max_connections)
    configure_allocator()
    connection_limit(max_connections)
    check_sockets({"router": router, "pull": pull, "xpub": xpub}, insecure, key is not None)
    check_page(web, key is not None)
    leaving = when_full != "refuse" or idle_ttl is not None
    curve = curve_server(key, allow)
    if metrics is not None:
        from streamlstm.serving.metrics_port import parse_address, serving_metrics

        parse_address(metrics, insecure)
    network = load_served(file, model)
    if backend in ("auto", "cpu"):
        also = [*NAMES] if loop != "python" else []
        also += [DIRTY_TRACKING] if store != "memory" or leaving else []
        also += [EVICTION] if leaving else []
        with exit_on_interrupt():  # the compiler swallows some interrupts
            compile_for(network, weights, threads, also, _lock_of(fleet))
    limits = Limits(max_rate, max_streams_per_client)
    engine = Engine(network, capacity, backend, threads, weights)
    member = None if fleet_epoch is None else Membership(fleet_name, fleet_epoch)
    with (
        checkpointing(
            engine, store, commit_ms / 1000, preload, when_full, other_model, take_over, member
        ) as checkpointer,
        derived_from("router") if fleet is not None else nullcontext(),
        Worker(
            service := Service(
                engine,
                max_message_bytes,
                checkpointer,
                SharedCommits(checkpointer) if checkpointer and checkpointer.shared else None,
                limits=limits,
                eviction=make_eviction(engine, checkpointer, when_full, idle_ttl),
                model_file=file,
                partitions=None
                if fleet is None
                else Partitions(checkpointer.shared if checkpointer else None),
            ),
            router,
            pull,
            xpub,
            insecure=insecure,
            loop=loop,
            queue_limits=queue_limits(given),
            spin=spin * 1e-6,
            curve=curve,
            max_connections=max_connections,
            former_ports=ports_of(fleet_ports),
        ) as worker,
        serving_metrics(service, metrics, insecure=insecure) if metrics else nullcontext() as url,
        worker.on_signals(),
    ):
        if fleet is not None:
            worker.join_fleet(fleet, fleet_name, url or "")
        urls = {"metrics": url} if url else {}
        _run(worker, service.health_problem, endpoints, urls, file, web)
    logging.getLogger(__name__).info("%s", _summary(service))
    if checkpointer is not None and checkpointer.lost:
        raise Exit(1)


def _lock_of(fleet: str | None) -> Path | None:
    """Return a lock that the workers of a fleet have in common, beside its control socket."""
    return None if fleet is None else Path(f"{fleet.removeprefix('ipc://')}.compiles")


def _run(
    worker: "Worker",
    health: Callable[[], str | None],
    endpoints: Path | None,
    also: dict[str, str],
    model: Path | None,
    web: int | None,
) -> None:
    """Run a worker until it stops; say where it is, in a file too, with ``also``."""
    import gc
    import logging
    import sys

    from streamlstm.serving.endpoints_file import write_endpoints
    from streamlstm.serving.systemd import Notifier

    from .page import showing

    log = logging.getLogger(__name__)
    addresses = worker.endpoints | also
    if endpoints is not None:
        write_endpoints(endpoints, addresses, model)
    for name, endpoint in addresses.items():
        log.info("%-7s %s", name, endpoint)
    # Threads that commit to the store or prepare a model yield to the loop sooner.
    sys.setswitchinterval(0.0005)
    gc.freeze()  # existing objects stay alive: scanning them again would only delay replies
    log.info("ready; Ctrl-C stops", extra={"fields": {"endpoints": addresses}})
    try:
        with Notifier() as systemd, showing(web, addresses, model):
            worker.on_stop(systemd.stopping)
            systemd.ready(health, f"serves at {addresses['router']}")
            worker.run()
    finally:
        if endpoints is not None:
            _remove_own(endpoints)


def _remove_stale(endpoints: Path, model: Path | None) -> Path:
    """Remove the endpoints file of a worker that is gone; symbolic links are followed."""
    from streamlstm.serving.endpoints_file import is_of_a_worker

    from ..output_path import check_output

    inputs = {} if model is None else {"model": model}
    target = check_output("--endpoints", endpoints, **inputs)
    if not is_of_a_worker(target):
        target.unlink(missing_ok=True)
    return target


def _remove_own(endpoints: Path) -> None:
    """Remove the endpoints file, unless another worker has replaced it."""
    import json
    from os import getpid

    try:
        if json.loads(endpoints.read_text())["pid"] == getpid():
            endpoints.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # removed or replaced by something else


def _summary(service: "Service") -> str:
    counters = service.counters.as_map()
    return (
        f"stopped: {counters['messages']:,} messages, {service.engine.steps:,} steps, "
        f"{service.counters.refused():,} refused, {counters['dropped_answers']:,} answers dropped, "
        f"a subscriber's queue was full {counters['subscriber_overflows']:,} times"
    )
