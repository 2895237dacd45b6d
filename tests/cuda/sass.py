"""Find the inner loops in the machine code of a kernel; count multiply-adds and spills.

What runs for every weight stands in loops without a loop inside; that is where a spill costs, and
where each instruction that is no multiply-add takes a turn from one that is.
"""

import re
import subprocess
from collections import Counter
from pathlib import Path

LABEL = re.compile(r"\s*\.(L_x_\d+):")
INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?(.*?)\s*;")
JUMP = re.compile(r"BRA.*`\(\.(L_x_\d+)\)")


def inner_loops(nvdisasm: str, cubin: Path) -> list[dict[str, int]]:
    """Return instructions, multiply-adds and spills of each innermost loop that multiplies."""
    ran = subprocess.run(
        [nvdisasm, "-c", str(cubin)], capture_output=True, text=True, check=True, timeout=120
    )
    instructions, labels = _read(ran.stdout)
    jumps = [(n, JUMP.match(line)) for n, line in enumerate(instructions)]
    loops = [(labels[to[1]], n) for n, to in jumps if to and labels.get(to[1], n + 1) <= n]
    found = []
    for first, last in loops:
        if any(
            first <= start and end <= last for start, end in loops if (start, end) != (first, last)
        ):
            continue
        kinds = Counter(line.split()[0].split(".")[0] for line in instructions[first : last + 1])
        if kinds["FFMA"] and not kinds["MUFU"]:
            found.append(
                {
                    "instructions": last + 1 - first,
                    "multiply-adds": kinds["FFMA"],
                    "spills": kinds["LDL"] + kinds["STL"],
                }
            )
    return found


def _read(text: str) -> tuple[list[str], dict[str, int]]:
    """Return all instructions, and where each label stands among them."""
    instructions: list[str] = []
    labels = {}
    for line in text.splitlines():
        if label := LABEL.match(line):
            labels[label[1]] = len(instructions)
        elif instruction := INSTRUCTION.match(line):
            instructions.append(instruction[1])
    return instructions, labels
