"""The agents of machines as whoever leads sees them, and who may join."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq

from streamlstm import __version__, wire
from streamlstm.fleet import agents as of_agents
from streamlstm.fleet.agents import About, Agents, ConnectionBrokenError
from streamlstm.fleet.launcher import Ended, Joined, Left, Runs, Said
from streamlstm.fleet.model import FleetModel
from streamlstm.serving.wakeup import Wakeup


class Link:
    """The connection of an agent."""

    def __init__(self, context: zmq.Context[Any], address: str) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.RCVTIMEO, 20_000)
        self._socket.connect(address)

    def say(self, name: str, *fields: Any) -> None:
        self._socket.send(wire.encode_control(name, *fields))

    def join(self, machine: str, run: str, runs: Any = (), **other: Any) -> None:
        about = About(__version__, machine, run, "host", 17, "f" * 64, 0, 2, 100)
        self.say("join", about._replace(**other), False, runs)

    def heard(self) -> wire.Control:
        return wire.decode_control(self._socket.recv())

    def close(self) -> None:
        self._socket.close(0)


class Hub:
    """Whoever leads, and agents that connect to it."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind("tcp://127.0.0.1:*")
        self.wakeup = Wakeup()
        self.agents = Agents(self._socket, self.wakeup, lambda number: b"model %d" % number)
        self.agents.model = FleetModel(None, self.agents.use_model, 3, "f" * 64)
        self._links: list[Link] = []

    def link(self) -> Link:
        link = Link(self._context, self._socket.get_string(zmq.LAST_ENDPOINT))
        self._links.append(link)
        return link

    def events(self, count: int = 1) -> list[Any]:
        """Return as many events as are to come."""
        found: list[Any] = []
        while len(found) < count:
            found += self.agents.poll(1.0)
        return found

    def answer(self, link: Link) -> wire.Control:
        """Return what an agent hears next."""
        while not link._socket.poll(10):
            assert not self.agents.poll(0.0)
        return link.heard()

    def close(self) -> None:
        for link in self._links:
            link.close()
        self._socket.close(0)
        self._context.term()
        self.wakeup.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def test_a_machine_gets_the_model_and_says_what_runs(hub: Hub) -> None:
    a = hub.link()
    a.join("a", "1", [("a.w0", 5, None)])
    assert hub.events() == [Joined("a", 2, 100, (Runs("a.w0", 5, None),), "1")]
    assert a.heard() == ("model", [3, b"model 3"])
    assert a.heard() == ("joined", [3])
    assert hub.agents.runs("a.w0", 5)
    assert not hub.agents.runs("a.w0", 6)
    hub.agents.start("a.w1", 3, ["--capacity", "9"], [4001, 4002, 4003])
    hub.agents.start("b.w0", 3, [], [])  # of a machine that is not there: nothing
    assert a.heard() == ("start", ["a.w1", 3, ["--capacity", "9"], [4001, 4002, 4003]])
    a.say("said", b"\0id", wire.encode_control("ask", "status"))
    [(sender, message)] = hub.events()
    assert message == ("ask", ["status"])
    hub.agents.tell(sender, b"reply")
    assert a.heard() == ("to", [b"\0id", b"reply"])
    a.say("ended", "a.w0", -9, 1.5)
    assert hub.events() == [Ended("a.w0", -9, 1.5)]
    assert not hub.agents.runs("a.w0", 5)


def test_another_version_model_or_a_name_that_is_taken(hub: Hub) -> None:
    a, other = hub.link(), hub.link()
    a.join("a", "1")
    assert len(hub.events()) == 1
    for what, sentence, again in (
        ({"version": "0.0.1"}, "machine a: this is streamlstm 0.0.1, the fleet's is", False),
        ({"fingerprint": "0" * 64}, "machine a has another model (00000000)", False),
        ({}, "a machine of this name is in the fleet (process 17 on host)", True),
    ):
        other.join("a", "2", **what)
        name, (may_try, said) = hub.answer(other)
        assert (name, may_try) == ("refused", again)
        assert sentence in said


def test_who_is_silent_is_given_up_and_may_join_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = hub.link()
    a.join("a", "1")
    assert len(hub.events()) == 1
    monkeypatch.setattr(of_agents, "SILENT_SECONDS", 0.01)
    hub.agents._looked -= 3.0  # this machine has stood still, and cannot tell
    assert not hub.agents.poll(0.02)
    assert hub.events() == [Left("a", "has said nothing for 0 s")]
    monkeypatch.undo()
    assert [a.heard().name, a.heard().name] == ["model", "joined"]
    a.say("beat")
    assert hub.answer(a) == ("again", [])
    a.join("a", "1")
    assert isinstance(hub.events()[0], Joined)
    again = hub.link()
    again.join("a", "1")  # as after a connection that was broken
    with pytest.raises(ConnectionBrokenError, match="messages may be lost"):
        hub.events()
    a.join("a", "1")
    assert isinstance(hub.events()[0], Joined)
    b = hub.link()
    hub.agents._hands["a"].heard -= 2.0
    b.join("a", "2")  # its agent was started again
    left, joined = hub.events(2)
    assert left == Left("a", "was started again")
    assert isinstance(joined, Joined)
    a.say("said", b"x", wire.encode_control("ask", "status"))  # of the one before
    while a.heard().name != "again":
        assert not any(isinstance(each, Said) for each in hub.agents.poll(0.1))
