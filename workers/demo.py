"""Watch an LSTM predict this machine's next second, live, over ZeroMQ.

Starts the two processes that anyone would start by hand, and draws what the second one prints:

    streamlstm serve MODEL --endpoints FILE
    streamlstm publish --host --json --endpoints FILE

Run `make demo`, or `python workers/demo.py --seconds 60 --json summary.json`.
"""

from streamlstm.cli.signals import leaving_at_once

with leaving_at_once():
    import argparse
    import json
    import os
    import queue
    import signal
    import subprocess
    import sys
    import tempfile
    import time
    from collections import deque
    from collections.abc import Callable, Iterator
    from contextlib import contextmanager, nullcontext
    from importlib.resources import as_file, files
    from pathlib import Path
    from threading import Thread
    from typing import NoReturn

    from score import Scoreboard
    from screen import Screen, print_summary

    from streamlstm.cli.console import console, err
    from streamlstm.cli.output_path import check_output
    from streamlstm.errors import StreamLSTMError
    from streamlstm.files import replace_file
    from streamlstm.network.model import Model

PATIENCE = 10.0  # seconds without a line of the publisher until we say that it hangs
ANY_PORT = "tcp://127.0.0.1:*"
TIED = str(Path(__file__).with_name("tied.py"))


class ChildError(StreamLSTMError):
    """A child process that ended when it should not have."""


class Child:
    """One `streamlstm` command in a process of its own; its output is read by threads.

    It ends with this process, however that ends.

    Parameters
    ----------
    *arguments : str
        The command line behind `streamlstm`.
    """

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[0]
        self.lines: queue.Queue[str | None] = queue.Queue()  # None: the output has ended
        self.complaints: deque[str] = deque(maxlen=100)
        self.process = subprocess.Popen(
            [sys.executable, TIED, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            Thread(target=self._read_output, daemon=True),
            Thread(target=self._read_complaints, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_complaints(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.strip():
                self.complaints.append(line.strip())

    def check(self) -> None:
        """Raise if the process has ended with an error."""
        if self.process.poll():
            self._readers[1].join(1)
            last = self.complaints[-1] if self.complaints else "it said nothing"
            raise ChildError(
                f"`streamlstm {self.name}` ended with status {self.process.returncode}: {last}"
            )

    def stop(self) -> None:
        """Ask the process to end, insist after five seconds, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(1)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def running(*arguments: str) -> Iterator[Child]:
    """Run a `streamlstm` command for as long as the block lasts."""
    child = Child(*arguments)
    try:
        yield child
    finally:
        child.stop()


def wait_until_ready(worker: Child, endpoints: Path, say: Callable[[str], None]) -> None:
    """Wait for the endpoints file, passing on what the worker says about compiling kernels."""
    said = 0
    while not endpoints.exists():
        try:
            worker.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
        else:
            worker.check()
            raise ChildError("`streamlstm serve` ended before it was ready")
        for line in list(worker.complaints)[said:]:
            said += 1
            if line.startswith("compiling"):
                say(line)


def follow(worker: Child, publisher: Child, board: Scoreboard, screen: Screen) -> None:
    """Score every line of the publisher and draw, until its output ends."""
    heard = time.monotonic()
    due = heard + screen.interval
    while True:
        try:
            line = publisher.lines.get(timeout=max(due - time.monotonic(), 0.001))
        except queue.Empty:
            if time.monotonic() - heard > PATIENCE:
                raise ChildError(f"`streamlstm publish` said nothing for {PATIENCE:g} s") from None
        else:
            if line is None:
                publisher.process.wait(PATIENCE)
                publisher.check()
                worker.check()
                return
            heard = time.monotonic()
            board.add(json.loads(line))
        if time.monotonic() >= due:
            worker.check()
            screen.draw(board)
            due = time.monotonic() + screen.interval


def run(model: Path, seconds: float, board: Scoreboard) -> None:
    """Start the worker and the publisher, and show them until the publisher is done."""
    with tempfile.TemporaryDirectory(prefix="streamlstm-demo-") as folder:
        endpoints = Path(folder, "endpoints.json")
        ports = [part for door in ("router", "pull", "xpub") for part in (f"--{door}", ANY_PORT)]
        with running("serve", str(model), *ports, "--endpoints", str(endpoints)) as worker:
            waiting = err.status("Starting the worker") if err.is_terminal else nullcontext()
            with waiting as status:
                wait_until_ready(worker, endpoints, status.update if status else err.print)
            feed = ("--endpoints", str(endpoints), "--seconds", str(seconds))
            with (
                running("publish", "--host", "--json", *feed) as publisher,
                Screen(console, seconds) as screen,
            ):
                follow(worker, publisher, board, screen)
                screen.finish(board)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Watch an LSTM predict this machine's next second, live."
    )
    parser.add_argument("--seconds", type=float, default=20, help="how long (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary here")
    parser.add_argument("--model", type=Path, help="another model than the shipped one")
    options = parser.parse_args()
    if not 0 < options.seconds < float("inf"):
        parser.error(f"--seconds must be a number above 0, not {options.seconds:g}")
    return options


def main() -> int:
    """Run the demo; 0 when it went well, 1 when a child failed, 130 on Ctrl-C."""
    options = parse()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    status = 0
    try:
        if options.json:
            check_output("--json", options.json)
        with as_file(files("streamlstm") / "models" / "host.safetensors") as shipped:
            model = options.model or shipped
            board = Scoreboard(Model.load(model).horizon)
            try:
                run(model, options.seconds, board)
            except KeyboardInterrupt:
                status = 130  # the summary of what was seen until then is still worth showing
        if options.json:
            summary = {"seconds": options.seconds, **board.summary()}
            replace_file(options.json, (json.dumps(summary, indent=2) + "\n").encode())
    except (StreamLSTMError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print_summary(console, board)
    return status


def _end(number: int, _frame: object) -> NoReturn:
    """End as on an error, so that the children are stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
