"""Messages round trip through bytes, and invalid bytes are refused with a reason."""

import math
import struct

import msgpack
import numpy as np
import pytest

from streamlstm import wire
from streamlstm.engine.ids import check_stream_id
from streamlstm.errors import ProtocolError, StreamIdError
from streamlstm.serving.native import layout

X = struct.pack("<2f", 21.5, 0.82)
NOT_TEXT = b"\xa2\xff\xfe"  # msgpack str of two bytes that are not UTF-8

REQUESTS = [
    wire.Step("pump-7", 42, X),
    wire.Step(2**64 - 1, 0, X, 1.5),
    wire.Step("größe", 2**64 - 1, b""),
    wire.Steps(["a", 7], None, X + X),
    wire.Steps(["a"], [1], X),
    wire.Steps(["a", 7], None, X + X, [1.5, None]),
    wire.Steps(["a"], [1], X, [None]),
    wire.Reset("a"),
    wire.Export(0),
    wire.Import("a", b"\0\1"),
    wire.Info(),
    wire.Ping(2**64 - 1),
    wire.Ping("text"),
    wire.Ping(b"bin"),
    wire.Barrier("token", 2**64 - 1),
    wire.List(None, None, 0),
    wire.List("", 7, 1000),
    wire.List("pump-", "pump-7", 5),
    wire.Last(["a", 7]),
    wire.Forget("a"),
    wire.Reload(False),
    wire.Reload(True),
    wire.Claim(["a", 7], None),
    wire.Claim(["a"], 0),
    wire.Claim([7], 2**64 - 1),
]
REPLIES = [
    wire.Prediction("a", 1, X),
    wire.Prediction("a", 1, X, {"low": 1.0}),
    wire.Predictions(["a", 7], [0, 1], X + X),
    wire.Done(wire.Kind.EXPORT, "a", b"state"),
    wire.Done(wire.Kind.INFO, None, {"a": [1, {"b": None}]}),
    wire.Error("a", 3, "gap", "expected 2"),
    wire.Error("a", 3, "gap", "expected 2", 1),
    wire.Error("a", 3, "duplicate", "again", 3, X),
    wire.Error("a", 3, "duplicate", "again", 3, X, {"low": 1.0}),
    wire.Error("a", 2, "duplicate", "again", 3),
    wire.Error("a", 3, "fenced", "another's", 2),
    wire.Done(wire.Kind.CLAIM, None, [[3, 2**64 - 1], [0, 0]]),
    wire.Error(None, None, "bad-frame", "no"),
    wire.Error("a", 3, "busy", "later", 20),
    wire.Error("a", 3, "busy", "later", 0),
]


def step(stream: object = "a", seq: object = 0, x: object = X, *more: object) -> bytes:
    return msgpack.packb([1, stream, seq, x, *more])


