"""Loops of TensorFlow 1 (Enter, Merge, Switch, NextIteration, Exit) as While operations."""

from collections import defaultdict

from .graph import Graph, Input, Operation

_MACHINERY = ("Enter", "Merge", "Switch", "NextIteration", "Exit", "LoopCond")


def close_frames(operations: list[Operation]) -> list[Operation]:
    """Return operations in which each loop is one While; others stay as they are.

    A variable of a loop enters (Enter), is merged with what comes back (Merge), and goes through a
    Switch into the body or to its Exit. What enters as a constant is a tensor of the outer graph.
    """
    frames: dict[str, list[Operation]] = defaultdict(list)
    users: dict[str, list[Operation]] = defaultdict(list)
    for op in operations:
        if op.op in ("Enter", "RefEnter"):
            frames[str(op.attributes.get("frame_name"))].append(op)
        for name in op.inputs:
            users[name].append(op)
    if not frames:
        return operations
    makers = {name: op for op in operations for name in op.outputs}
    constants = [op for ops in frames.values() for op in ops if op.attributes.get("is_constant")]
    renamed = [Operation("Identity", e.name, e.inputs, e.outputs) for e in constants]
    loops = [_loop(name, enters, users, makers) for name, enters in frames.items()]
    return [*_outside(operations, [*renamed, *loops]), *renamed, *loops]


def _outside(operations: list[Operation], written: list[Operation]) -> list[Operation]:
    """Return the operations that are part of no loop, and depend on no part of one."""
    made = {name for op in written for name in op.outputs}
    inside = {op.name for loop in written for graph in (loop.body, loop.condition) if graph
              for op in graph.operations}  # fmt: skip
    gone: set[str] = set()
    kept = []
    for op in operations:
        part = op.name in inside or op.op.removeprefix("Ref") in _MACHINERY
        if part:
            gone.update(op.outputs)
        else:
            kept.append(op)
    while lost := [op for op in kept if (gone - made).intersection(op.inputs)]:
        gone.update(name for op in lost for name in op.outputs)
        kept = [op for op in kept if op not in lost]
    return kept


def _loop(
    name: str,
    enters: list[Operation],
    users: dict[str, list[Operation]],
    makers: dict[str, Operation],
) -> Operation:
    starts, befores, afters, ends = [], [], [], []
    condition = ""
    for enter in enters:
        if enter.attributes.get("is_constant"):
            continue
        merge = _user(users, enter.outputs[0], "Merge")
        switch = _user(users, merge.outputs[0], "Switch")
        back = next(makers[n] for n in merge.inputs if makers[n].op.endswith("NextIteration"))
        exits = [op for op in users[switch.outputs[0]] if op.op.endswith("Exit")]
        condition = makers[switch.inputs[1]].inputs[0]  # of LoopCond
        starts.append(enter.inputs[0])
        befores.append((merge.outputs[0], f"{switch.name}:1"))
        afters.append(back.inputs[0])
        ends.append(exits[0].outputs[0] if exits else f"{name}/{enter.name}:end")
    inside = Graph(list({id(op): op for op in makers.values()}.values()), [], [], {})

    def cut(outputs: list[str], inputs: list[str]) -> Graph:
        """Return what leads from inputs to outputs."""
        left = Graph(
            [op for op in inside.operations if not set(inputs) & set(op.outputs)], [], [], {}
        )
        found = [op for op in left.leading_to(outputs) if not op.op.endswith("Enter")]
        found = [op for op in found if _is_within(op, inputs, found)]
        return Graph(found, [Input(n, []) for n in inputs], outputs, {})

    body = cut(afters, [b for _, b in befores])
    test = cut([condition], [m for m, _ in befores])
    return Operation("While", name, starts, ends, {}, body, test)


def _is_within(op: Operation, inputs: list[str], all_: list[Operation]) -> bool:
    """Return whether an operation depends on the inputs; others belong to the outer graph."""
    makers = {name: other for other in all_ for name in other.outputs}
    seen, stack = set(), [op]
    while stack:
        other = stack.pop()
        if set(other.inputs) & set(inputs):
            return True
        for name in other.inputs:
            if name in makers and name not in seen:
                seen.add(name)
                stack.append(makers[name])
    return False


def _user(users: dict[str, list[Operation]], tensor: str, kind: str) -> Operation:
    found = [op for op in users[tensor] if op.op in (kind, f"Ref{kind}")]
    if not found:
        raise ValueError(f"the loop variable {tensor} has no {kind}")
    return found[0]
