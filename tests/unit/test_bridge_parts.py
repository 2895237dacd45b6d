"""The parts of a bridge that know no broker: topics, payloads, joins, receipts, offsets, feeds."""

from __future__ import annotations

import inspect
import logging
import math
import shlex
import signal
import struct
import threading
import time as clock
from collections import deque
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer import BadParameter

from streamlstm import sparse_seq, wire
from streamlstm.bridges import payloads
from streamlstm.bridges.address import address_of, without_password
from streamlstm.bridges.credentials import password_of, tls_of
from streamlstm.bridges.join import Join
from streamlstm.bridges.log import OncePerSecond
from streamlstm.bridges.loops import check_topics
from streamlstm.bridges.mapping import Mapping, Part
from streamlstm.bridges.messages import Message, Receipt
from streamlstm.bridges.offsets import Offsets
from streamlstm.bridges.settings import Settings, duration
from streamlstm.bridges.topics import TopicPattern, check_template, default_stream
from streamlstm.cli.bridge.command import bridge
from streamlstm.cli.bridge.options import as_settings
from streamlstm.client.replay.claims import Claims
from streamlstm.client.replay.feed import observation_entry
from streamlstm.client.replay.outbox import Entry, Outbox, message_of
from streamlstm.errors import BadValueError, DataError, FencedError, StreamLSTMError

INPUTS = ["temperature", "load"]


def mapping(separator: str = "/", **options: Any) -> Mapping:
    options.setdefault("topics", ("plant/{machine}/state",))
    return Mapping(Settings(**{"broker": "mqtt", **options}), INPUTS, separator, ("partition",))


def message(payload: bytes, topic: str = "plant/m1/state", **options: Any) -> Message:
    return Message(topic, payload, "origin", **options)


@pytest.mark.parametrize(
    ("pattern", "separator", "filter_", "topic", "stream"),
    [
        ("plant/{machine}/t", "/", "plant/+/t", "plant/a b/t", "a b"),
        ("{site}/x-{n}/#", "/", "+/+/#", "s/x-7/t/u", "s/7"),
        ("plant.{machine}.>", ".", "plant.*.>", "plant.m.t", "m"),
        ("plant/+/t", "/", "plant/+/t", "plant/m/t", "plant/m/t"),
        ("sensors", "", "sensors", "sensors", "sensors"),
        ("{site}.sensors", "", "{site}.sensors", "a.b.sensors", "a.b"),
    ],
)
def test_a_pattern_subscribes_and_names_the_stream(
    pattern: str, separator: str, filter_: str, topic: str, stream: str
) -> None:
    made = TopicPattern(pattern, separator)
    names = made.match(topic)
    assert made.filter == filter_
    assert names is not None
    assert default_stream(made).format_map({"topic": topic, **names}) == stream
    assert made.match(f"other{separator or '-'}{topic}x") is None or separator == ""


def test_patterns_and_templates_that_mean_nothing_are_refused() -> None:
    for pattern in ("", "a/{}", "{a}/{a}"):
        with pytest.raises(BadValueError, match="expected a topic"):
            TopicPattern(pattern, "/")
    for pattern, separator, said in (
        (
            "plant/#/x",
            "/",
            r"expected # as the last level only and \+ as a whole level, got 'plant",
        ),
        ("plant/a+", "/", "expected #"),
        ("plant/a#", "/", "expected #"),
        ("plant.>.x", ".", "expected > as the last level only .*, no level empty, got"),
        ("plant..x", ".", "no level empty"),
        ("plant/{machine", "/", "expected each { with its }"),
        ("plant}", "", "expected each { with its }"),
    ):
        with pytest.raises(BadValueError, match=said):
            TopicPattern(pattern, separator)
    with pytest.raises(BadValueError, match=r"out: expected names out of stream, got \{machine\}"):
        check_template("out", "p/{machine}", ["stream"])
    with pytest.raises(BadValueError, match="stream: "):
        mapping(stream="{nothing}")


FLOATS = struct.pack("<2f", 1.5, 2)