def refusal(frame: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_request(frame)
    assert caught.value.code in wire.CODES
    return caught.value


@pytest.mark.parametrize("message", REQUESTS, ids=repr)
def test_a_request_round_trips(message: wire.Request) -> None:
    back = wire.decode_request(wire.encode(message))
    assert type(back) is type(message)
    assert back == message


@pytest.mark.parametrize("message", REPLIES, ids=repr)
def test_a_reply_round_trips(message: wire.Reply) -> None:
    back = wire.decode_reply(wire.encode(message))
    assert type(back) is type(message)
    assert back == message


def test_numbers_written_by_hand_are_float32() -> None:
    message = wire.decode_request(step(x=[1, 2.5, None, -(2**63), 1e300]))
    assert isinstance(message, wire.Step)
    x = wire.from_floats(message.x)
    assert x[:2].tolist() == [1.0, 2.5]
    assert math.isnan(x[2])
    assert x[3] == -(2.0**63)
    assert math.isinf(x[4])


def test_rows_written_by_hand_may_be_arrays_or_bins() -> None:
    frame = msgpack.packb([2, ["a", "b"], None, [[21.5, 0.82], X]])
    assert wire.decode_request(frame) == wire.Steps(["a", "b"], None, X + X)


def test_integers_of_any_width_are_decoded() -> None:
    frame = b"\xdc\x00\x04" + b"\xd3" + (1).to_bytes(8, "big") + b"\xa1a" + b"\xcd\x00\x05\xc4\x00"
    assert wire.decode_request(frame) == wire.Step("a", 5, b"")


@pytest.mark.parametrize(
    ("frame", "code", "said"),
    [
        (b"", "bad-frame", "msgpack array"),
        (b"\xc1", "bad-frame", "msgpack array"),
        (b"\x91\x06\x00", "bad-frame", "msgpack array"),  # something after it
        (step()[:-1], "bad-frame", "msgpack array"),
        (b"\xdd\xff\xff\xff\xff", "bad-frame", "msgpack array"),
        (b"\x94\x01\xa1a\x00\xc6\xff\xff\xff\xff", "bad-frame", "msgpack array"),
        (b"\x91" * 5000, "bad-frame", "nested"),
        (b"\x80", "bad-frame", "map"),
        (b"\x90", "bad-frame", "begins with its kind"),
        (b"\x06", "bad-frame", "an integer"),
        (msgpack.packb(["1"]), "bad-frame", "text"),
        (msgpack.packb([True, "a", 0, X]), "bad-frame", "boolean"),
        (msgpack.packb([None]), "bad-frame", "nil"),
        (msgpack.packb([0]), "unknown-kind", "0"),
        (msgpack.packb([12]), "unknown-kind", "12"),
        (msgpack.packb([129, "a", 0, X]), "unknown-kind", "129"),
        (msgpack.packb([-1]), "unknown-kind", "-1"),
        (msgpack.packb([1, "a", 0]), "bad-frame", "4 or 5 elements, got 3"),
        (msgpack.packb([1, "a", 0, X, 1.0, 2]), "bad-frame", "got 6"),
        (msgpack.packb([6, 1]), "bad-frame", "1 elements, got 2"),
        (step(""), "bad-frame", "text of 0 bytes"),
        (step("a" * 256), "bad-frame", "text of 256 bytes"),
        (step("ä" * 128), "bad-frame", "text of 256 bytes"),
        (step("\0a"), "bad-frame", "NUL"),
        (step(b"a"), "bad-frame", "a bin of 1 bytes"),
        (step(1.0), "bad-frame", "a float"),
        (step(True), "bad-frame", "boolean"),
        (step(-1), "bad-frame", "negative"),
        (step(None), "bad-frame", "nil"),
        (step(msgpack.ExtType(5, b"x")), "bad-frame", "extension"),
        (step(msgpack.Timestamp(1)), "bad-frame", "extension"),
        (b"\x94\x01" + NOT_TEXT + b"\x00\xc4\x00", "bad-frame", "UTF-8"),
        (step(seq=-1), "bad-frame", "seq"),
        (step(seq=1.0), "bad-frame", "seq"),
        (step(seq=None), "bad-frame", "seq"),
        (step(seq=False), "bad-frame", "seq"),
        (step(x=X[:-1]), "bad-shape", "a bin of 7 bytes"),
        (step(x="text"), "bad-frame", "x: "),
        (step(x=1.5), "bad-frame", "x: "),
        (step(x=[1.0, "2"]), "bad-frame", "x[1]"),
        (step("a", 0, [1.0, True]), "bad-frame", "x[1]"),
        (step("a", 0, [[1.0]]), "bad-frame", "x[0]"),
        (step("a", 0, X, None), "bad-frame", "time"),
        (step("a", 0, X, "now"), "bad-frame", "time"),
        (step("a", 0, X, True), "bad-frame", "time"),
        (step("a", 0, X, math.nan), "bad-value", "time"),
        (msgpack.packb([2, "a", None, X]), "bad-frame", "streams"),
        (msgpack.packb([2, [], None, b""]), "bad-frame", "at least one"),
        (msgpack.packb([2, ["a", -1], None, X]), "bad-frame", "streams[1]"),
        (msgpack.packb([2, ["a"], [1, 2], X]), "bad-frame", "seqs"),
        (msgpack.packb([2, ["a", "b"], [1, None], X]), "bad-frame", "seqs[1]"),
        (msgpack.packb([2, ["a", "b", "c"], None, X]), "bad-shape", "3 equal rows"),
        (msgpack.packb([2, ["a"], None, None]), "bad-frame", "X"),
        (msgpack.packb([2, ["a", "b"], None, [[1.0]]]), "bad-shape", "one row for each"),
        (msgpack.packb([2, ["a", "b"], None, [[1.0], [1.0, 2.0]]]), "bad-shape", "X[1]"),
        (msgpack.packb([2, ["a", "b"], None, [[1.0], ["x"]]]), "bad-frame", "X[1][0]"),
        (msgpack.packb([5, "a", "text"]), "bad-frame", "blob"),
        (msgpack.packb([7, -1]), "bad-frame", "nonce"),
        (msgpack.packb([7, "a" * 256]), "bad-frame", "nonce"),
        (msgpack.packb([7, None]), "bad-frame", "nonce"),
        (b"\x92\x07" + NOT_TEXT, "bad-frame", "nonce"),
    ],
)
def test_an_invalid_message_is_refused_with_a_reason(frame: bytes, code: str, said: str) -> None:
    error = refusal(frame)
    assert error.code == code
    assert said in str(error)


def test_a_large_message_is_refused_before_it_is_decoded() -> None:
    error = refusal(b"\xc1" * (wire.MAX_MESSAGE_BYTES + 1))
    assert error.code == "too-large"
    assert str(wire.MAX_MESSAGE_BYTES) in str(error)
    with pytest.raises(ProtocolError, match="at most 10 bytes"):
        wire.decode_request(step(), limit=10)


def test_too_many_streams_are_refused() -> None:
    many = list(range(wire.MAX_STREAMS))
    frame = msgpack.packb([2, many, None, b"\0\0\0\0" * len(many)])
    assert isinstance(wire.decode_request(frame), wire.Steps)
    frame = msgpack.packb([2, [*many, 1], None, b"\0\0\0\0" * (len(many) + 1)])
    assert refusal(frame).code == "too-large"
    with pytest.raises(ProtocolError, match="at most 16384 stream ids"):
        wire.encode(wire.Steps([*many, 1], None, b"\0\0\0\0" * (len(many) + 1)))


@pytest.mark.parametrize(
    ("frame", "stream", "seq"),
    [
        (step("pump", 7, "bad"), "pump", 7),
        (step("pump", -7), "pump", None),
        (step(True, 7), None, 7),
        (msgpack.packb([1, "pump"]), "pump", None),
        (msgpack.packb([5, "pump", 1]), "pump", None),
        (msgpack.packb([2, ["pump"], None, 1]), None, None),
        (msgpack.packb([99, "pump", 7]), None, None),
    ],
)
def test_a_refusal_carries_the_stream_and_the_number(
    frame: bytes, stream: str | None, seq: int | None
) -> None:
    error = refusal(frame)
    assert (error.stream, error.seq) == (stream, seq)


def test_a_refusal_shows_nothing_of_the_content() -> None:
    assert "secret" not in str(refusal(step("a", 0, ["secret"])))
    assert "31337" not in str(refusal(step("a", -31337)))


IDS = ["", "a", "a" * 255, "a" * 256, "ä" * 127, "ä" * 128, "\0", "\ud800", b"a", None]


@pytest.mark.parametrize("stream", [*IDS, 0, -1, True, 2**64 - 1, 2**64, 1.0])
def test_wire_and_engine_agree_on_what_an_id_is(stream: object) -> None:
    try:
        good = check_stream_id(stream) == stream
    except StreamIdError:
        good = False
    if good:
        assert wire.decode_request(wire.encode(wire.Reset(stream))) == wire.Reset(stream)
    else:
        with pytest.raises(ProtocolError):
            wire.encode(wire.Reset(stream))


@pytest.mark.parametrize(
    "message",
    [
        wire.Step("a", -1, X),
        wire.Step("a", 0, X[:-1]),
        wire.Step("a", 0, X, math.inf),
        wire.Steps([], None, b""),
        wire.Steps(["a"], [1, 2], X),
        wire.Steps(["a", "b", "c"], None, X),
        wire.Steps(["a", "b"], None, X + X, [1.0]),
        wire.Steps(["a"], None, X, [math.nan]),
        wire.Import("a", "text"),
        wire.Ping(-1),
        wire.Ping("\ud800"),
    ],
    ids=repr,
)
def test_invalid_requests_are_not_encoded(message: wire.Request) -> None:
    with pytest.raises(ProtocolError):
        wire.encode(message)


@pytest.mark.parametrize(
    ("times", "code", "said"),
    [
        (None, "bad-frame", "times: expected an array of 2 .* got nil"),
        ([1.0], "bad-frame", "times: expected an array of 2 .* got an array of 1"),
        (1.0, "bad-frame", "times: expected an array of 2 .* got a float"),
        (
            [1.0, True],
            "bad-frame",
            r"times\[1\]: expected a number of seconds or nil, got a boolean",
        ),
        ([1.0, "2"], "bad-frame", r"times\[1\]: .*got text"),
        ([math.inf, 1.0], "bad-value", r"times\[0\]: expected a finite number of seconds"),
    ],
)
def test_a_steps_with_other_times_says_which_is_wrong(times: object, code: str, said: str) -> None:
    frame = msgpack.packb([2, ["a", "b"], None, X + X, times])
    with pytest.raises(ProtocolError, match=f"STEPS: {said}") as caught:
        wire.decode_request(frame)
    assert caught.value.code == code


def test_predictions_are_encoded_equally_one_by_one_and_in_a_batch() -> None:
    Y = np.arange(6, dtype=np.float32).reshape(3, 2)
    streams, seqs = ["a", 7, "ü"], [0, 1, 2**64 - 1]
    one_by_one = [
        wire.encode(wire.Prediction(stream, seq, y.tobytes()))
        for stream, seq, y in zip(streams, seqs, Y, strict=True)
    ]
    assert wire.encode_predictions(streams, seqs, Y) == one_by_one


def test_values_are_copies() -> None:
    prediction = wire.Prediction("a", 0, X)
    assert prediction.values.tolist() == np.frombuffer(X, "<f4").tolist()
    prediction.values[0] = 0.0
    assert wire.Predictions(["a", "b"], None, X).values.shape == (2, 1)


def test_replies_may_have_more_elements_at_the_end() -> None:
    more = msgpack.packb([129, "a", 1, X, None, X, 2.5, 5])
    assert wire.decode_reply(more) == wire.Prediction("a", 1, X, None, X, 2.5)
    assert wire.decode_reply(msgpack.packb([255, None, None, "gap", "no", 5])).code == "gap"
    assert wire.decode_reply(msgpack.packb([131, 3, "a", None, 5])) == wire.Done(3, "a")


def test_wait_is_set_with_busy_only() -> None:
    def read(*elements: object) -> int | None:
        reply = wire.decode_reply(msgpack.packb([255, None, None, *elements]))
        assert isinstance(reply, wire.Error)
        return reply.wait

    assert read("busy", "later") is None
    assert read("busy", "later", None) is None
    assert read("busy", "later", 30) == 30
    assert read("busy", "later", 30, "and more") == 30
    assert read("gap", "no", 30) is None
    assert read("new-code", "no", "anything") is None
    for wait in (-1, 1.5, True, "30"):
        with pytest.raises(ProtocolError, match="wait: expected an unsigned integer"):
            read("busy", "later", wait)
    with pytest.raises(ProtocolError, match="wait"):
        wire.encode(wire.Error(None, None, "busy", "later", -1))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        step(),
        msgpack.packb([129, "a", 1]),
        msgpack.packb([129, "a", 1, X, 5]),
        msgpack.packb([131, "3", None, None]),
        msgpack.packb([255, None, None, 1, "no"]),
        msgpack.packb([True]),
    ],
)
def test_invalid_replies_are_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_reply(frame)


