"""AsyncEngine: one block a turn, each caller its twin result, the order of the calls."""

import asyncio
import threading

import numpy as np
import pytest

from streamlstm import LSTM, AsyncEngine, Dense, Engine
from streamlstm.errors import (
    BadValueError,
    CapacityError,
    DuplicateError,
    GapError,
    ShapeError,
    StreamIdError,
    StreamLSTMError,
    UnknownStreamError,
)

from ..contract.models import random_model

MODEL = random_model([LSTM(2, 5), Dense(5, 3)], scaled=True)


@pytest.fixture
def twin() -> Engine:
    """The engine that the asynchronous one is compared with."""
    return Engine(MODEL, capacity=100, threads=1)


@pytest.fixture
def engine() -> AsyncEngine:
    return AsyncEngine(Engine(MODEL, capacity=100, threads=1))


def blocks(engine: AsyncEngine) -> list[int]:
    """Return a list that will hold how many observations each block had."""
    sizes: list[int] = []
    result_each = engine.engine.result_each

    def counted(streams, X, **rest):
        sizes.append(len(streams))
        return result_each(streams, X, **rest)

    engine.engine.result_each = counted  # type: ignore[method-assign]
    return sizes


async def test_the_calls_of_one_turn_are_one_block(engine: AsyncEngine, twin: Engine) -> None:
    sizes = blocks(engine)
    X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)

    async def live(stream: str) -> list[np.ndarray]:
        return [await engine.step(stream, x, seq=n) for n, x in enumerate(X, start=1)]

    got = await asyncio.gather(*(live(f"s-{n}") for n in range(20)))
    expected = [twin.step("s", x) for x in X]
    for ys in got:
        np.testing.assert_array_equal(ys, expected)
    assert sizes == [20] * 50


async def test_observations_of_one_stream_keep_the_order_of_the_calls(
    engine: AsyncEngine, twin: Engine
) -> None:
    X = np.random.default_rng(1).normal(size=(300, 2)).astype(np.float32)
    got = await asyncio.gather(*(engine.step("a", x, seq=n) for n, x in enumerate(X, start=1)))
    for y, x in zip(got, X, strict=True):
        np.testing.assert_array_equal(y, twin.step("a", x))
        assert y.base is None  # a copy, not a view that keeps the whole block alive


async def test_each_caller_gets_its_own_error(engine: AsyncEngine, twin: Engine) -> None:
    await engine.step("a", [0, 0], seq=1)
    twin.step("a", [0, 0], seq=1)
    ends = await asyncio.gather(
        engine.step("a", [1, 2], seq=2, time=5.0),
        engine.step("a", [1, float("nan")]),
        engine.step("b", [float("inf"), 1], seq=7),
        engine.step("a", [1, 2], seq=2),
        engine.step("a", [1, 2], seq=9),
        engine.step("a", [1, 2, 3]),
        engine.step("a", "text"),
        engine.step("", [1, 2]),
        engine.step("a", [1, 2], seq="3"),
        engine.step("a", [1, 2], time=float("nan")),
        engine.step("a", [3, 4], seq=3),
        engine.step(np.int64(7), [5, 6], seq=np.uint8(1)),
        return_exceptions=True,
    )
    np.testing.assert_array_equal(ends[0], twin.step("a", [1, 2], seq=2, time=5.0))
    np.testing.assert_array_equal(ends[-2], twin.step("a", [3, 4], seq=3))
    np.testing.assert_array_equal(ends[-1], twin.step(7, [5, 6], seq=1))
    assert [type(end) for end in ends[1:-2]] == [
        BadValueError,
        BadValueError,
        DuplicateError,
        GapError,
        ShapeError,
        BadValueError,
        StreamIdError,
        BadValueError,
        BadValueError,
    ]
    assert engine.engine.export_stream("a") == twin.export_stream("a")
    assert engine.engine.streams() == twin.streams() == ["a", 7]


async def test_a_full_table_fails_only_the_new_stream(twin: Engine) -> None:
    engine = AsyncEngine(Engine(MODEL, capacity=2, threads=1))
    ends = await asyncio.gather(
        *(engine.step(stream, [1, 2]) for stream in ("a", "b", "c", "a")), return_exceptions=True
    )
    assert [type(end) for end in ends] == [np.ndarray, np.ndarray, CapacityError, np.ndarray]


