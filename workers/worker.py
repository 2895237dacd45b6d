"""A custom worker: an engine behind three ZeroMQ sockets.

`streamlstm serve` is this program with more options. Copy it to run code of your own in the
worker's process.

    python workers/worker.py model.safetensors
"""

import argparse
import logging
from pathlib import Path

from streamlstm import Engine, Model, wire
from streamlstm.serving.endpoints_file import write_endpoints
from streamlstm.serving.service import Service
from streamlstm.serving.worker import Worker


def main() -> None:
    """Serve a model until Ctrl-C or SIGTERM."""
    arguments = argparse.ArgumentParser(description="Serve a model until Ctrl-C or SIGTERM.")
    arguments.add_argument("model", help="model file of streamlstm train")
    arguments.add_argument("--router", default=wire.ROUTER, help="endpoint for requests")
    arguments.add_argument("--pull", default=wire.PULL, help="endpoint for one-way observations")
    arguments.add_argument("--xpub", default=wire.XPUB, help="endpoint for subscribers")
    arguments.add_argument("--endpoints", type=Path, help="write the endpoints to this file")
    given = arguments.parse_args()

    logging.basicConfig(level=logging.INFO)
    engine = Engine(Model.load(given.model), capacity=100_000)
    with (
        Worker(Service(engine), given.router, given.pull, given.xpub) as worker,
        worker.on_signals(),
    ):
        print("ready:", *worker.endpoints.values(), flush=True)
        if given.endpoints:
            write_endpoints(given.endpoints, worker.endpoints)
        worker.run()
    print(f"stopped after {engine.steps:,} steps of {len(engine):,} streams")


if __name__ == "__main__":
    main()