def test_any_message_of_an_error_can_be_encoded() -> None:
    error = wire.decode_reply(wire.encode(wire.Error("a", 0, "bad-frame", "\ud800" + "x" * 5000)))
    assert len(error.message) == wire.MAX_TEXT


def test_topics_of_text_and_integers_are_distinct() -> None:
    assert wire.topic("pümp") == "pümp".encode()
    assert wire.topic(258) == b"\0\0\0\0\0\0\0\1\2"
    assert wire.topic(2**64 - 1) == b"\0" + b"\xff" * 8


def test_the_envelope_of_a_producer() -> None:
    frame = wire.envelope_of(0x4D, (1).to_bytes(8, "big"))
    assert frame == bytes.fromhex("50524401 4d00000000000000 0000000000000001")
    assert wire.producer_of(frame) == wire.producer_of(frame[:12]) == 0x4D
    assert wire.producer_of(wire.envelope_of(2**64 - 1)) == 2**64 - 1
    for other in (b"", frame[:11], b"PRE" + frame[3:], frame[1:]):
        assert wire.producer_of(other) == 0
    assert int.from_bytes(wire.PRODUCER_MAGIC, "little") == layout.PRODUCER_MAGIC
    assert len(wire.envelope_of(1)) == layout.PRODUCER_FRAME
