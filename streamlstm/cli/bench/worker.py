"""The worker under test: one of our own, or one that runs already."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from streamlstm.errors import StreamLSTMError

ANY = "tcp://127.0.0.1:*"


@contextmanager
def own_worker(model: Path, options: Sequence[str]) -> Iterator[str]:
    """Serve a model by a process that ends with the block; yield the endpoint of its ROUTER.

    Raises
    ------
    StreamLSTMError
        If it does not start; the message has its last line.
    """
    from streamlstm.fleet.processes import Process
    from streamlstm.serving.logs import message_of

    lines: list[str] = []
    changed = threading.Event()  # ready, or ended

    def log(_process: str, line: str) -> None:
        lines.append(message_of(line))
        if "ready; Ctrl-C stops" in line:
            changed.set()

    with tempfile.TemporaryDirectory(prefix="streamlstm-bench-") as folder:
        file = Path(folder, "worker.json")
        where = [part for name in ("router", "pull", "xpub") for part in (f"--{name}", ANY)]
        arguments = [str(model), *where, "--endpoints", str(file), *options]
        process = Process("worker", arguments, log=log)
        waiter = threading.Thread(target=_tell_end, args=(process.descriptor, changed), daemon=True)
        waiter.start()
        try:
            changed.wait()
            if not file.exists():
                last = lines[-1] if lines else "it said nothing"
                raise StreamLSTMError(f"the worker did not start: {last}")
            yield json.loads(file.read_text())["router"]
        finally:
            process.stop()
            waiter.join()
            process.ended()


def _tell_end(descriptor: int, changed: threading.Event) -> None:
    """Wait for the end of a process."""
    import select

    select.select([descriptor], [], [])
    changed.set()
