"""The actor that stands for one machine of a fleet, and keeps its agent running."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import ray

from ...errors import BadValueError, StreamLSTMError
from ...files import replace_file
from ...serving.logs import message_of
from ..machine import ENDED_WELL
from ..processes import Process
from ..question import ask
from ..restarts import STEADY_SECONDS, wait_before
from .actors import agents_of, newest_model
from .file import refresh
from .plan import Plan, here, machine_name

LINES = 12  # of the agent's log that are kept for whoever asks why it ended
STOP_SECONDS = 300.0  # in which an agent that was asked to end hands all over, else it is killed
REFRESH_SECONDS = 1.0  # between two looks at the endpoints file of the command
AGAIN_SECONDS = 3.0  # after which one that is to end at once is told not to wait for others


class Agent:
    """Starts the agent of this machine as a process, and starts it again when it ends.

    The process ends with the actor, however that ends. An agent that ends well by itself (its
    machine was drained) ends the actor for good.

    Parameters
    ----------
    plan : tuple
        The values of a :class:`.plan.Plan`.
    """

    def __init__(self, plan: tuple[Any, ...]) -> None:
        self._plan = Plan(*plan)
        context = ray.get_runtime_context()
        node = next(each for each in ray.nodes() if each["NodeID"] == context.get_node_id())
        self._address: str = node["NodeManagerAddress"]
        self._machine = machine_name(node["NodeName"])
        self._me, self._place = context.current_actor, context.namespace
        self._folder = Path(tempfile.mkdtemp(prefix="streamlstm-agent-"))
        self._endpoints = self._folder / "fleet.json"
        self._model = None if self._plan.model is None else (0, self._plan.model)
        self._lines: deque[str] = deque(maxlen=LINES)
        self._process: Process | None = None
        self._status = 0  # of the last process that has ended
        self._ready = self._stopping = False
        self._restarts = self._failures = 0
        self._changed = threading.Condition()
        # The process ends with the thread that has started it (serving/parent.py).
        self._thread = threading.Thread(target=self._keep, name="agent", daemon=True)
        self._thread.start()
        self._refresher = threading.Thread(target=self._refresh, name="endpoints", daemon=True)
        self._refresher.start()

    # --- in threads ---

    def _refresh(self) -> None:
        """Keep the file fresh that the command wrote, if this machine sees it."""
        while not self._stopping:
            refresh(Path(self._plan.file), self._plan.control, self._endpoints)
            time.sleep(REFRESH_SECONDS)

    def _keep(self) -> None:
        self._catch_up()
        quick, began = 0, time.monotonic()
        while not self._stopping and (self._run() or self._stopping):
            quick = 1 if time.monotonic() - began >= STEADY_SECONDS else quick + 1
            with self._changed:
                self._restarts += 1
                self._failures += not self._ready
                self._ready = False
                self._changed.wait_for(lambda: self._stopping, wait_before(quick))
            began = time.monotonic()
        shutil.rmtree(self._folder, ignore_errors=True)
        if not self._stopping:  # drained: no other machine is to take its place
            ray.kill(self._me, no_restart=True)

    def _catch_up(self) -> None:
        """Have the model that others have by now, if this agent comes to a lost one's place."""
        if self._model is None:
            return
        self.replace_model(self._model)
        try:
            newest = newest_model(agents_of(self._place))
        except Exception as error:  # Ray's head is away, such as: the leader sends the right one
            self._log(f"{self._machine}: cannot ask the other agents: {error}")
        else:
            self.replace_model(max(newest or self._model, self._model))

    def _run(self) -> int:
        """Run the agent's process; return its status."""
        process = Process(self._machine, self._arguments(), ("fleet",), self._heard)
        with self._changed:
            self._process = process
            if self._stopping:
                process.stop()
        status = process.ended()
        with self._changed:
            self._process, self._status = None, status
            self._changed.notify_all()
        self._log(f"{self._machine}: the agent ended with status {status}")
        return status

    def _arguments(self) -> list[str]:
        return [
            *([] if self._model is None else [str(self._file)]),
            *("--join", f"--machine={self._machine}", f"--workers={self._plan.workers}"),
            f"--endpoints={self._endpoints}",
            *here(self._plan.arguments, self._address),
        ]

    def _heard(self, process: str, line: str) -> None:
        self._log(f"{process}: {message_of(line)}")

    def _log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # into the actor's log, which Ray keeps
        self._lines.append(line)
        if line == f"{self._machine}: ready; Ctrl-C stops":
            self._ready = True

    # --- called by commands, and by other agents ---

    def plan(self) -> tuple[Any, ...]:
        """Return what one more agent is to be started with."""
        return tuple(self._plan)

    def model(self) -> tuple[int, bytes] | None:
        """Return the content of the model file, and how often it was changed."""
        return self._model

    @property
    def _file(self) -> Path:
        return self._folder / "model.safetensors"

    def replace_model(self, model: tuple[int, bytes]) -> None:
        """Replace the content of the model file, which the fleet takes with the next reload."""
        self._model = model
        replace_file(self._file, model[1])

    def status(self) -> dict[str, Any]:
        """Return where it is and how it is.

        ``failures`` counts ends before it was ready; ``lines`` are the last ones of its log.
        """
        process = self._process
        return {
            "machine": self._machine,
            "address": self._address,
            "endpoints": str(self._endpoints),
            "pid": None if process is None else process.pid,
            "ready": self._ready,
            "restarts": self._restarts,
            "failures": self._failures,
            "lines": list(self._lines),
        }

    def ask(self, *question: Any) -> tuple[bool, Any] | None:
        """Ask the agent; return whether the fleet does it, and the status or why not.

        None if it does not answer: it starts, or ends.
        """
        try:
            return True, ask(self._endpoints, *question)
        except BadValueError as error:
            return False, str(error)
        except StreamLSTMError:
            return None

    def stop(self, hand_over: bool) -> bool:
        """End the agent, after other machines have all that it has or at once.

        Returns
        -------
        bool
            Whether it ended well, and has lost nothing.
        """
        waits = [STOP_SECONDS] if hand_over else [AGAIN_SECONDS, STOP_SECONDS]
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            for seconds in waits:  # a second signal says that it is not to wait for other machines
                if (process := self._process) is not None:
                    process.stop()
                    self._changed.wait_for(lambda: self._process is None, seconds)
            if (process := self._process) is not None:
                process.kill()
        self._thread.join()
        return self._status in ENDED_WELL
