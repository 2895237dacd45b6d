"""Hardly a descriptor is left where a client connects: an error says so, the process goes on."""

from __future__ import annotations

import subprocess
import sys

_CONNECTS = """
import os, resource
from streamlstm import Client, ReplayingPublisher
from streamlstm.errors import EndpointError
used = {int(name) for name in os.listdir("/proc/self/fd")}
first = next(n for n in range(1000) if n not in used)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for left in range(9):
    resource.setrlimit(resource.RLIMIT_NOFILE, (first + left, hard))
    for make in (Client, ReplayingPublisher):
        try:
            make("tcp://127.0.0.1:1").close()
        except EndpointError as error:
            print(left, error)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
"""


def test_a_client_without_descriptors() -> None:
    """libzmq would end the process that has one to three left."""
    done = subprocess.run(
        [sys.executable, "-c", _CONNECTS], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) >= 2 * 7
    assert all("no connection can be made: Too many open files" in line for line in said)
