"""The translator of PTX: instructions compute the right results, and every check works."""

import numpy as np
import pytest

from .machine import FaultError, Module

HEAD = """
.version 8.0
.target sm_90
.address_size 64
.extern .shared .align 16 .b8 memory[];
.visible .entry kernel({params})
{{
    .reg .pred %p<9>; .reg .f32 %f<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>;
    .reg .b16 %rs<9>; .reg .f64 %fd<9>;
    ld.param.u64 %rd1, [kernel_param_4];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, %ctaid.x;
    mul.wide.s32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2;
    mov.u64 %rd4, memory;
    add.s64 %rd5, %rd4, %rd2;
{body}
    ret;
}}
"""
PARAMS = ",".join(f".param .u64 kernel_param_{n}" for n in range(7))


def run(body: str, grid: int = 1, block: int = 2, shared: int = 256) -> np.ndarray:
    """Run lines over 64 numbers; %rd3 is the thread's own, %rd5 its place in shared memory."""
    text = HEAD.format(params=PARAMS, body="\n".join(f"    {line};" for line in body.split(";")))
    data = np.arange(64, dtype=np.float32)
    Module(text).launch(grid, block, shared, data)
    return data


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("ld.global.f32 %f1, [%rd1+256]", "outside of all memory"),
        ("st.global.f32 [%rd1+-4], %f1", "outside of all memory"),
        ("ld.shared.f32 %f1, [%rd4+256]", "outside of shared memory"),
        ("ld.global.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1+8]", "not aligned"),
        ("mov.f32 %f1, 0f3F800000; st.shared.v2.f32 [%rd4+4], {%f1, %f1}", "not aligned"),
        ("ld.shared.f32 %f1, [%rd5]", "that nobody has written"),
        ("st.shared.u32 [%rd4], %r1", "two threads write"),
        ("st.shared.u32 [%rd5], %r1; ld.shared.u32 %r3, [%rd4]", "what another thread"),
        ("st.global.u32 [%rd1], %r1", "two threads write"),
        ("ld.global.u32 %r3, [%rd1]; st.global.u32 [%rd3], %r1", "what another thread"),
        ("setp.eq.s32 %p1, %r1, 0; @%p1 ret; bar.sync 0", "have ended where others wait"),
        ("setp.eq.s32 %p1, %r1, 0; @%p1 bar.sync 0", "have ended where others wait"),
        (
            "setp.eq.s32 %p1, %r1, 0; @%p1 bra A; bar.sync 0; bra B;"
            "\nA:\nbar.sync 0;\nB:\nmov.u32 %r3, 0",
            "different",
        ),
    ],
)
def test_a_fault_is_found(body: str, said: str) -> None:
    with pytest.raises(FaultError, match=said):
        run(body)


def test_blocks_may_not_share_what_one_writes() -> None:
    with pytest.raises(FaultError, match="two blocks of threads"):
        run("st.global.u32 [%rd3], %r1", grid=2)


@pytest.mark.parametrize("guard", ["@!%p1 ", ""])
def test_no_block_may_write_what_another_has_read(guard: str) -> None:
    """Whether or not the one that writes has read it as well."""
    body = (
        f"setp.eq.s32 %p1, %r2, 1; {guard}ld.global.u32 %r3, [%rd1];@%p1 st.global.u32 [%rd1], %r2"
    )
    with pytest.raises(FaultError, match="two blocks of threads"):
        run(body, grid=2, block=1)


def test_a_barrier_makes_what_was_written_readable() -> None:
    body = (
        "st.shared.u32 [%rd5], %r1; bar.sync 0; xor.b32 %r3, %r1, 1; mul.wide.s32 %rd6, %r3, 4;"
        "add.s64 %rd6, %rd4, %rd6; ld.shared.u32 %r4, [%rd6]; cvt.rn.f32.s32 %f1, %r4;"
        "st.global.f32 [%rd3], %f1"
    )
    assert run(body, block=8)[:8].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]


@pytest.mark.parametrize(
    "body",
    [
        "frob.f32 %f1, %f2",
        "atom.global.add.u32 %r3, [%rd1], 1",
        "mov.u64 %rd6, nowhere",
        "bar.sync 1, 32",
        "mov.b32 %r3, {%rs1, %rs2}",
        "mov.b32 {%rs1, %rs2}, %r3",
        "mov.b64 {%f1, %f2}, %rd6",
        "fma.rz.f64 %fd1, %fd1, %fd2, %fd3",
        "copysign.f64 %fd1, %fd1, %fd2",
        "mov.b64 {%temp, %temp}, %fd1; mov.u32 %r1, %temp",
        "shl.b16 %rs1, %rs2, 1",
    ],
)
def test_what_is_not_known_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be translated: line \d+ of the PTX"):
        run(body)


