"""Any bytes are a message or a ProtocolError, never anything else."""

import contextlib

import msgpack
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamlstm import wire
from streamlstm.errors import ProtocolError

from .test_wire import REPLIES, REQUESTS

ids = st.integers(0, 2**64 - 1) | st.text(min_size=1, max_size=40).filter(
    lambda text: text[0] != "\0"
)
uints = st.integers(0, 2**64 - 1)
vectors = st.lists(st.floats(width=32), max_size=5).map(wire.to_floats)


@st.composite
def steps(draw: st.DrawFn) -> wire.Steps:
    streams = draw(st.lists(ids, min_size=1, max_size=5))
    features = draw(st.integers(0, 3))
    numbers = st.lists(uints, min_size=len(streams), max_size=len(streams))
    size = 4 * features * len(streams)
    times = st.none() | st.floats(allow_nan=False, allow_infinity=False)
    return wire.Steps(
        streams,
        draw(st.none() | numbers),
        draw(st.binary(min_size=size, max_size=size)),
        draw(st.none() | st.lists(times, min_size=len(streams), max_size=len(streams))),
    )


requests = st.one_of(
    st.builds(
        wire.Step, ids, uints, vectors, st.none() | st.floats(allow_nan=False, allow_infinity=False)
    ),
    steps(),
    st.builds(wire.Reset, ids),
    st.builds(wire.Export, ids),
    st.builds(wire.Import, ids, st.binary(max_size=50)),
    st.just(wire.Info()),
    st.builds(wire.Ping, uints | st.binary(max_size=255)),
    st.builds(wire.Claim, st.lists(ids, min_size=1, max_size=5), st.none() | uints),
)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


def check(frame: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_reply):
        refusal: ProtocolError | None = None
        try:
            message = decode(frame)
        except ProtocolError as error:
            refusal = error
        if refusal is not None:
            assert refusal.code in wire.CODES
            assert str(refusal)
            # what is known of the message can be reported to its sender
            wire.encode(wire.Error(refusal.stream, refusal.seq, refusal.code, str(refusal)))
        elif decode is wire.decode_request:
            assert wire.decode_request(wire.encode(message)) == message


@given(requests)
def test_every_encoded_message_is_decoded(message: wire.Request) -> None:
    back = wire.decode_request(wire.encode(message))
    assert type(back) is type(message)
    assert back == message


@settings(max_examples=250)
@given(st.binary(max_size=200))
@example(b"\xc7\x0c\xff" + b"\xff" * 12)  # a time stamp out of range
@example(b"\xdc\xff\xff" * 1000)
@example((b"\xdd\x00\x01\x00\x00") * 1000)
def test_random_bytes(frame: bytes) -> None:
    check(frame)


@settings(max_examples=250)
@given(st.sampled_from([*wire.Kind]), st.lists(anything, max_size=5))
def test_right_kinds_with_any_elements(kind: int, elements: list[object]) -> None:
    with contextlib.suppress(ValueError):  # what msgpack itself cannot write, it cannot send
        check(msgpack.packb([int(kind), *elements], unicode_errors="surrogatepass"))


@settings(max_examples=250)
@given(st.sampled_from([*REQUESTS, *REPLIES]), st.data())
def test_mutated_messages(message: wire.Request | wire.Reply, data: st.DataObject) -> None:
    frame = bytearray(wire.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(frame) - 1))
        frame[position] = data.draw(st.integers(0, 255))
    check(bytes(frame))


@given(st.sampled_from([*REQUESTS, *REPLIES]), st.data())
def test_truncated_and_prolonged_messages(
    message: wire.Request | wire.Reply, data: st.DataObject
) -> None:
    frame = wire.encode(message)
    check(frame[: data.draw(st.integers(0, len(frame)))])
    check(frame + data.draw(st.binary(min_size=1, max_size=10)))
