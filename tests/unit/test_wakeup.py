"""A wakeup ends a wait: when it is called, and at a signal to stop."""

import subprocess
import sys
import threading

import zmq

from streamlstm.serving.wakeup import Wakeup


def test_a_call_from_another_thread_ends_the_wait() -> None:
    wakeup = Wakeup()
    try:
        poller = zmq.Poller()
        poller.register(wakeup.fileno(), zmq.POLLIN)
        assert not wakeup.heard()
        threading.Thread(target=wakeup.call).start()
        assert poller.poll(20_000)
        assert wakeup.heard()
        assert not wakeup.heard()
        for _ in range(100_000):  # more than the descriptor holds
            wakeup.call()
        assert wakeup.heard()
    finally:
        wakeup.close()
    wakeup.call()  # harmless


def test_only_signals_to_stop_are_noticed_and_handlers_are_restored() -> None:
    program = """
import os, signal
from streamlstm.serving.wakeup import Wakeup
seen = []
signal.signal(signal.SIGUSR1, lambda *_: seen.append("usr1"))
before = signal.getsignal(signal.SIGINT)
wakeup = Wakeup()
with wakeup.on_signals():
    os.kill(os.getpid(), signal.SIGUSR1)
    assert not wakeup.heard() and seen == ["usr1"]
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
        assert wakeup.heard()
assert signal.getsignal(signal.SIGINT) is before
assert signal.set_wakeup_fd(-1) == -1
wakeup.close()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
