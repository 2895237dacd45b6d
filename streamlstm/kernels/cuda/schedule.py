"""A network as a list of operations between sequences, which sequences.py carries out in order.

Branches stand in a program as trees (backends/branches.py). The list, at the end of a program for
CUDA, says for each operation which sequences it reads and writes: so that a kernel needs no stack
but for the numbers of rows.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from .. import layout
from ..layout import HEADER, ROW, STAGE_SIZE

# Head: sequences, floats of one, operations, and how many of them run at every row of a window;
# which sequence comes out, and the floats from one of its rows to the next, and from one that goes
# in; forks within forks.
SEQUENCES, SIZE, COUNT, EARLY, RESULT, STRIDE, ENTER, DEPTH = range(8)
HEAD = 8
# An operation: the row of a layer, sequences that it reads and writes, in how many forks it is, and
# of branches: width and first column of what it writes, floats between rows of what it reads and
# writes, 1 for the first branch.
CODE, LAYER, SOURCE, TARGET, LEVEL, WIDTH, COLUMN, IN, OUT, FIRST = range(10)
SIZE_OF_ONE = 10
# Values of CODE. Branches begin with the rows of their fork, copied where they have to be farther
# apart; what comes out of each is merged.
RUN, FORK, BRANCH, MERGE, JOIN = range(5)

Program = NDArray[np.int64]


class _Writer:
    """Writes the operations of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.whole = int(program[HEADER + layout.KIND]) == layout.WHOLE_WINDOW
        self.step, self.row_at = (STAGE_SIZE, HEADER) if self.whole else (ROW, 0)
        self.operations: list[list[int]] = []
        self.depth = 0

    def add(self, code: int, **fields: int) -> None:
        names = ("layer", "source", "target", "level", "width", "column", "enter", "leave", "first")
        self.operations.append([code, *(int(fields.get(name, 0)) for name in names)])

    def chain(
        self, start: int, layers: int, source: int, others: tuple[int, int], level: int
    ) -> int:
        """Write a chain of layers; return the number of the sequence that comes out."""
        target, spare = others
        for n in range(layers):
            row = start + n * self.step + self.row_at
            if self.program[row + layout.KIND] in (layout.PARALLEL, layout.PARALLEL_STEP):
                self.fork(row, source, target, level)
            else:
                self.add(RUN, layer=row, source=source, target=target)
            source, target, spare = target, spare, target
        return source

    def fork(self, row: int, source: int, target: int, level: int) -> None:
        """Write the branches of a fork, and how they are merged."""
        program, column = self.program, 0
        table = row + int(program[row + layout.BRANCH_TABLE])
        apart, out = int(program[row + layout.ROWS_IN]), int(program[row + layout.ROWS_OUT])
        self.depth = max(self.depth, level + 1)
        self.add(FORK, level=level)
        for b in range(int(program[row + layout.BRANCHES])):
            line = program[table + b * layout.BRANCH_LINE :]
            layers, width = int(line[layout.BRANCH_LAYERS]), int(line[layout.BRANCH_WIDTH])
            start = table + int(line[layout.BRANCH_START])
            others, begin, between, own = (2 + 2 * level, 3 + 2 * level), source, apart, apart
            if layers:
                between = int(program[start + self.row_at + layout.ROWS_IN])
                last = start + (layers - 1) * self.step + self.row_at
                own = int(program[last + layout.ROWS_OUT])
                if between != apart:
                    begin, others = others[0], others[::-1]
            self.add(
                BRANCH, source=source, target=begin, level=level, enter=apart, leave=between,
                width=int(program[row + layout.LAYER_INPUTS]),
            )  # fmt: skip
            result = self.chain(start, layers, begin, others, level + 1)
            self.add(
                MERGE, layer=row, source=result, target=target, level=level, width=width,
                column=column, enter=own, leave=out, first=b == 0,
            )  # fmt: skip
            if program[row + layout.ROWS_MODE] == layout.CONCATENATE:
                column += width
        self.add(JOIN, level=level)


def with_schedule(program: Program) -> Program:
    """Return a program with its operations behind it, and where these begin as the last number."""
    writer, window = _Writer(program), program[HEADER:]
    layers, start = int(program[layout.LAYERS]), HEADER
    early, size = layers, int(program[layout.STRIDE])
    if window[layout.KIND] in (layout.WINDOW, layout.WHOLE_WINDOW):
        layers, early = int(window[layout.WINDOW_LAYERS]), int(window[layout.WINDOW_RECURRENT])
        start = int(window[layout.STAGES]) if writer.whole else HEADER + ROW
    if writer.whole:
        early, size = layers, int(window[layout.SEQUENCE_SIZE])
    between = writer.chain(start, early, 0, (1, 0), 0)
    number = len(writer.operations)
    result = writer.chain(
        start + early * writer.step, layers - early, between, (1 - between, between), 0
    )
    row = start + writer.row_at
    last = row + (layers - 1) * writer.step
    head = np.zeros(HEAD, np.int64)
    head[[SEQUENCES, SIZE]] = 2 + 2 * writer.depth, size
    head[[COUNT, EARLY]] = len(writer.operations), number
    head[[RESULT, DEPTH]] = result, writer.depth
    head[[STRIDE, ENTER]] = program[last + layout.ROWS_OUT], program[row + layout.ROWS_IN]
    operations = np.array(writer.operations, np.int64).ravel()
    return np.concatenate([program, head, operations, [len(program)]])


def has_schedule(kinds: Collection[int]) -> bool:
    """Tell whether a network with layers of these kinds needs a list of operations."""
    return bool({layout.WHOLE_WINDOW, layout.PARALLEL_STEP} & {*kinds})


def rows_run(program: Program) -> Program:
    """Return the rows of the layers in a program with a schedule, int64[..., ROW]."""
    at = int(program[-1])
    operations = program[at + HEAD : -1].reshape(-1, SIZE_OF_ONE)
    starts = operations[operations[:, CODE] == RUN, LAYER]
    whole = program[HEADER + layout.KIND] == layout.WHOLE_WINDOW  # with a row for each direction
    return np.concatenate([program[n : n + ROW * (1 + whole)] for n in starts]).reshape(-1, ROW)