CHOSEN = "selp.f32 %f3, 0f3F800000, 0f00000000, %p1"
NUMBERS = [0.0, -0.0, 1.0, -2.5, 3e-39, 1e20, -1e38, np.inf, -np.inf, np.nan, 0.3, 87.5]


def f32(value: float) -> str:
    return f"0f{np.float32(value).view(np.uint32):08X}"


@pytest.mark.parametrize(
    ("instruction", "truth"),
    [
        ("add.f32 %f3, %f1, %f2", lambda x, y: x + y),
        ("fma.rn.f32 %f3, %f1, %f2, %f1", lambda x, y: np.float32(np.float64(x) * y + x)),
        ("neg.f32 %f3, %f1", lambda x, y: -x),
        ("abs.f32 %f3, %f1", lambda x, y: abs(x)),
        ("min.f32 %f3, %f1, %f2", np.fmin),
        ("max.f32 %f3, %f1, %f2", np.fmax),
        ("cvt.sat.f32.f32 %f3, %f1", lambda x, y: np.fmin(np.fmax(x, 0), 1) if x == x else 0.0),
        ("cvt.rni.f32.f32 %f3, %f1", lambda x, y: np.rint(x)),
        ("div.rn.f32 %f3, %f1, %f2", lambda x, y: x / y),
        ("ex2.approx.ftz.f32 %f3, %f1", lambda x, y: np.exp2(x)),
        (
            f"setp.lt.f32 %p1, %f1, %f2; {CHOSEN}",
            lambda x, y: x < y,
        ),
        (
            f"setp.geu.f32 %p1, %f1, %f2; {CHOSEN}",
            lambda x, y: not x < y,
        ),
        (
            "cvt.rzi.s32.f32 %r3, %f1; cvt.rn.f32.s32 %f3, %r3",
            lambda x, y: np.clip(np.trunc(np.nan_to_num(x, nan=0.0)), -(2**31), 2**31 - 1),
        ),
    ],
)
def test_floats(instruction: str, truth) -> None:
    pairs = [(x, y) for x in NUMBERS for y in (1.5, -0.25, np.nan)]
    body = ";".join(
        f"mov.f32 %f1, {f32(x)}; mov.f32 %f2, {f32(y)}; {instruction};"
        f"st.global.f32 [%rd1+{4 * n}], %f3"
        for n, (x, y) in enumerate(pairs)
    )
    found = run(body, block=1)[: len(pairs)]
    with np.errstate(all="ignore"):
        expected = [np.float32(truth(np.float32(x), np.float32(y))) for x, y in pairs]
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def f64(value: float) -> str:
    return f"0d{np.float64(value).view(np.uint64):016X}"


def without_lower_half(x: np.float64) -> np.float64:
    return np.float64((x.view(np.uint64) >> 32 << 32).view(np.float64))