@pytest.mark.parametrize(
    ("options", "payload", "values"),
    [
        ({}, b'{"temperature": 1.5, "load": 2}', [1.5, 2]),
        ({}, b'{"temperature": 1.5}', [1.5, math.nan]),
        ({}, b'[1.5, "2"]', [1.5, 2]),
        ({"features": ("a.b[1]", "$.c")}, b'{"a": {"b": [0, 1.5]}, "c": null}', [1.5, math.nan]),
        ({"format": "csv"}, b"1.5,2\n", [1.5, 2]),
        ({"format": "csv", "decimal": ","}, b"1,5; 2", [1.5, 2]),
        ({"format": "csv", "features": ("3", "1")}, b"2,x,1.5", [1.5, 2]),
        ({"format": "float32"}, FLOATS, [1.5, 2]),
        ({"format": "msgpack"}, wire.pack({"load": 2, "temperature": 1.5}), [1.5, 2]),
    ],
)
def test_payloads_become_the_inputs_of_the_model(
    options: dict[str, Any], payload: bytes, values: list[float]
) -> None:
    part = mapping(**options).part(message(payload))
    np.testing.assert_equal(part.values, values)
    assert (part.stream, part.number, part.message.origin) == ("m1", 0, "origin")


@pytest.mark.parametrize(
    ("options", "payload", "said"),
    [
        ({}, b"{", "expected JSON"),
        ({}, b"\xff", "expected JSON"),
        ({}, b'{"temperature": "warm"}', "temperature: expected a finite number, got 'warm'"),
        ({}, b'{"temperature": NaN, "load": Infinity}', "load: expected a finite number"),
        ({}, b"{}", "expected values of temperature, load, got none"),
        ({}, b'{"Load": 1, "\\u001b": 2}', r"got none of them in an object of 'Load', '\\x1b'"),
        ({}, b"[1]", "expected 2 values"),
        ({}, b"[" * 5000 + b"]" * 5000, "expected json .* got what raises RecursionError"),
        ({}, b"[1, 1%s]" % (b"0" * 400), "expected json .* got what raises OverflowError"),
        ({"time": "t"}, b'{"load": 1, "t": 1%s}' % (b"0" * 400), "OverflowError"),
        ({"number": "n"}, '{"load": 1, "n": "²"}'.encode(), "got what raises ValueError"),
        ({"format": "csv"}, b"1\n2\n", "expected one line"),
        ({"format": "float32"}, b"123", "got 3 bytes"),
        ({"format": "msgpack"}, b"\xc1", "expected msgpack"),
        ({"time": "t"}, b'{"load": 1, "t": "noon"}', "time: expected a time such as"),
        ({"number": "n"}, b'{"load": 1}', "n: expected a whole number"),
        ({"number": "n"}, b'{"load": 1, "n": 3e20}', "n: number: expected an integer"),
    ],
)
def test_a_bad_payload_says_what_was_expected(
    options: dict[str, Any], payload: bytes, said: str
) -> None:
    with pytest.raises((DataError, StreamLSTMError), match=said):
        mapping(**options).part(message(payload))


def test_numbers_and_times_come_from_the_payload_the_properties_or_the_log() -> None:
    payload = b'{"load": 1, "n": 7, "boot": 3, "t": 1700000000500}'
    part = mapping(number="n", generation="boot", time="t", time_unit="ms").part(message(payload))
    assert (part.number, part.time, part.has_own_time) == (sparse_seq(7, 3), 1700000000.5, True)
    part = mapping(number="n").part(message(b"[1, 2]", properties={"n": "8"}, time=5.0))
    assert (part.number, part.time, part.has_own_time) == (sparse_seq(8), 5.0, False)
    logged = message(b"[1, 2]", "sensors", number=9, key="k", names={"partition": "4"})
    part = mapping("", topics=("sensors",), stream="{key}/{partition}", generation="2").part(logged)
    assert (part.stream, part.number) == ("k/4", sparse_seq(9, 2))
    assert payloads.time_of("2023-11-14T22:13:20Z", "t", 1.0) == 1_700_000_000
    assert payloads.time_of("2023-11-14 22:13:20", "t", 1.0) == 1_700_000_000
    assert payloads.time_of("1700000000000", "t", 1e-3) == 1_700_000_000
    with pytest.raises(BadValueError, match="expected a path"):
        payloads.Path("a..b")


