"""What a machine that begins to lead makes of what it finds: each was wrong in a schedule once."""

from __future__ import annotations

from streamlstm import wire
from streamlstm.fleet.actions import Action, Dismiss, Spawn, Stop, Tell
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores
from streamlstm.fleet.record import Record


def where(name: str) -> wire.FleetWorker:
    return wire.FleetWorker(name, f"tcp://{name}", "", "")


def settled(**machines: int) -> Coordinator:
    """Return who leads machines that have so many workers, which have all partitions."""
    coordinator = Coordinator(Stores.SHARED, machines={})
    for machine, workers in machines.items():
        coordinator.joined(machine, workers, run=machine)
    for name in list(coordinator.members):
        coordinator.serves(where(name), 1)
    return coordinator


def next_leader(record: Record, *alive: str) -> Coordinator:
    coordinator = Coordinator(Stores.SHARED, machines={})
    coordinator.take_over(record, alive)
    return coordinator


def started(actions: list[Action]) -> list[str]:
    return [each.worker for each in actions if isinstance(each, Spawn)]


def test_a_move_that_is_over_is_not_taken_for_the_next_of_its_partitions() -> None:
    before = settled(a=1, b=1, c=1)
    partition = before.owned.of("a.w0")[0]
    before.owned.depart([partition], "a.w0", "b.w0")
    before.owned.publish()
    leader = next_leader(before.owned.record, "a.w0", "b.w0", "c.w0")
    leader.reported("c.w0", [], [(3, [partition], False)])  # whom nobody has told its end
    leader.reported("a.w0", [(9, [partition], "sends")], [])
    leader.reported("b.w0", [], [(9, [partition], True)])
    told = leader.finish_takeover({})
    assert Tell("c.w0", "drop", (3,)) in told
    assert [move.number for move in leader.moves._moves.values()] == [9]


def test_a_machine_that_is_lost_and_back_meanwhile_starts_each_worker_once() -> None:
    before = settled(a=2, b=2)
    leader = next_leader(before.owned.record, "a.w0", "a.w1", "b.w0", "b.w1")
    actions = leader.joined("b", 2, {"b.w0": 1, "b.w1": 1}, "b")
    actions += leader.joined("a", 2, {"a.w1": 1}, "a") + leader.died("a.w0")
    actions += leader.left("a") + leader.joined("a", 2, run="another")
    leader.reported("b.w0", [], [])
    leader.reported("b.w1", [], [])
    assert sorted(started(actions + leader.finish_takeover({}))) == ["a.w0", "a.w1"]


def test_a_worker_that_was_asked_to_end_and_is_lost_ends_when_it_has_started_again() -> None:
    leader = settled(a=2, b=1)
    leader.drain("a.w1")
    member = leader.members["a.w1"]
    member.ends = True
    leader.lost("a.w1")
    member.starts = False
    leader.spawn("a.w1")
    assert Stop("a.w1") in leader.serves(where("a.w1"), 2)


def test_what_was_wanted_of_a_process_is_not_wanted_of_the_next_one() -> None:
    before = settled(a=2, b=1)
    before.drain("a.w1")
    before.drain("b")
    record = before.owned.record
    assert record.leaving == {"a.w1", "b.w0"}
    for runs, leaving in (("ab", {"a.w1", "b.w0"}), ("xy", set())):
        leader = next_leader(record, "a.w0", "a.w1", "b.w0")
        leader.joined("a", 2, {"a.w0": 1, "a.w1": 1}, runs[0])
        leader.joined("b", 1, {"b.w0": 1}, runs[1])
        for name in ("a.w0", "a.w1", "b.w0"):
            leader.reported(name, [], [])
        leader.finish_takeover({})
        assert {name for name, each in leader.members.items() if each.leaves} == leaving
        assert leader.machines == {"a": False, "b": bool(leaving)}
    assert Record.from_value(record.to_value()).wanted == record.wanted


def test_a_worker_that_is_to_leave_and_does_not_run_keeps_no_machine() -> None:
    leader = settled(a=1, b=1)
    leader.machines["b"] = True
    member = leader.members["b.w0"]
    member.where, member.starts, member.leaves = None, False, True
    leader.owned.give(leader.owned.of("b.w0"), "a.w0")
    assert Dismiss("b") in leader.advance()
    assert set(leader.members) == {"a.w0"}


def test_a_worker_that_has_begun_anew_is_not_asked_how_far_its_moves_are() -> None:
    """It may be a member for a while before it serves, and its former self be in the table."""
    before = settled(a=1, b=1)
    before.died("b.w0")
    leader = next_leader(before.owned.record, "a.w0", "b.w0")
    leader.joined("a", 1, {"a.w0": 1}, "a")
    leader.reported("a.w0", [], [])
    assert leader.finish_takeover({}) == []
    leader.joined("b", 1, {"b.w0": 2}, "b")
    leader.begins("b.w0")
    leader.serves(where("b.w0"), 2)
    assert Tell("b.w0", "own", ([],)) not in leader.finish_takeover({})
    assert leader.is_ready


def test_a_worker_that_has_begun_anew_elsewhere_is_found_there() -> None:
    before = settled(a=1, b=1)
    leader = next_leader(before.owned.record, "a.w0", "b.w0")
    there = where("b.w0")._replace(router="tcp://elsewhere")
    for each in (where("a.w0"), there):
        leader.found(each, 1)
        leader.reported(each.name, [], [])
    leader.finish_takeover({})
    assert there in leader.table.workers
    assert there.router in leader.live()
