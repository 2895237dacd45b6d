"""Compares two commits and says what got slower, beyond noise.

    python -m benchmarks.regressions BASE [HEAD] [--only GROUP ...] [--json FILE]

BASE and HEAD are git revisions; without HEAD it is the working tree as it is. Each gets a worktree
and kernels of its own. Processes of both take turns at the same blocks, so that a slow moment of
the machine affects both; pairs of them are started anew several times, as a process may be slow for
all of its life. "slower" is what is slower by more than a threshold at both ends of its interval.
Instructions are counted by each commit's `benchmarks.instructions` where valgrind is installed: the
witness that noise does not affect. Exit status 1 if anything is slower.
"""

import json
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np

from .harness import Row, number, parser, report, steps
from .instructions import COUNT, TOLERANCE
from .live import processes
from .live.revision import Measuring, Revision, checked_out, commit_of, end
from .live.revision_process import GROUPS
from .verdicts import CONFIDENCE, SLOWER, THRESHOLD, Verdict, compare

PAIRS, TURNS = 5, 4
INSTRUCTIONS = "instructions"
Blocks = dict[str, list[list[list[float]]]]  # by case: BASE and HEAD, of each pair its turns


def take_turns(pair: Sequence[Measuring], blocks: Blocks, what: str) -> None:
    """Measure every case that both have: A B, B A, and again."""
    for case in steps([case for case in pair[0].cases if case in pair[1].cases], what):
        times: list[list[float]] = [[], []]
        for turn in range(TURNS):
            for n in (0, 1) if turn % 2 == 0 else (1, 0):
                times[n].append(pair[n].seconds(case))
        for side, measured in zip(blocks.setdefault(case, [[], []]), times, strict=True):
            side.append(measured)


def measure(revisions: Sequence[Revision], groups: Sequence[str], missing: list[str]) -> list[Row]:
    """Return a row for each case that both have; add what one lacks to ``missing``."""
    blocks: Blocks = {}
    for n in range(PAIRS):
        with ExitStack() as stack:
            pair = [stack.enter_context(Measuring(revision, groups)) for revision in revisions]
            for side in pair:
                side.ready()
            take_turns(pair, blocks, f"pair {n + 1} of {PAIRS}")
    missing += [
        f"{side.revision.name} lacks {n}: {e}" for side in pair for n, e in side.missing.items()
    ]
    rows = []
    for case, sides in blocks.items():
        medians = [1e6 * float(np.median(side)) for side in sides]
        rows.append(_row(case, "us", medians, compare(*sides), THRESHOLD))
    return rows


def count(revisions: Sequence[Revision], missing: list[str]) -> list[Row]:
    """Count instructions of both at once, each by its own program."""
    with ExitStack() as stack:
        running = []
        for revision in revisions:
            command = ("-m", "benchmarks.instructions", "--json", "counted.json")
            pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
            running.append(stack.enter_context(revision.start(*command, **pipes)))
            stack.callback(end, running[-1])
        said = [process.communicate()[1] for process in running]
    counts = []
    for revision, process, text in zip(revisions, running, said, strict=True):
        if process.returncode:
            missing.append(f"{revision.name} lacks {INSTRUCTIONS}: {text.strip()[-400:]}")
            return []
        rows = json.loads((revision.root / "counted.json").read_text())["rows"]
        counts.append({f"{r['layer']}, {r['streams']} streams": number(r[COUNT]) for r in rows})
    found = []
    for case, before in counts[0].items():
        if after := counts[1].get(case):
            verdict = Verdict(*[after / before] * 3)
            found.append(_row(f"{INSTRUCTIONS}, {case}", "1", [before, after], verdict, TOLERANCE))
    return found


def _row(case: str, unit: str, sides: list[float], verdict: Verdict, threshold: float) -> Row:
    return {
        "what": case,
        "unit": unit,
        "BASE": sides[0],
        "HEAD": sides[1],
        "ratio": f"{verdict.ratio:.3f}",
        "interval": f"{verdict.low:.3f} to {verdict.high:.3f}" if unit == "us" else "exact",
        "verdict": verdict.word(threshold),
    }


def main() -> None:
    """Compare two commits, and fail if something is slower."""
    options = parser(__doc__ or "")
    options.add_argument("base", metavar="BASE", help="a git revision")
    options.add_argument("head", metavar="HEAD", nargs="?", help="the working tree if left out")
    names = (*GROUPS, INSTRUCTIONS)
    options.add_argument("--only", choices=names, nargs="+", default=names, help="measure these")
    arguments = options.parse_args()
    processes.exit_on_sigterm()
    groups = [group for group in arguments.only if group in GROUPS]
    rows: list[Row] = []
    missing: list[str] = []
    sides = {"BASE": arguments.base, "HEAD": arguments.head}
    commits = {name: commit_of(revision) for name, revision in sides.items()}
    try:
        with ExitStack() as stack:
            revisions = [stack.enter_context(checked_out(*side)) for side in commits.items()]
            rows += measure(revisions, groups, missing) if groups else []
            rows += count(revisions, missing) if INSTRUCTIONS in arguments.only else []
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    note = (
        f"BASE {arguments.base}, {commits['BASE'][:12]}; HEAD {arguments.head or 'as it is'}, "
        f"{commits['HEAD'][:12]}. Ratios are medians of {PAIRS * TURNS} pairs of blocks in {PAIRS} "
        f"pairs of processes, with intervals of {CONFIDENCE:.0%}; told where "
        f"both ends are beyond {THRESHOLD:.0%}, of {INSTRUCTIONS} beyond {TOLERANCE:.0%}."
    )
    ratios = {str(row["what"]): float(str(row["ratio"])) for row in rows}
    report("regressions", rows, ratios, arguments.json, "\n".join([note, *missing]))
    if slower := [str(row["what"]) for row in rows if row["verdict"] == SLOWER]:
        raise SystemExit("\n".join(["", "slower:", *slower]))


if __name__ == "__main__":
    main()