@pytest.mark.parametrize(
    ("instruction", "truth"),
    [
        ("add.f64 %fd3, %fd1, %fd2", lambda x, y: x + y),
        ("abs.f64 %fd3, %fd1", lambda x, y: abs(x)),
        ("min.f64 %fd3, %fd1, %fd2", np.fmin),
        ("max.f64 %fd3, %fd1, %fd2", np.fmax),
        ("rcp.rn.f64 %fd3, %fd1", lambda x, y: 1 / x),
        ("rcp.approx.ftz.f64 %fd3, %fd1", lambda x, y: without_lower_half(1 / x)),
        ("abs.f64 %fd3, %fd1; sqrt.rn.f64 %fd3, %fd3", lambda x, y: np.sqrt(abs(x))),
        ("fma.rn.f64 %fd3, %fd1, 0d4000000000000000, %fd2", lambda x, y: 2 * x + y),
        (
            "mov.b64 {%temp, %r3}, %fd1; mov.b64 {%r4, %temp}, %fd2; mov.b64 %fd3, {%r4, %r3}",
            lambda x, y: ((x.view(np.uint64) >> 32 << 32) | (y.view(np.uint64) & 0xFFFFFFFF)).view(
                np.float64
            ),
        ),
    ],
)
def test_doubles(instruction: str, truth) -> None:
    values = [0.0, -1 / 3, 7.1e300, -np.inf, np.nan]
    pairs = [(np.float64(x), np.float64(y)) for x in values for y in (1.5, -0.1, np.nan)]
    body = ";".join(
        f"mov.f64 %fd1, {f64(x)}; mov.f64 %fd2, {f64(y)}; {instruction};"
        f"st.global.f64 [%rd1+{8 * n}], %fd3"
        for n, (x, y) in enumerate(pairs)
    )
    found = run(body, block=1).view(np.float64)[: len(pairs)]
    with np.errstate(all="ignore"):
        expected = [truth(x, y) for x, y in pairs]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("instruction", "truth"),
    [
        ("sub.s32 %r5, %r3, %r4", lambda x, y: x - y),
        ("mul.lo.s32 %r5, %r3, %r4", lambda x, y: x * y),
        ("div.s32 %r5, %r3, %r4", lambda x, y: int(np.trunc(x / y))),
        ("rem.s32 %r5, %r3, %r4", lambda x, y: x - y * int(np.trunc(x / y))),
        ("shr.s32 %r5, %r3, 40", lambda x, y: -1 if x < 0 else 0),
        ("shr.u32 %r5, %r3, 31", lambda x, y: int(x < 0)),
        ("shl.b32 %r5, %r3, 3", lambda x, y: x * 8),
        ("min.s32 %r5, %r3, %r4", min),
        ("neg.s32 %r5, %r3", lambda x, y: -x),
        ("clz.b32 %r5, %r3", lambda x, y: 0 if x < 0 else 32 - x.bit_length()),
        (
            "cvt.s64.s32 %rd6, %r3; shr.s64 %rd6, %rd6, 1; cvt.u32.u64 %r5, %rd6",
            lambda x, y: x >> 1,
        ),
        ("mul.wide.s32 %rd6, %r3, %r4; cvt.u32.u64 %r5, %rd6", lambda x, y: x * y),
        ("not.b32 %r5, %r3", lambda x, y: ~x),
        (
            "cvt.s64.s32 %rd6, %r3; mul.hi.s64 %rd6, %rd6, 6442450944; cvt.u32.u64 %r5, %rd6",
            lambda x, y: (x * 6442450944) >> 64,
        ),
        (
            "cvt.s64.s32 %rd6, %r3; mul.hi.u64 %rd6, %rd6, 3; cvt.u32.u64 %r5, %rd6",
            lambda x, y: (x % 2**64 * 3) >> 64,
        ),
    ],
)
def test_integers(instruction: str, truth) -> None:
    pairs = [(x, y) for x in (0, 1, -1, 7, -100, 65535) for y in (3, -5)]
    body = ";".join(
        f"mov.u32 %r3, {x}; mov.u32 %r4, {y}; {instruction}; st.global.u32 [%rd1+{4 * n}], %r5"
        for n, (x, y) in enumerate(pairs)
    )
    found = run(body, block=1)[: len(pairs)].view(np.int32)
    assert found.tolist() == [truth(x, y) for x, y in pairs]


@pytest.mark.parametrize(
    ("to", "expected"), [("s64", [0, 1 << 31]), ("u64", [0, 1 << 31]), ("s32", [0, 0])]
)
def test_nan_as_an_integer(to: str, expected: list[int]) -> None:
    body = f"mov.f32 %f1, {f32(np.nan)}; mov.u64 %rd6, 0; cvt.rzi.{to}.f32 "
    body += "%r3, %f1; cvt.u64.u32 %rd6, %r3" if to == "s32" else "%rd6, %f1"
    found = run(f"{body}; st.global.u64 [%rd1], %rd6", block=1)
    assert found[:2].view(np.uint32).tolist() == expected


def test_two_registers_make_one_and_come_back() -> None:
    body = (
        "mov.u32 %r3, 7; mov.u32 %r4, 9; mov.b64 %rd6, {%r3, %r4}; st.global.u64 [%rd1], %rd6;"
        "mov.b64 {%r5, %r6}, %rd6; st.global.v2.u32 [%rd1+8], {%r5, %r6}"
    )
    assert run(body, block=1)[:4].view(np.uint32).tolist() == [7, 9, 7, 9]
