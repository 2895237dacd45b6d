"""Live demo: an LSTM predicts the next second of this machine's host metrics, over ZeroMQ.

Starts two commands, and draws the predictions that the second one prints:

    streamlstm serve MODEL --endpoints FILE
    streamlstm publish --host --json --endpoints FILE

Run `make demo`, or `python workers/demo.py --seconds 60 --json summary.json`.
"""

from streamlstm.cli.signals import exit_on_interrupt

with exit_on_interrupt():
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

    from score import LEVEL, Scoreboard
    from screen import Screen, print_summary

    from streamlstm import Model, Online, StreamLSTMError
    from streamlstm.cli.console import console, err
    from streamlstm.cli.output_path import check_output
    from streamlstm.files import replace_file

QUIET = 10.0  # seconds in which the model gets to know the streams, half of a short run at most
RATE = 10.0  # observations of a stream a second, as `publish --host` makes them
PAGE_TIMEOUT = 60.0  # seconds that the page has to start
TIMEOUT = 10.0  # seconds without a line of the publisher after which the demo gives up
ANY_PORT = "tcp://127.0.0.1:*"
DIE_WITH_PARENT = str(Path(__file__).with_name("die_with_parent.py"))


class ChildError(StreamLSTMError):
    """A child process that failed or ended too early."""


class Child:
    """One `streamlstm` command in a child process; threads read its output.

    The child ends when this process ends, for whatever reason.

    Parameters
    ----------
    *arguments : str
        The command line after `streamlstm`.
    """

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[0]
        self.lines: queue.Queue[str | None] = queue.Queue()  # of stdout; None at its end
        self.messages: deque[str] = deque(maxlen=100)  # of stderr
        self.process = subprocess.Popen(
            [sys.executable, DIE_WITH_PARENT, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._readers = [
            Thread(target=self._read_stdout, daemon=True),
            Thread(target=self._read_stderr, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read_stdout(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if line.strip():
                self.messages.append(line.strip())

    def check(self) -> None:
        """Raise if the process has ended with an error."""
        if self.process.poll():
            self._readers[1].join(1)
            last = self.messages[-1] if self.messages else "it printed nothing"
            raise ChildError(
                f"`streamlstm {self.name}` ended with status {self.process.returncode}: {last}"
            )

    def stop(self) -> None:
        """Terminate the process, kill it after five seconds, and wait for its end."""
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
    """Run a `streamlstm` command inside a `with` block."""
    child = Child(*arguments)
    try:
        yield child
    finally:
        child.stop()


def wait_until_ready(worker: Child, endpoints: Path, log: Callable[[str], None]) -> None:
    """Wait for the endpoints file; log the worker's messages about compiling kernels."""
    logged = 0
    while not endpoints.exists():
        try:
            worker.process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
        else:
            worker.check()
            raise ChildError("`streamlstm serve` ended before it was ready")
        for line in list(worker.messages)[logged:]:
            logged += 1
            if line.startswith("compiling"):
                log(line)


def wait_for_page(worker: Child) -> str:
    """Wait until the worker's page answers; return where it is."""
    deadline = time.monotonic() + PAGE_TIMEOUT
    while True:
        messages = list(worker.messages)
        for line in messages:
            if " page " in line:
                return line.split()[-1]
        if time.monotonic() > deadline:
            raise ChildError(f"the page did not start within {PAGE_TIMEOUT:g} s: {messages[-1]}")
        worker.check()
        time.sleep(0.05)


def follow(worker: Child, publisher: Child, board: Scoreboard, screen: Screen) -> None:
    """Score every line of the publisher and draw the scores, until its output ends."""
    last_line = time.monotonic()
    next_draw = last_line + screen.interval
    while True:
        try:
            line = publisher.lines.get(timeout=max(next_draw - time.monotonic(), 0.001))
        except queue.Empty:
            if time.monotonic() - last_line > TIMEOUT:
                raise ChildError(
                    f"`streamlstm publish` printed nothing for {TIMEOUT:g} s"
                ) from None
        else:
            if line is None:
                publisher.process.wait(TIMEOUT)
                publisher.check()
                worker.check()
                return
            last_line = time.monotonic()
            board.add(json.loads(line))
        if time.monotonic() >= next_draw:
            worker.check()
            screen.draw(board)
            next_draw = time.monotonic() + screen.interval


def watching(model: Model) -> Model:
    """Return the model with intervals and alarms, unless it has a stage of its own.

    The shipped model gains nothing from adaptation: on its recording, one second ahead, the error
    against persistence rises from 0.85 to 0.90.
    """
    if model.online is not None:
        return model
    return model.with_online(Online(intervals=(LEVEL,), anomaly=True))


def run(network: Model, seconds: float, board: Scoreboard, web: int | None) -> None:
    """Run the worker and the publisher, and draw their scores until the publisher ends."""
    with tempfile.TemporaryDirectory(prefix="streamlstm-demo-") as folder:
        endpoints, model = Path(folder, "endpoints.json"), Path(folder, "model.safetensors")
        network.save(model)
        sockets = ("--router", ANY_PORT, "--pull", ANY_PORT, "--xpub", ANY_PORT)
        page = () if web is None else ("--web", str(web))
        with running("serve", str(model), *sockets, "--endpoints", str(endpoints), *page) as worker:
            waiting = err.status("Starting the worker") if err.is_terminal else nullcontext()
            with waiting as status:
                wait_until_ready(worker, endpoints, status.update if status else err.print)
            if web is not None:
                err.print(f"open {wait_for_page(worker)}")
            options = ("--endpoints", str(endpoints), "--seconds", str(seconds))
            with (
                running("publish", "--host", "--json", *options) as publisher,
                Screen(console, seconds) as screen,
            ):
                follow(worker, publisher, board, screen)
                screen.finish(board)


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Live demo: an LSTM predicts the next second of this machine's host metrics."
    )
    parser.add_argument("--seconds", type=float, help="duration (default: 20; --web: an hour)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary to this file")
    parser.add_argument("--model", type=Path, help="a model file instead of the shipped one")
    parser.add_argument("--web", type=int, metavar="PORT", help="show it in a browser, too")
    options = parser.parse_args()
    if options.seconds is None:
        options.seconds = 20 if options.web is None else 3600
    if not 0 < options.seconds < float("inf"):
        parser.error(f"--seconds must be a number above 0, not {options.seconds:g}")
    return options


def main() -> int:
    """Run the demo; return 0 on success, 1 if a child failed, 130 on Ctrl-C."""
    options = parse()
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGHUP, _exit)
    status = 0
    try:
        if options.json:
            check_output("--json", options.json)
        with as_file(files("streamlstm") / "models" / "host.safetensors") as shipped:
            model = options.model or shipped
            network = watching(Model.load(model))
            quiet = min(QUIET, options.seconds / 2)
            board = Scoreboard(network.horizon, round(quiet * RATE))
            try:
                run(network, options.seconds, board, options.web)
            except KeyboardInterrupt:
                status = 130  # the summary of the shorter run is printed all the same
        if options.json:
            summary = {"seconds": options.seconds, **board.summary()}
            replace_file(options.json, (json.dumps(summary, indent=2) + "\n").encode())
    except (StreamLSTMError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print_summary(console, board)
    return status


def _exit(number: int, _frame: object) -> NoReturn:
    """Raise SystemExit, so that the children are stopped."""
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