async def test_other_methods_run_after_pending_calls(engine: AsyncEngine, twin: Engine) -> None:
    pending = asyncio.ensure_future(engine.step("a", [1, 2]))
    await asyncio.wait([pending], timeout=0)  # it has begun
    many = await engine.step_many(["a", "b"], [[3, 4], [5, 6]], seqs=[1, 1])
    np.testing.assert_array_equal(await pending, twin.step("a", [1, 2]))
    np.testing.assert_array_equal(many, twin.step_many(["a", "b"], [[3, 4], [5, 6]]))

    async def all_at_once() -> list[object]:
        return await asyncio.gather(
            engine.step("a", [7, 8]),
            engine.export_stream("a"),
            engine.step("a", [9, 9]),
            engine.import_stream("c", blob),
            engine.step("c", [1, 1]),
            engine.reset("a"),
            engine.step("a", [2, 2]),
            engine.forget("b"),
            engine.step("b", [2, 2]),
        )

    blob = twin.export_stream("b")
    got = await all_at_once()
    np.testing.assert_array_equal(got[0], twin.step("a", [7, 8]))
    np.testing.assert_array_equal(got[2], twin.step("a", [9, 9]))
    before = Engine(MODEL, threads=1)
    before.import_stream("a", got[1])  # the state between the two
    np.testing.assert_array_equal(before.step("a", [9, 9]), got[2])
    np.testing.assert_array_equal(got[4], twin.step("b", [1, 1]))
    new = Engine(MODEL, threads=1).step("new", [2, 2])
    np.testing.assert_array_equal(got[6], new)
    np.testing.assert_array_equal(got[8], new)
    with pytest.raises(UnknownStreamError):
        await engine.forget("unknown")


async def test_a_call_that_has_begun_is_applied_even_if_it_is_cancelled(
    engine: AsyncEngine, twin: Engine
) -> None:
    async def cancels_others() -> None:
        for task in tasks[:2]:
            task.cancel()

    tasks = [asyncio.create_task(engine.step("a", [n, n], seq=n)) for n in (1, 2, 3)]
    tasks.append(asyncio.create_task(cancels_others()))  # runs when the three have begun
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end).__name__ for end in ends[:2]] == ["CancelledError"] * 2
    for n in (1, 2, 3):
        y = twin.step("a", [n, n])
    np.testing.assert_array_equal(ends[2], y)
    assert engine.engine.last_seq("a") == 3
    never = asyncio.create_task(engine.step("a", [4, 4], seq=4))
    never.cancel()  # it has not begun
    await asyncio.wait([never])
    assert engine.engine.last_seq("a") == 3


async def test_an_array_may_be_changed_as_soon_as_the_call_has_begun(
    engine: AsyncEngine, twin: Engine
) -> None:
    async def change() -> None:
        x[:] = np.nan

    x = np.array([1, 2], np.float32)
    y, _ = await asyncio.gather(engine.step("a", x), change())  # in one turn of the loop
    np.testing.assert_array_equal(y, twin.step("a", [1, 2]))


async def test_a_bug_in_the_engine_reaches_every_caller(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(engine.engine, "result_each", fail)
        ends = await asyncio.gather(
            engine.step("a", [1, 2]), engine.step("b", [1, 2]), return_exceptions=True
        )
    assert [str(end) for end in ends] == ["broken", "broken"]
    assert (await engine.step("a", [1, 2])).shape == (3,)


def test_it_belongs_to_one_loop(engine: AsyncEngine) -> None:
    async def use() -> None:
        await engine.step("a", [1, 2])

    messages: list[str] = []

    def elsewhere() -> None:
        for use_ in (use, lambda: engine.reset("a")):
            try:
                asyncio.run(use_())
            except StreamLSTMError as error:
                messages.append(str(error))

    with asyncio.Runner() as runner:
        runner.run(use())
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        runner.run(use())
    assert len(messages) == 2
    assert all("used by another event loop" in error for error in messages)
    assert engine.engine.steps == 2
