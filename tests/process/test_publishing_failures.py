"""Publishers that cannot send, or are closed: no observation is lost without an error."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from streamlstm.client.aio.publisher import AsyncPublisher
from streamlstm.client.publisher import Publisher
from streamlstm.errors import (
    BadValueError,
    StreamLSTMError,
    WorkerTimeoutError,
)

from .conftest import NOBODY
from .pull_socket import HOURS, PullSocket


@pytest.mark.parametrize("make", [Publisher, AsyncPublisher])
async def test_a_delay_is_a_number_of_seconds(make) -> None:
    with pytest.raises(BadValueError, match="delay: expected a number of seconds"):
        make(NOBODY, delay=-1)


def test_with_a_delay_the_next_call_raises_what_was_not_sent() -> None:
    publisher = Publisher(NOBODY, timeout=0.05, delay=HOURS)
    for n in range(3):
        publisher.send("a", [n])
    publisher.send_many(["a", "b"], [[1], [2]])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 5\. Check"):
        publisher.flush()
    publisher.flush()  # raised once
    publisher.send("a", [1])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 1\. Check"):
        publisher.close()
    publisher.close()
    with pytest.raises(StreamLSTMError, match="this publisher is closed"):
        publisher.send("a", [1])
    # others may wait when the error comes, of which the end tells
    with suppress(WorkerTimeoutError), Publisher(NOBODY, timeout=0, delay=0.001) as publisher:
        error = None
        while error is None:  # until the thread has failed
            try:
                publisher.send("a", [1])
            except WorkerTimeoutError as raised:
                error = raised
    assert "neither is the one of this call" in str(error)


async def test_with_a_delay_so_does_asyncio_with_failures() -> None:
    publisher = AsyncPublisher(NOBODY, timeout=0.05, delay=HOURS)
    for n in range(3):
        await publisher.send("a", [n])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 3\. Check"):
        await publisher.flush()
    await publisher.flush()
    await publisher.send("a", [1])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 1\. Check"):
        await publisher.close()
    await publisher.close()
    with pytest.raises(StreamLSTMError, match="this publisher is closed"):
        await publisher.send("a", [1])
    with suppress(WorkerTimeoutError):
        async with AsyncPublisher(NOBODY, timeout=0.0, delay=0.001) as publisher:
            error = None
            while error is None:  # until the alarm has rung in vain
                try:
                    await publisher.send("a", [1])
                    await asyncio.to_thread(bool)
                except WorkerTimeoutError as raised:
                    error = raised
    assert "neither is the one of this call" in str(error)


def test_without_a_delay_each_call_raises_its_own_error() -> None:
    errors: list[str] = []

    def run() -> None:
        try:
            publisher.send("a", [1])
        except WorkerTimeoutError as error:
            errors.append(str(error))

    with Publisher(NOBODY, timeout=0.1) as publisher:
        threads = [threading.Thread(target=run) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(errors) == 5
    assert all("it was not sent" in error for error in errors)


@pytest.mark.parametrize("delay", [0.0, 0.001, HOURS])
def test_closing_ends_threads_that_send(pull: PullSocket, delay: float) -> None:
    pull.open()
    publisher = Publisher(pull.endpoint, delay=delay, timeout=60, linger=60)
    sent, ends = [0] * 4, []

    def run(n: int) -> None:
        try:
            while True:
                publisher.send(n, [sent[n] + 1], seq=sent[n] + 1)
                sent[n] += 1
        except StreamLSTMError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    rows = pull.take_at_least(2_000) if delay < 1 else []
    closing = threading.Thread(target=publisher.close)  # which waits until all is taken
    closing.start()
    for thread in threads:
        thread.join()
    assert ends == ["this publisher is closed; make a new one"] * 4
    while sum(sent) > len(rows):
        rows += pull.take_at_least(1)
    closing.join()
    assert pull.nothing_more()
    for n in range(4):  # all that was accepted has come, in order and once
        assert [row[1] for row in rows if row[0] == n] == list(range(1, sent[n] + 1))
    names = [thread.name for thread in threading.enumerate()]
    assert "streamlstm-publisher" not in names


async def test_closing_ends_coroutines_that_wait_for_the_socket() -> None:
    publisher = AsyncPublisher(NOBODY, timeout=60)
    sending = [asyncio.create_task(publisher.send("a", [n])) for n in range(3)]
    await asyncio.wait(sending, timeout=0.05)
    await publisher.close()
    for end in await asyncio.gather(*sending, return_exceptions=True):
        assert isinstance(end, StreamLSTMError)
        assert "this publisher is closed" in str(end)
