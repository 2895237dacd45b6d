"""A worker of your own: an engine behind three ZeroMQ doors.

`streamlstm serve` is this program with more options. Copy it where something has to happen in the
worker's process, before it is ready or beside its loop.

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
    arguments.add_argument("model", help="model file, from streamlstm train")
    arguments.add_argument("--router", default=wire.ROUTER, help="where to be asked")
    arguments.add_argument("--pull", default=wire.PULL, help="where to be fed")
    arguments.add_argument("--xpub", default=wire.XPUB, help="where to be listened to")
    arguments.add_argument("--endpoints", type=Path, help="write the endpoints there, when ready")
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
