"""``streamlstm serve``: one worker process around one model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Exit, Option

from .signals import leaving_at_once

if TYPE_CHECKING:
    from streamlstm.serving.access.authenticator import Locks
    from streamlstm.serving.service import Service


def serve(
    model: Annotated[Path, Argument(help="Model file, of streamlstm train or convert.")],
    router: Annotated[
        str, Option(help="Where to be asked; port * lets the system choose.")
    ] = "tcp://127.0.0.1:7450",
    pull: Annotated[str, Option(help="Where to be fed.")] = "tcp://127.0.0.1:7451",
    xpub: Annotated[str, Option(help="Where to be listened to.")] = "tcp://127.0.0.1:7452",
    endpoints: Annotated[
        Path | None, Option(help="Write the endpoints there, as JSON, when ready.")
    ] = None,
    capacity: Annotated[int, Option(min=1, help="Streams that can live at once.")] = 100_000,
    when_full: Annotated[
        str,
        Option(
            help="When all places are taken, refuse new streams, or evict-idle: "
            "those that were idle longest make room and wait in the store."
        ),
    ] = "refuse",
    idle_ttl: Annotated[
        float | None,
        Option(
            metavar="SECONDS",
            help="Streams without an observation for so long leave memory for the store; "
            "without one they end.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        Option(min=1, max=1024, help="Threads for large blocks; all cores but one if left out."),
    ] = None,
    backend: Annotated[str, Option(help="auto, cpu, cuda or reference.")] = "auto",
    device: Annotated[
        int | None, Option(min=0, help="Number of the GPU, for --backend cuda; 0 if left out.")
    ] = None,
    weights: Annotated[
        str, Option(help="float32, or float16 or bfloat16: rounded, and quicker if large.")
    ] = "float32",
    metrics: Annotated[
        str | None,
        Option(metavar="HOST:PORT", help="Serve metrics for Prometheus there, over HTTP."),
    ] = None,
    insecure: Annotated[
        bool, Option("--insecure", help="Allow addresses that other machines can reach.")
    ] = False,
    key: Annotated[
        Path | None, Option(help="This worker's secret key, of streamlstm keys new.")
    ] = None,
    allow: Annotated[
        Path | None,
        Option(help="Folder of the .pub files of clients that may come in, or a file of them."),
    ] = None,
    max_message_bytes: Annotated[
        int, Option(min=1024, max=2**30, help="Longest message that is answered.")
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
            help="Look for messages so long before sleeping: quicker answers for a busy core.",
        ),
    ] = 0,
    queue_messages: Annotated[
        int | None,
        Option(
            min=16, max=2**24, help="Messages that may wait before senders are told `busy`; 16384."
        ),
    ] = None,
    queue_bytes: Annotated[
        int | None,
        Option(
            min=8192,
            max=2**40,
            help="Their bytes, at least 8 times --max-message-bytes; 64 MiB or more if left out.",
        ),
    ] = None,
    max_rate: Annotated[
        float | None,
        Option(
            min=0.001,
            help="Observations a second of one client: of a key, or of a connection without keys.",
        ),
    ] = None,
    max_streams_per_client: Annotated[
        int | None,
        Option(min=1, help="Streams that one client, likewise, may bring into memory."),
    ] = None,
    store: Annotated[
        str,
        Option(help="Where streams outlive the worker: lmdb:PATH, redis://HOST:PORT, or memory."),
    ] = "memory",
    commit_ms: Annotated[
        int, Option(min=1, metavar="MILLISECONDS", help="Between two commits to the store.")
    ] = 100,
    preload: Annotated[
        bool, Option("--preload", help="Bring all streams of the store back before being ready.")
    ] = False,
    other_model: Annotated[
        str,
        Option(
            help="If the store holds streams of another model: refuse, keep (they go on, if its "
            "layout is the same) or anew (they begin anew)."
        ),
    ] = "refuse",
) -> None:
    """Start a worker: it keeps the memory of every stream and answers observations.

    Stops on Ctrl-C or SIGTERM, after answering what has arrived, within 5 seconds; with a store,
    within 10, after the last commit.

    \b
    Example:
      streamlstm serve model.safetensors
      streamlstm serve model.safetensors --router 'tcp://127.0.0.1:*' --endpoints worker.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    if endpoints is not None:
        endpoints = _clear(endpoints, model)
    import gc
    import logging
    import os
    import sys
    from contextlib import nullcontext

    from streamlstm.backends.factory import check_backend, compile_for
    from streamlstm.engine.engine import Engine
    from streamlstm.errors import EndpointError
    from streamlstm.kernels.compile import CHANGED, LEAVING
    from streamlstm.network.model import Model
    from streamlstm.serving.access.limits import Limits
    from streamlstm.serving.compiled_loop import NAME
    from streamlstm.serving.endpoints_file import write_endpoints
    from streamlstm.serving.eviction import check_eviction, evicting
    from streamlstm.serving.queue_limits import Bounds
    from streamlstm.serving.service import Service
    from streamlstm.serving.sockets import check_endpoint
    from streamlstm.serving.worker import Worker, check_loop

    from .console import err
    from .store_option import keeping

    # Threads that share a block would otherwise spin after it, on the cores that ZeroMQ needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if device is not None:
        if backend != "cuda":
            raise BadParameter(f"--device is for --backend cuda, not for {backend}")
        backend = f"cuda:{device}"
    check_backend(backend, weights)
    check_loop(loop, backend)
    if other_model not in ("refuse", "keep", "anew"):
        raise BadParameter(f"--other-model: expected refuse, keep or anew, got {other_model!r}")
    if loop == "python" and (spin or queue_messages or queue_bytes):
        raise BadParameter("--spin and --queue-... are of the compiled loop, not of that in Python")
    bounds = Bounds(queue_messages or 16_384, queue_bytes or max(2**26, 8 * max_message_bytes))
    bounds.check(max_message_bytes)
    for name, endpoint in (("router", router), ("pull", pull), ("xpub", xpub)):
        check_endpoint(name, endpoint, insecure, key is not None)
        if endpoint.startswith("inproc://"):
            raise EndpointError(
                f"--{name} {endpoint}: nobody outside of this process could reach it; expected "
                "tcp://ADDRESS:PORT or ipc://PATH"
            )
    check_eviction(when_full, idle_ttl, store)
    leaving = when_full != "refuse" or idle_ttl is not None
    locks = _locks(key, allow)
    if metrics is not None:
        from streamlstm.serving.metrics_port import parse_address, serving_metrics

        parse_address(metrics, insecure)
    network = Model.load(model)
    if backend in ("auto", "cpu"):
        also = [NAME] if loop != "python" else []
        also += [CHANGED] if store != "memory" or leaving else []
        also += [LEAVING] if leaving else []
        with leaving_at_once():  # an interrupt inside of the compiler is not always heard
            compile_for(network, weights, also=also)
    threads = threads or max(1, len(os.sched_getaffinity(0)) - 1)  # one is for ZeroMQ's own thread
    limits = Limits(max_rate, max_streams_per_client)
    engine = Engine(network, capacity, backend, threads, weights)
    with (
        keeping(engine, store, commit_ms / 1000, preload, when_full, other_model) as keeper,
        Worker(
            service := Service(
                engine,
                max_message_bytes,
                keeper,
                limits=limits,
                eviction=evicting(engine, keeper, when_full, idle_ttl),
                model_file=model,
            ),
            router,
            pull,
            xpub,
            insecure=insecure,
            loop=loop,
            bounds=bounds,
            spin=spin * 1e-6,
            locks=locks,
        ) as worker,
        serving_metrics(service, metrics, insecure=insecure) if metrics else nullcontext() as url,
        worker.on_signals(),
    ):
        places = worker.endpoints | ({"metrics": url} if url else {})
        if endpoints is not None:
            write_endpoints(endpoints, places)
        for door, endpoint in places.items():
            err.print(f"{door:7} {endpoint}", markup=False)
        # Threads that write to the store or make a model ready give way to the loop sooner.
        sys.setswitchinterval(0.0005)
        gc.freeze()  # what exists now stays: looking through it again would only delay answers
        err.print("ready; Ctrl-C stops")
        try:
            worker.run()
        finally:
            if endpoints is not None:
                _withdraw(endpoints)
    err.print(_summary(service))
    if keeper is not None and keeper.lost:
        raise Exit(1)


