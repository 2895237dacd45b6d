"""``streamlstm fleet --join``: one machine of a fleet on many."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from typer import BadParameter

if TYPE_CHECKING:
    from streamlstm.fleet.machine import Machine
    from streamlstm.serving.systemd import Notifier

READY = "ready; Ctrl-C stops"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Joining(NamedTuple):
    """How a machine joins: its name, and where the other machines reach it."""

    name: str
    address: str


def check_joining(
    join: bool,
    machine: str | None,
    control: str | None,
    router: str,
    store: str,
    take_over: bool,
    given: Mapping[str, Any],
) -> Joining | None:
    """Return how this machine joins a fleet on many; None for a fleet on this one alone.

    Raises
    ------
    BadParameter
        If options do not go together.
    EndpointError
        If it cannot be reached there, or not safely.
    """
    from streamlstm.errors import EndpointError
    from streamlstm.serving.endpoints import check_endpoint

    if not join:
        if machine is not None or control is not None:
            raise BadParameter("--machine and --control are for a fleet on many machines: --join")
        return None
    if store.partition(":")[0] not in ("redis", "rediss", "unix"):
        raise BadParameter(
            "--join: machines find each other in the store that they share: expected --store "
            f"redis://HOST:PORT, got {store}"
        )
    if take_over:
        raise BadParameter("--take-over is not for --join: machines of one store are one fleet")
    name = socket.gethostname() if machine is None else machine
    if not _NAME.fullmatch(name):
        raise BadParameter(
            "--machine: expected up to 64 letters, digits, dots, dashes and underscores, got "
            f"{name!r}"
        )
    if control is None:
        control = f"{router.rpartition(':')[0]}:*" if router.startswith("tcp://") else router
    has_key = given["key"] is not None
    address = check_endpoint("control", control, given["insecure"], has_key)
    if "://0.0.0.0:" in address or "://[::]:" in address:
        raise EndpointError(
            f"--control {control}: the other machines have to reach this one there: expected an "
            "address that it has, likewise in --router"
        )
    return Joining(name, address)


def run_agent(
    machine: Machine,
    joining: Joining,
    store: str,
    given: Mapping[str, Any],
    workers: int,
    capacity: int,
    metrics: str | None,
    log: Callable[[str], None],
    systemd: Notifier,
) -> bool:
    """Run the agent of this machine; tell whether all ended well."""
    from streamlstm.fleet.agent import Agent
    from streamlstm.fleet.machine_model import MachineModel
    from streamlstm.serving.access.curve_server import CurveServer

    from .metrics import serving_metrics

    agent = Agent(
        machine,
        joining.name,
        store,
        joining.address,
        MachineModel(given["model"], given["fingerprint"]),
        workers,
        capacity,
        log,
        lambda: on_ready(),
        given["when_full"] == "evict-idle",
        None if given["key"] is None else CurveServer(given["key"], given["allow"]),
    )

    def on_ready() -> None:
        log(READY)
        systemd.ready(agent.health_problem, f"machine {joining.name} serves")

    about = (lambda: agent.seen), agent.metrics, agent.health_problem, agent.readiness_problem
    with agent, serving_metrics(metrics, given["insecure"], *about) as url:
        if url:
            log(f"metrics {url}")
        return agent.run()
