"""What the live page costs: ten thousand streams, a thousand points a second, a browser that looks.

    python -m benchmarks.page [--json FILE] [--seconds 40]

A detector is served and shown by processes of their own; a headless Chromium looks at one stream
and scrolls through the list all the time. Measured is the processor time of each, in shares of one
core, the worker's also without a page, and the memory that they have at the end.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from streamlstm import Client

from .harness import Row, parser, report

STREAMS, RATE = 10_000, 1_000
BLOCK = 50  # points of a message
ANY = "tcp://127.0.0.1:*"


@contextmanager
def running(*arguments: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run a command of streamlstm until the end of the block; yield what it said until ready."""
    command = [sys.executable, "-m", "streamlstm", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    while "ready; Ctrl-C stops" not in said:
        said += process.stderr.readline()
    try:
        yield psutil.Process(process.pid), said
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def looking(url: str) -> Iterator[tuple[Any, psutil.Process]]:
    """Look at a page in headless Chromium; yield the page and the browser's process."""
    from playwright.sync_api import sync_playwright

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(url)
        new = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
        yield page, next(child for child in new if "chrom" in child.name())
        browser.close()


def spent(process: psutil.Process) -> float:
    """Return the processor seconds of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in family))


def memory(process: psutil.Process) -> float:
    """Return the MiB that a process and its children have for themselves."""
    family = [process, *process.children(recursive=True)]
    return float(sum(each.memory_full_info().uss for each in family)) / 2**20


def feed(client: Client, seconds: float, page: Any) -> float:
    """Send points at the rate for so long; return how many were sent a second."""
    random, sent = np.random.default_rng(1), 0
    names = [f"sensor-{n}" for n in range(STREAMS)]
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        while sent < RATE * now:
            first = sent % STREAMS
            X = random.normal(20, 1, (BLOCK, 1))
            client.step_many(names[first : first + BLOCK], X)
            sent += BLOCK
        if page is None:
            time.sleep(0.01)
        else:
            page.mouse.wheel(0, 300)
            page.wait_for_timeout(20)
    return sent / (time.monotonic() - start)


def measure(seconds: float, with_page: bool) -> dict[str, float]:
    """Return shares of a core and MiB of each process."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "worker.json"))
        sockets = ("--router", ANY, "--pull", ANY, "--xpub", ANY, "--endpoints", file)
        with running("serve", "--detector", *sockets) as (worker, _):
            web = running("web", "--listen", "127.0.0.1:*", "--endpoints", file)
            with web if with_page else nullcontext((worker, "")) as (shown, said):
                url = next((w for w in said.split() if w.startswith("http")), "")
                with looking(url) if with_page else nullcontext((None, worker)) as (page, browser):
                    router = json.loads(Path(file).read_text())["router"]
                    with Client(router, timeout=30) as client:
                        return _shares(client, seconds, page, worker, shown, browser)


def _shares(
    client: Client,
    seconds: float,
    page: Any,
    worker: psutil.Process,
    shown: psutil.Process,
    browser: psutil.Process,
) -> dict[str, float]:
    names = [f"sensor-{n}" for n in range(STREAMS)]
    client.step_many(names, np.full((STREAMS, 1), 20.0))
    if page is not None:
        page.wait_for_selector("text=10,000 streams", timeout=60_000)
        page.mouse.move(100, 400)
    feed(client, seconds / 4, page)
    all_of = {"worker": worker} if page is None else {"worker": worker, "page": shown}
    all_of |= {} if page is None else {"browser": browser}
    before = {name: spent(process) for name, process in all_of.items()}
    start = time.monotonic()
    rate = feed(client, seconds, page)
    took = time.monotonic() - start
    found = {"rate": rate}
    for name, process in all_of.items():
        found[name] = (spent(process) - before[name]) / took
        found[f"{name} MiB"] = memory(process)
    return found


def main() -> None:
    """Measure a worker without a page, then with one, and print both."""
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=40)
    given = options.parse_args()
    rows: list[Row] = []
    shares: dict[str, float] = {}
    for with_page in (False, True):
        found = measure(given.seconds, with_page)
        for name in ("worker", "page", "browser"):
            if name in found:
                process = name if name != "worker" or not with_page else "worker, shown"
                shares[f"{process}, share of a core"] = found[name]
                rows.append(
                    {
                        "process": process,
                        "streams": STREAMS,
                        "points/s": found["rate"],
                        "% of a core": 100 * found[name],
                        "MiB": found[f"{name} MiB"],
                    }
                )
    report("page", rows, shares, given.json)


if __name__ == "__main__":
    main()
