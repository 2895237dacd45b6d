"""The live page in a real browser: beside a real worker, which is restarted."""

from __future__ import annotations

import io
import math
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from typer.testing import CliRunner

from streamlstm.cli import app
from streamlstm.client.client import Client

from .conftest import FREE_PORTS, WorkerProcess
from .test_alarms import wait_for_subscriptions
from .web_process import WebProcess, ask, chromium

STREAMS = [f"{kind}-{n}" for kind in ("pump", "fan", "valve", "mixer") for n in range(1, 7)]
QUIET = 400  # rows before anything happens
IMAGES = os.environ.get("STREAMLSTM_IMAGES")  # a folder for the pictures of docs/


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Plant:
    """Feeds a worker with what sensors say."""

    def __init__(self) -> None:
        self._random, self._n = random.Random(5), 0
        self._time = time.time() - QUIET - 50
        self._of = [(30 + 9 * n % 50, 2 + n % 4, 9 + 3 * (n % 7), n) for n in range(len(STREAMS))]

    def rows(self, spike: float = 0.0) -> list[list[float]]:
        self._n += 1
        rows = []
        for level, swing, slow, phase in self._of:
            noise = self._random.gauss(0, swing / 14)
            rows.append([level + swing * math.sin(self._n / slow + phase) + noise])
        rows[0][0] += spike
        return rows

    def feed(self, client: Client, count: int, spike: float = 0.0) -> None:
        """Send rows as if they had come every second; the last may have a spike."""
        for n in range(count):
            last = n == count - 1
            times = [self._time + self._n] * len(STREAMS)
            client.observe_many(STREAMS, self.rows(spike if last else 0.0), times=times)


def painted(page: Any) -> int:
    """Return how many pixels of the chart are not those of the panel."""
    return page.evaluate(
        """() => {
            const canvas = document.querySelector("#chart canvas");
            const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Uint32Array(all.data.buffer).filter((pixel) => pixel >>> 24).length;
        }"""
    )


def test_the_page_draws_tells_of_an_anomaly_and_survives_a_restart(
    browser: Any, tmp_path: Path
) -> None:
    worker = WorkerProcess(tmp_path / "worker", "--detector", serves="temperature")
    web = WebProcess("web", "--endpoints", str(tmp_path / "worker.endpoints.json"))
    context = browser.new_context(
        viewport={"width": 1280, "height": 760}, color_scheme="dark", locale="en-GB"
    )
    page, plant, wrong = context.new_page(), Plant(), []
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: wrong.append(asked.url) if web.url not in asked.url else None)
    try:
        page.goto(web.url)
        page.wait_for_selector("#state.good")
        with worker.client() as client:
            plant.feed(client, QUIET)
            page.wait_for_selector(f"text={len(STREAMS)} streams")
            page.keyboard.press("5")
            page.wait_for_selector("#row-3 .id:has-text('fan-4')")
            page.fill("#search", "pump")
            page.wait_for_selector("text=6 of 24 streams")
            page.click(".row:has-text('pump-1')")
            page.keyboard.press("Escape")
            page.wait_for_selector("#now dd:text-matches('[0-9]')")
            page.wait_for_selector("#chart canvas")
            page.wait_for_timeout(300)  # for a frame or two
            assert painted(page) > 5_000
            page.wait_for_selector(f"#workers .worker:has-text('of {len(STREAMS)} streams')")
            # An injected anomaly.
            plant.feed(client, 40)
            sent = time.monotonic()
            plant.feed(client, 1, spike=9.0)
            page.wait_for_selector("#alarm-list .id:has-text('pump-1')")
            print(f"an anomaly is on the page {time.monotonic() - sent:.3f} s after it was sent")
            page.keyboard.press("1")
            page.wait_for_selector(".row.alarm:has-text('pump-1')")
            page.keyboard.press("a")
            page.wait_for_selector(".gate:has-text('forget gate')")
            assert page.locator(".gate").count() == 6
            assert page.locator("#gates .said").inner_text().count("expected") == 1
            plant.feed(client, 25)
            pictures(page)
            keyboard_and_phone(page)
            client.forget("valve-6")
            page.wait_for_selector(f"text={len(STREAMS) - 1} streams")
        # The worker is killed; another one, at other ports, writes the same file.
        worker.stop(signal.SIGKILL)
        page.wait_for_selector("#state.bad")
        worker = WorkerProcess(tmp_path / "worker", "--detector", serves="temperature")
        page.wait_for_selector("#state.good")
        with worker.client() as client:
            wait_for_subscriptions(client, 1)
            client.observe("after", [4321.0])
            page.fill("#search", "after")
            page.click(".row:has-text('after')")
            page.wait_for_selector("#now dd:has-text('4321')")
        assert ask(web.url + "/alarms/1")[0] == 200, "what was there before is kept"
        assert wrong == []
    finally:
        context.close()
        worker.stop(signal.SIGKILL)
        assert web.stop() == 0
    assert "no answer from tcp://" in web.said
    assert f"{worker.endpoints['router']} answers again" in web.said