def _locks(key: Path | None, allow: Path | None) -> "Locks | None":
    if key is None and allow is None:
        return None
    if key is None or allow is None:
        raise BadParameter("expected both --key and --allow, or neither")
    from streamlstm.serving.access.authenticator import Locks

    return Locks(key, allow)


def _clear(endpoints: Path, model: Path) -> Path:
    """Remove a file that tells of a worker that is gone; links are followed."""
    from streamlstm.serving.endpoints_file import is_of_a_worker

    from .output_path import check_output

    target = check_output("--endpoints", endpoints, model=model)
    if not is_of_a_worker(target):
        target.unlink(missing_ok=True)
    return target


def _withdraw(endpoints: Path) -> None:
    """Remove the endpoints file, unless another worker has written its own there since."""
    import json
    from os import getpid

    try:
        if json.loads(endpoints.read_text())["pid"] == getpid():
            endpoints.unlink()
    except (OSError, ValueError, KeyError, TypeError):
        return  # removed or replaced: not ours any more


def _summary(service: "Service") -> str:
    counters = service.counters.as_map()
    return (
        f"stopped: {counters['messages']:,} messages, {service.engine.steps:,} steps, "
        f"{service.counters.refused():,} refused, {counters['dropped_answers']:,} answers dropped, "
        f"a subscriber's queue was full {counters['subscriber_overflows']:,} times"
    )