def test_a_topic_may_name_the_input() -> None:
    made = mapping(topics=("plant/{machine}/{input}",), join=1.0)
    for payload in (b"2.5", b'{"value": 2.5}', b"[2.5]"):
        part = made.part(message(payload, "plant/m1/load"))
        np.testing.assert_equal(part.values, [math.nan, 2.5])
    with pytest.raises(DataError, match=r"name of an input \(temperature, load\)"):
        made.part(message(b"1", "plant/m1/noise"))
    for payload in (b'{"wrong": 5}', b"null"):
        with pytest.raises(DataError, match="expected values of load, got none of them"):
            made.part(message(payload, "plant/m1/load"))


def part(values: list[float], time: float | None, payload: str, stream: str = "m") -> Part:
    return Part(stream, values, 0, time, True, message(payload.encode()))


def test_a_window_is_told_when_it_is_complete_or_has_waited(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [0.0]
    join, nan = Join(1.0, 2, lambda: now[0]), math.nan
    assert join.add(part([1, nan], 10.1, "a")) == []
    assert join.add(part([nan, 5], 11.0, "b")) == []
    assert join.add(part([2, nan], 10.9, "c")) == []
    assert join.add(part([0, nan], 10.5, "d")) == []  # older than what is there
    (first,) = join.add(part([nan, 3], 10.2, "e")) or []
    assert (first.values, first.number, first.time) == ([2, 3], sparse_seq(10, 2), 10.9)
    assert [each.payload for each in first.messages] == [b"a", b"c", b"d", b"e"]
    assert join.add(part([9, nan], 8.5, "f")) is None
    assert join.late == 1
    (line,) = caplog.messages
    assert line.startswith("left out: late: stream m: 2.5 s before the end of the last window")
    assert join.due() == []
    now[0] = 1.5
    (second,) = join.due()
    np.testing.assert_equal(second.values, [nan, 5])
    assert [each.payload for each in second.messages] == [b"b"]


def test_a_complete_window_waits_for_the_one_before() -> None:
    now = [0.0]
    join = Join(1.0, 0, lambda: now[0])
    assert join.add(part([1, math.nan], 10.1, "a")) == []
    assert join.add(part([1, 2], 11.1, "b")) == []
    now[0] = 1.5
    assert [each.number for each in join.due()] == [sparse_seq(10), sparse_seq(11)]


def test_a_time_before_1970_or_days_ahead_is_refused_and_stops_no_later_window() -> None:
    join, now = Join(1.0, 0), clock.time()
    for wrong in (1796036400123456.0, now + 90_000, -1.0):
        with pytest.raises(DataError, match=r"time: expected one since 1970, .* --time-unit"):
            join.add(part([1, 2], wrong, "a"))
    logged = part([1, 2], now + 90_000, "a")._replace(has_own_time=False)
    with pytest.raises(DataError, match=r"Check the clock of who wrote the message"):
        join.add(logged)
    assert [each.time for each in join.add(part([1, 2], now, "b")) or []] == [now]


def test_a_receipt_is_given_when_everything_is_done() -> None:
    given: list[Any] = []
    both = [message(b"a"), message(b"b")]
    receipt = Receipt(both, given.append, None)
    receipt.expect(2)
    for _ in range(3):
        assert given == []
        receipt.settle()
    assert given == [both]


def test_a_receipt_that_was_told_holds_nothing_more() -> None:
    """In a cycle it would wait for a collector, whose pauses all streams would notice."""
    receipt, told = Receipt([message(b"a")], list, None), []
    receipt.expect(1)
    receipt.on_told = partial(told.append, receipt)
    receipt.settle()
    assert told == [receipt]
    assert receipt.on_told is None


def test_offsets_are_committed_up_to_the_first_that_is_not_done() -> None:
    offsets = Offsets()
    for offset in (3, 5, 6, 9):
        offsets.take(offset)
    offsets.done(5)
    assert offsets.commit() is None
    offsets.done(3)
    assert offsets.commit() == 6
    assert offsets.commit() is None
    offsets.done(9)
    offsets.done(6)
    assert (offsets.commit(), len(offsets)) == (10, 0)


def test_options_become_settings_and_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    plain = {"in_": ["a", "b"], "format_": "json", "features": ["x, y", "z"], "join": "500ms"}
    made = as_settings("kafka", **plain, client=["ssl.key.password=a=b"])
    assert (made.topics, made.join, made.features) == (("a", "b"), 0.5, ("x", "y", "z"))
    assert made.client == {"ssl.key.password": "a=b"}
    for wrong, said in (
        ({"in_": []}, "--in: expected a topic"),
        ({"join": "1 week"}, "--join: expected a duration"),
        ({"join": ".0001ms"}, "--join: expected 1ms or more"),
        ({"generation": "32768"}, "--generation: expected an integer from 0 to 32767"),
        ({"home_assistant": "ha"}, "--home-assistant: expected --out"),
        ({"cert_key": tmp_path}, "--cert-key: expected --cert"),
        ({"name": ""}, "--name: expected a name"),
        ({"password": tmp_path}, "--password: expected --user"),
        ({"url": "host", "password": tmp_path}, "--password: expected --user"),
        ({"url": "mqttss://me:secret@host"}, "--url: expected HOST:PORT.* got 'mqttss://host'"),
    ):
        with pytest.raises(BadValueError, match=said):
            as_settings("mqtt", **{**plain, **wrong})
    with pytest.raises(BadParameter, match="expected NAME=VALUE, got 'x'"):
        as_settings("kafka", **plain, client=["x"])
    assert duration("--join", "2m") == 120


def test_files_of_credentials_are_read_before_anything_connects(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a b\n")
    made = Settings(
        "nats", topics=("a",), user="me", password=tmp_path / "password", ca=tmp_path / "none"
    )
    assert password_of(made) == "a b"
    with pytest.raises(BadValueError, match=r"--ca: expected .* got .*none .No such file"):
        tls_of(made)
    with pytest.raises(BadValueError, match=r"--cert, --cert-key: expected .*password"):
        tls_of(Settings("nats", topics=("a",), cert=tmp_path / "password"))
    with pytest.raises(BadValueError, match="--password: expected a file"):
        password_of(Settings("nats", topics=("a",), user="me", password=tmp_path))
    assert Settings("mqtt", topics=("a",), url="me@host", password=tmp_path).user == ""


def test_an_address_that_is_none_of_the_broker_is_refused_without_its_password() -> None:
    assert address_of("mqtt", "TLS://me:secret@host").scheme == "tls"
    assert address_of("nats", "host:4222").port == 4222
    assert Settings("kafka", topics=("a",), url="a:9092,ssl://b:9093").url
    ports = ("mqtt://h:99999", "h:x", "[::1", "mqtt://", ":1")
    others = [("nats", "https://me:secret@h"), ("nats", "h:0"), ("kafka", "h:9092,kafka://h:9092")]
    for broker, url in [("mqtt", "http://h"), *(("mqtt", each) for each in ports), *others]:
        with pytest.raises(BadValueError, match="--url: expected HOST:PORT") as caught:
            Settings(broker, topics=("a",), url=url)
        assert "secret" not in str(caught.value)
    assert without_password("nats://me:secret@host:4222") == "nats://host:4222"


def test_what_comes_often_is_said_once_a_second_with_its_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = OncePerSecond(logging.getLogger("streamlstm.bridges"))
    for n in range(5):
        line.note(f"bad {n}")
    line._last -= 2
    line.note("bad 5")
    assert caplog.messages == ["bad 0", "bad 5 (4 more since the last line)"]
    assert line.count == 6


def entry(number: int, stream: str = "a", time: float | None = None) -> Entry:
    return observation_entry(stream, wire.to_floats([number]), sparse_seq(number), time, "source")


def test_what_comes_again_is_confirmed_and_not_sent_but_for_the_last() -> None:
    outbox = Outbox(one_in_flight=True)
    outbox.resume("a", sparse_seq(5), message=2)
    for number in (3, 5, 8, 9):
        outbox.add(entry(number))
    (asked,) = outbox.next_message(1000, 10)
    assert (asked.seq, asked.single) == (sparse_seq(5), True)
    assert outbox.next_message(1000, 10) == []
    outbox = Outbox(one_in_flight=True)
    outbox.resume("a", sparse_seq(5), message=2)
    again, later = entry(5), entry(8)
    outbox.add(again)
    outbox.add(later)
    assert outbox.next_message(1000, 10) == [again]  # its prediction may be missing
    outbox.mark_applied([again])
    assert outbox.next_message(1000, 10) == [later]
    came_again = entry(8)
    outbox.add(came_again)
    assert outbox.next_message(1000, 10) == []
    outbox.mark_applied([later])
    assert outbox.next_message(1000, 10) == []
    again.message = later.message = 3
    assert outbox.confirm(1) == []
    assert outbox.confirm(3) == [again, later, came_again]
    assert outbox.confirmed == {"a": sparse_seq(8)}
    assert outbox.rows == 0


def test_a_prediction_that_is_released_while_it_is_to_be_asked_for_again_is_not() -> None:
    outbox = Outbox(one_in_flight=True)
    outbox.resume("a", 0)
    held = entry(5)
    outbox.add(held)
    assert outbox.next_message(1000, 10) == [held]
    outbox.suspend(everything=False)  # the worker was busy; the broker has the prediction only now
    outbox.resume("a", sparse_seq(5), message=2)
    held.delivered = True
    outbox.release(held)
    assert outbox.next_message(1000, 10) == []
    later = entry(8)
    outbox.add(later)
    assert outbox.next_message(1000, 10) == [later]
    assert outbox.confirm(2) == [held]


def test_given_numbers_do_not_close_up_where_one_was_refused() -> None:
    outbox = Outbox(one_in_flight=True)
    outbox.resume("a", 0)
    entries = [entry(n, time=float(n)) for n in (2, 4, 6)]
    for each in entries:
        outbox.add(each)
    entries[0].refused = True
    outbox.suspend(everything=False)
    outbox.resume("a", 0)
    assert [e.seq for e in outbox] == [sparse_seq(4), sparse_seq(6)]
    steps = message_of(entries[1:])
    assert isinstance(steps, wire.Steps)
    assert (steps.seqs, steps.times) == ([sparse_seq(4), sparse_seq(6)], [4.0, 6.0])


def test_a_claim_finds_a_worker_that_has_lost_state_and_another_bridge() -> None:
    outbox = Outbox(one_in_flight=True)
    claims = Claims(77, (), outbox, 10_000)
    claim = wire.Claim(["a"], None)
    claims.want(["a"])
    claims.handle(claim, [(sparse_seq(5), 12)])
    one, two = entry(6), entry(9)
    outbox.add(one)
    outbox.add(two)
    assert outbox.next_message(1000, 10) == [one]
    outbox.mark_applied([one])
    assert deque(outbox.confirm(1)) == deque([one])
    claims.confirm([("a", one.seq)])
    claims.restart(everything=True)
    with pytest.raises(StreamLSTMError, match=r"has lost state"):
        claims.handle(claim, [(sparse_seq(5), 77)])
    with pytest.raises(FencedError, match="somebody else feeds"):
        claims.handle(claim, [(sparse_seq(20), 78)])
    claims.handle(claim, [(sparse_seq(9), 77)])  # it was applied, and the reply was lost
    assert outbox.next_message(1000, 10) == [two]


def test_a_signal_at_the_end_of_a_wait_for_messages_does_not_make_it_endless() -> None:
    mqtt = pytest.importorskip("streamlstm.bridges.mqtt", reason="needs paho-mqtt")
    waiting, came = mqtt.Mqtt(Settings("mqtt", topics=("a",)), ()), []

    def interrupt(_number: object, _frame: object) -> None:
        assert not came, "it still waits"
        came.append(threading.Event().wait(2 * mqtt._WAIT))  # until after its deadline

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, mqtt._WAIT / 2, 10)
    try:
        while not came:
            assert waiting._received() == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("separator", "topic", "options", "loops"),
    [
        ("/", "plant/#", {"dead_letter": "plant/dead"}, "dead-letter"),
        ("/", "plant/#", {"dead_letter": "plant"}, "dead-letter"),
        ("/", "plant/{a}/x", {"dead_letter": "plant//x"}, "dead-letter"),
        ("/", "#", {"dead_letter": "$dead"}, ""),
        ("/", "plant/{a}/{input}", {"out": "plant/{stream}/predicted"}, "out"),
        ("/", "plant/{a}/{b}", {"out": "plant/{stream}"}, "out"),
        ("/", "plant/{a}/state", {"out": "plant/{stream}/out", "alarms": "plant/alarm"}, ""),
        ("/", "plant/{a}", {"alarms": "plant/alarms", "out": "out/{stream}"}, "alarms"),
        ("/", "plant/+", {"out": "{stream}"}, "out"),
        (".", "plant.{a}", {"out": "plant.{stream}"}, "out"),
        (".", "plant.>", {"dead_letter": "plant", "out": "predicted.{stream}"}, ""),
        ("", "sensors", {"out": "out", "dead_letter": "sensors"}, "dead-letter"),
        ("", "{site}.sensors", {"stream": "{key}", "out": "out.sensors"}, "out"),
        ("", "sensors", {"stream": "{partition}", "out": "{stream}", "dead_letter": "dead"}, ""),
    ],
)
def test_a_bridge_does_not_publish_where_it_reads(
    separator: str, topic: str, options: dict[str, Any], loops: str
) -> None:
    settings = Settings("mqtt", topics=("other", topic), **options)
    said = f"--{loops}: expected a topic that --in does not read"
    with pytest.raises(BadValueError, match=said) if loops else nullcontext():
        check_topics(settings, separator, ("partition",))


