"""A command that speaks HTTP, in a process of its own, and browsers that look at it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPMessage
from typing import Any
from urllib.error import HTTPError

import pytest


class WebProcess:
    """`streamlstm web` or another command that says where it listens."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "streamlstm", *arguments, "--listen", "127.0.0.1:*"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = ""
        while "ready; Ctrl-C stops" not in said:
            line = self.process.stderr.readline()
            assert line, f"it did not become ready: {said}"
            said += line
        self.said = said
        self.url = next(word for word in said.split() if word.startswith("http://"))

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.said += self.process.communicate(timeout=30)[1] or ""
        return self.process.returncode


def ask(
    url: str, body: bytes | None = None, method: str | None = None, **headers: str
) -> tuple[int, bytes, HTTPMessage]:
    """Return status, body and headers of a response, whatever they say."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read(), response.headers
    except HTTPError as error:
        with error:
            return error.code, error.read(), error.headers


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a headless Chromium; skip where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no chromium: apt-get install chromium runs this")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
