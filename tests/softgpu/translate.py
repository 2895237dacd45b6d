"""Translate the PTX of kernels to C and compile it, to run them without a GPU.

    python -m tests.softgpu.translate MODULE.ptx OUT.so

A kernel becomes a function that runs one thread from barrier to barrier; the threads of a block
take turns. Every access to memory is checked (runtime.h): bounds, alignment, races, reads of what
nobody has written. An instruction that is not known here ends the translation; none is skipped.
"""

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .instructions import CLASSES, UnknownError, statement

HERE = Path(__file__).parent
ENTRY = re.compile(r"\.entry\s+(\S+?)\s*\((.*?)\)(.*?)\{(.*?)\n\}", re.S)
PARAM = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(\w+)(?:\[(\d+)\])?")
SHARED = re.compile(
    r"^\s*(\.extern)?\s*\.shared\s+\.align\s+(\d+)\s+\.\w+\s+(\w+)\[(\d*)\]\s*;", re.M
)
REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+%(\w+)<(\d+)>;")
SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}


@dataclass
class Kernel:
    """One kernel: its name, bytes of its parameters, and lines of C."""

    name: str
    params: dict[str, tuple[int, int]] = field(default_factory=dict)  # number, bytes
    registers: dict[str, int] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    blocks: list[dict[str, int]] = field(default_factory=list)  # instructions of each basic block
    barriers: int = 0


def translate(ptx: str) -> str:
    """Return a C module; raise UnknownError, with the line, for what is not known."""
    symbols, static = _shared(ptx)
    kernels = []
    for match in ENTRY.finditer(ptx):
        first = ptx.count("\n", 0, match.start(4)) + 1
        kernels.append(_kernel(match[1], match[2], match[4], first, symbols))
    if not kernels:
        raise UnknownError("the module has no .entry")
    return "\n".join(
        ['#include "runtime.h"', *[_emit(k, static) for k in kernels], _table(kernels, static)]
    )


