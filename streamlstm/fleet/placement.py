"""How many workers each machine of a fleet has, and which of them come and go."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .members import Member, machine_of


def spread_over(workers: int, having: Mapping[str, int]) -> dict[str, int]:
    """Divide so many workers evenly over machines.

    Parameters
    ----------
    workers : int
    having : mapping of str to int
        Workers of each machine now; who has more gets one more, so that few come and go.
    """
    least, more = divmod(workers, len(having))
    order = sorted(having, key=lambda machine: (-having[machine], machine))
    return {machine: least + (n < more) for n, machine in enumerate(order)}


def resize(members: dict[str, Member], machine: str, workers: int) -> None:
    """Let a machine have so many workers: the last ones leave, some stay, or new ones are noted."""
    here = [member for member in members.values() if member.machine == machine]
    staying = [member for member in here if not member.leaves]
    for member in staying[workers:]:
        member.leaves = True
    for member in here:
        if member.leaves and len(staying) < workers:
            member.leaves = False
            staying.append(member)
    for _ in range(workers - len(staying)):
        name = new_name(members, machine)
        members[name] = Member(name)


def new_name(members: Collection[str], machine: str) -> str:
    """Return the name of one more worker of a machine."""
    before = f"{machine}." if machine else ""
    name = next(n for n in (f"{before}w{k}" for k in range(2**20)) if n not in members)
    assert machine_of(name) == machine
    return name