@pytest.mark.parametrize(
    ("separator", "options"),
    [
        ("/", {"out": "predictions/#"}),
        ("/", {"alarms": "alarms/+/{stream}"}),
        ("/", {"dead_letter": "dead+"}),
        ("/", {"home_assistant": "#", "out": "out"}),
        (".", {"out": "predicted.>"}),
        (".", {"out": "predicted..{stream}"}),
        (".", {"dead_letter": "dead letters"}),
        ("", {"out": "predicted/{stream}"}),
    ],
)
def test_a_topic_that_nothing_can_be_published_to_is_refused(
    separator: str, options: dict[str, Any]
) -> None:
    settings = Settings("mqtt", topics=("a",), **options)
    option = next(iter(options)).replace("_", "-")
    with pytest.raises(BadValueError, match=f"--{option}: expected a topic "):
        check_topics(settings, separator)


@pytest.mark.parametrize(("broker", "separator"), [("mqtt", "/"), ("nats", "."), ("kafka", "")])
def test_examples_of_the_help_are_accepted(broker: str, separator: str) -> None:
    command = next(each for each in bridge.registered_commands if each.name == broker)
    assert command.callback is not None
    told = f"{bridge.info.help}\n{inspect.getdoc(command.callback)}"
    checked = 0
    for line in told.splitlines():
        words = shlex.split(line) if line.strip().startswith(f"streamlstm bridge {broker}") else []
        said = dict(zip(words[3::2], words[4::2], strict=True))
        if "--in" in said:
            options = {name: said.get(f"--{name}", "") for name in ("stream", "out")}
            check_topics(Settings(broker, topics=(said["--in"],), **options), separator)
            checked += 1
    assert checked


def test_what_ends_the_thread_of_the_client_ends_the_bridge() -> None:
    mqtt = pytest.importorskip("streamlstm.bridges.mqtt", reason="needs paho-mqtt")
    client = mqtt.Mqtt(Settings("mqtt", topics=("a",), url="mqtt://a..b"), ())
    turns = iter(range(500))
    bridge = SimpleNamespace(
        stopping=SimpleNamespace(is_set=lambda: next(turns, None) is None), take=lambda _: None
    )
    try:
        with pytest.raises(
            StreamLSTMError, match=r"mqtt: a\.\.b:1883: the client has failed: Unicode"
        ):
            client.run(bridge)
    finally:
        client.close()