def _shared(ptx: str) -> tuple[dict[str, int], int]:
    """Return where shared variables begin, and the bytes of those that are not dynamic."""
    symbols, end, dynamic = {}, 0, []
    most = 16
    for extern, align, name, size in SHARED.findall(ptx):
        if extern:
            dynamic.append(name)
            most = max(most, int(align))
            continue
        end = -(-end // int(align)) * int(align)
        symbols[name], end = end, end + int(size)
    end = -(-end // most) * most
    return symbols | dict.fromkeys(dynamic, end), end


def _kernel(name: str, params: str, body: str, line: int, symbols: dict[str, int]) -> Kernel:
    kernel = Kernel(name)
    for n, (kind, param, size) in enumerate(PARAM.findall(params)):
        kernel.params[param] = n, int(size or 1) * SIZES[kind.lstrip("bufs")]
    kernel.registers = {prefix: int(count) for _, prefix, count in REGISTERS.findall(body)}
    strange = set(kernel.registers) - set(CLASSES)
    if strange:
        raise UnknownError(f"registers of kind {sorted(strange)} in {name}")
    names = {p: f"params[{n}]" for p, (n, _) in kernel.params.items()}
    _block(kernel)
    waiting = ""
    for number, text in enumerate(body.split("\n"), start=line):
        text = text.split("//")[0].strip()
        if text.startswith((".reg", ".loc", ".pragma")) or text in ("", "{", "}"):
            continue
        if label := re.fullmatch(r"(\S+):", text):
            kernel.lines.append(f"{_label(label[1])}:;")
            _block(kernel)
            continue
        waiting = f"{waiting} {text}".strip()
        if not waiting.endswith(";"):
            continue
        _add(kernel, waiting[:-1].strip(), number, names, symbols)
        waiting = ""
    return kernel


def _block(kernel: Kernel) -> None:
    """Begin a basic block."""
    kernel.blocks.append({})
    kernel.lines.append(f"counts[{len(kernel.blocks) - 1}]++;")


def _add(
    kernel: Kernel, text: str, line: int, names: dict[str, str], symbols: dict[str, int]
) -> None:
    guard, rest = "", text
    if match := re.match(r"@(!?)%(\w+)\s+(.*)", text):
        guard, rest = f"if ({match[1]}t->{match[2][0]}[{match[2][1:]}]) ", match[3]
    opcode = rest.split()[0]
    counted = kernel.blocks[-1]
    counted[opcode] = counted.get(opcode, 0) + 1
    if opcode in ("bra", "bra.uni"):
        kernel.lines.append(f"{guard}goto {_label(rest.split()[1])};")
        _block(kernel)
    elif opcode in ("ret", "exit"):
        kernel.lines.append(f"{guard}return 0;")
    elif opcode in ("bar.sync", "barrier.sync"):
        if rest.split()[1:] != ["0"]:
            raise UnknownError(f"line {line} of the PTX: a barrier of a part of the block: {text};")
        kernel.barriers += 1
        n = kernel.barriers
        kernel.lines.append(f"{guard}{{ t->at = {n}; return {n}; barrier_{n}:; }}")
        _block(kernel)
    else:
        try:
            made = statement(rest, line, names, symbols)
        except UnknownError as error:
            raise UnknownError(f"line {line} of the PTX: {error}: {text};") from None
        kernel.lines.append(f"{guard}{{ {made} }}")


def _label(name: str) -> str:
    return "L" + re.sub(r"\W", "_", name)


def _emit(kernel: Kernel, static: int) -> str:
    """Return the C functions of a kernel."""
    index = re.sub(r"\W", "_", kernel.name)
    fields = " ".join(
        f"{CLASSES[prefix]} {prefix}[{count}];" for prefix, count in kernel.registers.items()
    )
    cases = " ".join(f"case {n}: goto barrier_{n};" for n in range(1, kernel.barriers + 1))
    sizes = ", ".join(str(size) for _, size in kernel.params.values())
    names = sorted({name for block in kernel.blocks for name in block})
    table = [
        f"{{{n}, {names.index(name)}, {count}}}"
        for n, block in enumerate(kernel.blocks)
        for name, count in block.items()
    ]
    opcodes = ", ".join('"' + name + '"' for name in names)
    return f"""
struct registers_{index} {{ int at; {fields} }};
static uint64_t counts_{index}[{len(kernel.blocks)}];
static const size_t sizes_{index}[] = {{{sizes}}};
static const char *const opcodes_{index}[] = {{{opcodes}}};
static const int uses_{index}[][3] = {{{", ".join(table)}}};
static int thread_{index}(struct run *run, struct registers_{index} *t, void **params) {{
uint64_t *const counts = counts_{index};
(void)params;
switch (t->at) {{ {cases} }}
{chr(10).join(kernel.lines)}
return 0;
}}
#define THREAD thread_{index}
#define REGISTERS struct registers_{index}
#define NAME "{kernel.name}"
#define STATIC_SHARED {static}
#define RUN run_{index}
#define COUNTS counts_{index}
#define BLOCKS {len(kernel.blocks)}
#define OPCODES opcodes_{index}
#define OPCODE_COUNT {len(names)}
#define USES uses_{index}
#define USE_COUNT {len(table)}
#include "launch.h"
"""


def _table(kernels: list[Kernel], static: int) -> str:
    rows = []
    for kernel in kernels:
        index = re.sub(r"\W", "_", kernel.name)
        rows.append(
            f'{{"{kernel.name}", {len(kernel.params)}, sizes_{index}, {static}, run_{index}}}'
        )
    return (
        f"const struct softgpu_kernel softgpu_kernels[] = {{{', '.join(rows)}}};\n"
        f"const size_t softgpu_kernel_count = {len(rows)};\n"
    )


def build(ptx: str, out: Path) -> None:
    """Translate a module and compile it into a shared object."""
    source = out.with_suffix(".c")
    source.write_text(translate(ptx))
    # Of -O1 it takes twice as long, and what it makes runs a tenth faster.
    flags = ["-Og", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno", "-w"]
    subprocess.run(
        ["gcc", *flags, f"-I{HERE}", str(source), "-o", str(out), "-lm"], check=True, timeout=300
    )


def main() -> int:
    """Translate a file."""
    if len(sys.argv) != 3:
        print("usage: python -m tests.softgpu.translate MODULE.ptx OUT.so", file=sys.stderr)
        return 2
    try:
        build(Path(sys.argv[1]).read_text(), Path(sys.argv[2]))
    except UnknownError as error:
        print(f"{sys.argv[1]} cannot be translated: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