def keyboard_and_phone(page: Any) -> None:
    """Do what the table of keys says; on a phone each part has a tab, and nothing is cut off."""
    page.keyboard.press("t")
    page.wait_for_selector("html[data-theme=light]")
    page.keyboard.press("t")
    page.wait_for_selector("html[data-theme=dark]")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.keyboard.press("/")
    page.wait_for_selector("#search:focus")
    page.keyboard.press("Escape")
    page.keyboard.press("5")
    page.wait_for_selector("#row-0 .id:has-text('fan-1')")
    page.click("#row-0")
    page.keyboard.press("j")
    page.wait_for_selector("#name:has-text('fan-2')")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("#name:has-text('fan-1')")
    page.keyboard.press("m")
    page.wait_for_selector("#spans [aria-checked=true]:has-text('1 h')")
    page.set_viewport_size({"width": 390, "height": 760})
    for part in ("stream", "alarms", "streams"):
        page.click(f"#tabs button[data-tab={part}]")
        for other in ("stream", "alarms", "streams"):
            assert page.is_visible(f"main > #{other}") == (other == part)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 760})


def take(page: Any, path: Path) -> None:
    """Take a picture of few colours: a small file."""
    picture = Image.open(io.BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def pictures(page: Any) -> None:
    """Take the pictures of docs/, if they are wanted; on a phone the parts stand behind tabs."""
    if IMAGES is None:
        return
    folder = Path(IMAGES)
    take(page, folder / "web.png")
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(500)
    take(page, folder / "web-light.png")
    page.set_viewport_size({"width": 390, "height": 760})
    page.click("#tabs button[data-tab=streams]")
    page.wait_for_timeout(500)
    take(page, folder / "web-phone.png")
    page.set_viewport_size({"width": 1280, "height": 760})
    page.emulate_media(color_scheme="dark")


def test_serve_web_starts_a_page_that_ends_with_the_worker(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "worker", "--detector", "--web", "0", serves="temperature")
    try:
        assert worker.process.stderr is not None
        *_, kind, url = worker.process.stderr.readline().split()
        assert kind == "page"
        while ask(f"{url}/healthz")[0] != 200:
            pass  # it has not asked the worker yet
        for path in ("/", "/live", "/alarms/1", "/static/app.js", "/healthz"):
            assert ask(url + path, b"{}")[0] in (404, 405), "nothing can be changed"
        assert ask(f"{url}/alarms/1")[0] == 404
        assert ask(url, host="evil.example")[0] == 403
        page = psutil.Process(worker.process.pid).children()[0]
        port = url.rpartition(":")[2]
        second = CliRunner().invoke(app, ["serve", "--detector", *FREE_PORTS, "--web", port])
        assert "is taken" in str(second.exception), "found out before anything starts"
    finally:
        worker.stop(signal.SIGKILL)
    assert psutil.wait_procs([page], timeout=30)[1] == [], "it ends when the worker is killed"


def test_what_protects_a_page_is_asked_for(tmp_path: Path) -> None:
    short = tmp_path / "short.token"
    short.write_text("1234\n")
    short.chmod(0o600)
    open_to_all = tmp_path / "open.token"
    open_to_all.write_text("0123456789abcdef\n")
    open_to_all.chmod(0o644)
    for arguments, said in (
        (["web", "--listen", "0.0.0.0:*"], "give it a token (--token FILE"),
        (["web", "--listen", "127.0.0.1"], "--listen 127.0.0.1: expected HOST:PORT"),
        (["web", "--listen", "127.0.0.1:*", "--token", str(short)], "at least 16"),
        (["web", "--listen", "127.0.0.1:*", "--token", str(open_to_all)], "chmod 600"),
        (["gateway", "http", "--public", "a.example"], "--public: expected a URL"),
        (["web", "--xpub", "tcp://127.0.0.1:1"], "expected --router beside --xpub"),
        (["web", "--listen", "127.0.0.1:*", "--public", "ftp://a"], "--public: expected a URL"),
        (["web", "--endpoints", "x", "--router", "tcp://127.0.0.1:1"], "only one of --endpoints"),
        (["serve", "--detector", "--web", "0", "--key", "x"], "--key and --allow"),
    ):
        refused = CliRunner().invoke(app, arguments)
        words = " ".join(refused.output.replace("\u2502", " ").split())
        assert said in f"{words} {refused.exception}", arguments
