"""Translate the instructions of PTX that the kernels use to statements of C."""

import re

CLASSES = {
    "p": "uint8_t",
    "rs": "uint16_t",
    "r": "uint32_t",
    "rd": "uint64_t",
    "f": "float",
    "fd": "double",
}
TYPES = {
    **{f"s{size}": f"int{size}_t" for size in (8, 16, 32, 64)},
    **{f"{kind}{size}": f"uint{size}_t" for kind in "ub" for size in (8, 16, 32, 64)},
    "f32": "float",
    "f64": "double",
    "pred": "uint8_t",
}
SPECIAL = {
    **{f"%tid.{c}": f"run->tid[{n}]" for n, c in enumerate("xyz")},
    **{f"%ctaid.{c}": f"run->ctaid[{n}]" for n, c in enumerate("xyz")},
    **{f"%ntid.{c}": f"run->launch->block[{n}]" for n, c in enumerate("xyz")},
    **{f"%nctaid.{c}": f"run->launch->grid[{n}]" for n, c in enumerate("xyz")},
    "%laneid": "(run->thread % 32)",
    "%dynamic_smem_size": "(uint32_t)run->launch->shared",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
UNSIGNED = {"lo": "<", "ls": "<=", "hi": ">", "hs": ">="}
SPACES = {"global": "global_at", "shared": "shared_at"}
UNREAD = "%temp"  # a register of a block of its own, for the half of a double that nobody reads
IGNORED = {
    "nc",
    "volatile",
    "relaxed",
    "weak",
    "ca",
    "cg",
    "cs",
    "lu",
    "gpu",
    "sys",
    "cta",
    "uni",
    "approx",
    "full",
}
FLUSHING = {"ex2", "rcp", "div", "lg2", "sqrt", "rsqrt", "add", "mul", "fma"}
DOUBLES = {
    **dict.fromkeys(("mov", "add", "sub", "mul", "div", "neg"), ""),  # as floats
    "abs": "fabs({0})",
    "fma": "fma({0}, {1}, {2})",
    "min": "fmin({0}, {1})",
    "max": "fmax({0}, {1})",
    "rcp": "1.0 / {0}",
    "sqrt": "sqrt({0})",
    "rcp approx ftz": "number64(bits64(1.0 / {0}) & ~0xffffffffull)",  # no lower half
}
ROUNDING = {"rzi": "trunc", "rni": "rint", "rmi": "floor", "rpi": "ceil"}


class UnknownError(Exception):
    """What the translator does not know; the message says what."""


def statement(text: str, line: int, names: dict[str, str], symbols: dict[str, int]) -> str:
    """Return the statement of C for one instruction without its guard."""
    opcode, _, rest = text.partition(" ")
    operands = re.findall(r"\s*(\{[^}]*\}|\[[^\]]*\]|[^,]+?)\s*(?:,|$)", rest)
    parts = opcode.split(".")
    if parts[0] in ("ld", "st"):
        return _memory(parts, operands, line, names, symbols)
    if parts[0] in ("membar", "fence"):
        return ""
    return _assign(operands[0], _value(parts, operands[1:], symbols, operands[0]))


def _register(name: str) -> str:
    match = re.fullmatch(r"%([a-z]+)(\d+)", name)
    if match is None or match[1] not in CLASSES:
        raise UnknownError(f"operand {name}")
    return f"t->{match[1]}[{match[2]}]"


def _class(name: str) -> str:
    match = re.match(r"%([a-z]+)\d", name)
    return CLASSES[match[1]] if match and match[1] in CLASSES else ""


def _assign(target: str, value: str) -> str:
    if target.startswith("{"):
        low, high = _halves(target)
        halves = {low: "(uint32_t)both", high: "both >> 32"}
        halves.pop(UNREAD, None)
        kept = "".join(f"{_register(name)} = {half};" for name, half in halves.items())
        return f"uint64_t both = {value}; {kept}"
    return f"{_register(target)} = {value};"


def _halves(pair: str) -> list[str]:
    """Return the two registers of 32 bits that make one of 64."""
    names = [name.strip() for name in pair[1:-1].split(",")]
    if len(names) != 2 or {_class(name) for name in names if name != UNREAD} != {"uint32_t"}:
        raise UnknownError("packing of anything but two registers of 32 bits")
    return names


def _read(operand: str, kind: str, symbols: dict[str, int]) -> str:
    """Return an operand as a value of a type of PTX."""
    wanted = TYPES[kind]
    if operand in SPECIAL:
        return f"({wanted}){SPECIAL[operand]}"
    if match := re.fullmatch(r"0[fF]([0-9A-Fa-f]{8})", operand):
        return f"number(0x{match[1]}u)" if wanted == "float" else f"0x{match[1]}u"
    if match := re.fullmatch(r"0[dD]([0-9A-Fa-f]{16})", operand):
        return f"number64(0x{match[1]}ull)" if wanted == "double" else f"0x{match[1]}ull"
    if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", operand):
        if operand == "-9223372036854775808":
            return "INT64_MIN"
        return f"({wanted}){operand.rstrip('U')}" + ("ll" if "64" in kind else "")
    if operand in symbols:
        return f"({wanted}){symbols[operand]}"
    register, owned = _register(operand), _class(operand)
    if owned == "float" and wanted != "float":
        return f"({wanted})bits({register})"
    if owned == "double" and wanted != "double":
        return f"({wanted})bits64({register})"
    if wanted == "float" and owned != "float":
        return f"number({register})"
    if wanted == "double" and owned != "double":
        return f"number64({register})"
    return f"({wanted}){register}"


def _memory(
    parts: list[str], operands: list[str], line: int, names: dict[str, str], symbols: dict[str, int]
) -> str:
    """Loads and stores, of one value or a vector."""
    kind = parts[-1]
    vector = next((int(p[1:]) for p in parts if re.fullmatch(r"v[24]", p)), 1)
    space = next((p for p in parts[1:] if p in ("global", "shared", "param", "local", "const")), "")
    known = IGNORED | {space, f"v{vector}", kind}
    if set(parts[1:]) - known or kind not in TYPES:
        raise UnknownError("modifiers")
    size, ctype = int(kind[1:]) // 8, TYPES[kind]
    place, values = (operands[1], operands[0]) if parts[0] == "ld" else (operands[0], operands[1])
    match = re.fullmatch(r"\[([^+\]]+?)(?:\+(-?\d+))?\]", place)
    if match is None:
        raise UnknownError(f"address {place}")
    base, offset = match[1].strip(), match[2] or "0"
    if space == "param":
        where = f"((char *){names[base]} + {offset})"
    elif space in ("global", "shared", ""):
        address = f"{_read(base, 'u64', symbols)} + {offset}"
        call = SPACES.get(space, "at")
        where = f"{call}(run, {address}, {size * vector}, {int(parts[0] == 'st')}, {line})"
    else:
        raise UnknownError(f"memory of space {space}")
    items = [v.strip() for v in values.strip("{}").split(",")]
    if len(items) != vector:
        raise UnknownError("width of the vector")
    if parts[0] == "ld":
        body = " ".join(
            _assign(item, _widened(item, f"p[{n}]", kind)) for n, item in enumerate(items)
        )
    else:
        body = " ".join(f"p[{n}] = {_read(item, kind, symbols)};" for n, item in enumerate(items))
    return f"{ctype} *p = ({ctype} *){where}; {body}"


def _widened(target: str, value: str, kind: str) -> str:
    """Return what a register of any kind takes of a value that was loaded."""
    owned = _class(target)
    if owned == "float" and kind != "f32":
        return f"number({value})"
    if owned == "double" and kind != "f64":
        return f"number64({value})"
    if owned.startswith("uint") and kind == "f32":
        return f"bits({value})"
    if owned.startswith("uint") and kind == "f64":
        return f"bits64({value})"
    return value


def _value(parts: list[str], operands: list[str], symbols: dict[str, int], target: str) -> str:
    """Return the expression of C for what an instruction computes."""
    name, kind = parts[0], parts[-1]
    modifiers = set(parts[1:-1]) - IGNORED
    if name == "cvt":
        return _convert(parts, operands[0], symbols, target)
    if name == "cvta":
        shared = "shared" in parts
        if not shared and "global" not in parts:
            raise UnknownError("space")
        value = _read(operands[0], "u64", symbols)
        return value if not shared else f"{value} {'-' if 'to' in parts else '+'} WINDOW"
    if kind not in TYPES:
        raise UnknownError("type")
    if name == "setp":
        return _compare(parts[1:-1], kind, [_read(o, kind, symbols) for o in operands])
    if name == "selp":
        chosen = [_widened(target, _read(o, kind, symbols), kind) for o in operands[:2]]
        return f"{_register(operands[2])} ? {chosen[0]} : {chosen[1]}"
    if "{" in operands[0] + target and (name != "mov" or kind != "b64"):
        raise UnknownError("packing")
    if operands[0].startswith("{"):
        low, high = (_read(o, "b32", symbols) for o in _halves(operands[0]))
        return _widened(target, f"((uint64_t){high} << 32 | {low})", kind)
    values = [_read(o, kind, symbols) for o in operands]
    if kind == "f64":
        key = " ".join([name, *(m for m in parts[1:-1] if m != "rn")])
        if key not in DOUBLES:
            raise UnknownError("arithmetic of doubles")
        if DOUBLES[key]:
            return _widened(target, DOUBLES[key].format(*values), kind)
    computed = (
        _floating(name, modifiers, values)
        if kind in ("f32", "f64")
        else _whole(name, modifiers, kind, values, operands, symbols)
    )
    if computed is None:
        raise UnknownError("instruction")
    return _widened(target, computed, kind)


def _floating(name: str, modifiers: set[str], v: list[str]) -> str | None:
    """Return arithmetic of floats."""
    ftz = "ftz" in modifiers
    key = " ".join([name, *sorted(modifiers - {"ftz", "rn"})])
    table = {
        "mov": "{0}",
        "add": "{0} + {1}",
        "sub": "{0} - {1}",
        "mul": "{0} * {1}",
        "fma": "fmaf({0}, {1}, {2})",
        "fma rm": "down((double){0} * {1} + {2})",
        "add rz": "inward((double){0} + {1})",
        "mul rz": "inward((double){0} * {1})",
        "neg": "-{0}",
        "abs": "fabsf({0})",
        "min": "smaller({0}, {1})",
        "max": "larger({0}, {1})",
        "rcp": "1.0f / {0}",
        "sqrt": "sqrtf({0})",
        "ex2": "exp2f({0})",
        "lg2": "log2f({0})",
        "rsqrt": "1.0f / sqrtf({0})",
        "copysign": "copysignf({1}, {0})",
        "div": "{0} / {1}",
        "tanh": "tanhf({0})",
    }
    if key not in table or (ftz and name not in FLUSHING):
        return None
    inputs = [f"flush({x})" for x in v] if ftz else v
    if name == "div" and "rn" not in modifiers:
        made = f"approximate_quotient({inputs[0]}, {inputs[1]})"
    else:
        made = table[key].format(*inputs)
    return f"flush({made})" if ftz else made


def _whole(
    name: str,
    modifiers: set[str],
    kind: str,
    v: list[str],
    operands: list[str],
    symbols: dict[str, int],
) -> str | None:
    """Return arithmetic of integers, bits and predicates."""
    size = kind.lstrip("subpred") or "8"
    signed, ctype = kind.startswith("s"), TYPES[kind]
    plain = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^"}
    unsigned = f"uint{size}_t"
    if name in plain and not modifiers:
        return f"({unsigned}){v[0]} {plain[name]} ({unsigned}){v[1]}"
    if name in ("mul", "mad") and modifiers in ({"lo"}, {"wide"}, {"hi"}):
        wide = f"{'' if signed else 'u'}int64_t"
        if modifiers == {"hi"}:
            if size not in ("32", "64"):
                return None
            if size == "64":
                wide = "__int128" if signed else "unsigned __int128"
            made = f"({unsigned})((({wide}){v[0]} * {v[1]}) >> {size})"
        elif modifiers == {"wide"}:
            if size != "32":
                return None
            made = f"(uint64_t)(({wide}){v[0]} * {v[1]})"
        else:
            made = f"({unsigned}){v[0]} * ({unsigned}){v[1]}"
        if name == "mad":
            third = "u64" if modifiers == {"wide"} else kind
            made += f" + {_read(operands[2], third, symbols)}"
        return made
    if modifiers:
        return None
    if name in ("shl", "shr", "div", "rem", "clz", "popc") and size not in ("32", "64"):
        return None
    if name in ("shl", "shr"):
        amount = _read(operands[1], "u32", symbols)
        arithmetic = name == "shr" and signed
        function = "arithmetic" if arithmetic else "left" if name == "shl" else "right"
        return f"{function}{size}({v[0]}, {amount})"
    if name in ("div", "rem"):
        return f"{'quotient' if name == 'div' else 'remainder'}_{kind}({v[0]}, {v[1]})"
    if name in ("min", "max"):
        return f"{v[0]} {'<' if name == 'min' else '>'} {v[1]} ? {v[0]} : {v[1]}"
    if name == "mov":
        return v[0]
    if name == "neg":
        return f"({unsigned})0 - ({unsigned}){v[0]}"
    if name == "abs":
        return f"{v[0]} < 0 ? ({unsigned})0 - ({unsigned}){v[0]} : ({unsigned}){v[0]}"
    if name == "not":
        return f"!{v[0]}" if kind == "pred" else f"({ctype})~{v[0]}"
    if name == "clz":
        bits = "ll" if size == "64" else ""
        return f"{v[0]} ? __builtin_clz{bits}({v[0]}) : {size}"
    if name == "popc":
        return f"__builtin_popcount{'ll' if size == '64' else ''}({v[0]})"
    return None


def _compare(modifiers: list[str], kind: str, v: list[str]) -> str:
    """Return a comparison; one whose name ends in u holds for NaN too."""
    if len(modifiers) != 1:
        raise UnknownError("comparison")
    name = modifiers[0]
    if name in COMPARISONS:
        return (
            f"{v[0]} {COMPARISONS[name]} {v[1]}"
            if name != "ne" or kind[0] != "f"
            else (f"{v[0]} < {v[1]} || {v[0]} > {v[1]}")
        )
    if kind[0] == "f" and name.endswith("u") and name[:-1] in COMPARISONS:
        return f"isnan({v[0]}) || isnan({v[1]}) || {v[0]} {COMPARISONS[name[:-1]]} {v[1]}"
    if kind[0] == "f" and name in ("num", "nan"):
        return f"{'!' if name == 'num' else ''}(isnan({v[0]}) || isnan({v[1]}))"
    if name in UNSIGNED and kind[0] != "f":
        return f"{v[0]} {UNSIGNED[name]} {v[1]}"
    raise UnknownError("comparison")


def _convert(parts: list[str], operand: str, symbols: dict[str, int], target: str) -> str:
    """Return a conversion."""
    *modifiers, to, of = parts[1:]
    extra = set(modifiers) - {"ftz"}
    value = _read(operand, of, symbols)
    floats = (to[0] == "f", of[0] == "f")
    if floats == (False, False):
        if extra:
            raise UnknownError("conversion")
        return f"({TYPES[to]}){value}"
    if floats == (False, True):
        if len(extra) != 1 or not extra <= set(ROUNDING) or to[1:] not in ("32", "64"):
            raise UnknownError("conversion")
        return f"to_{to}({ROUNDING[extra.pop()]}((double){value}))"
    if floats == (True, False):
        if extra != {"rn"}:
            raise UnknownError("conversion")
        return f"({TYPES[to]}){value}"
    made = value
    for name in sorted(extra):
        if name == "sat":
            made = f"saturate({made})"
        elif name in ROUNDING:
            made = f"{ROUNDING[name]}({made})"
        elif name != "rn":
            raise UnknownError("conversion")
    return f"({TYPES[to]}){made}"
