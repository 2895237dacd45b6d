"""docs/protocol.md and streamlstm.wire say the same, byte for byte."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import wire

DOCUMENT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
BLOCKS = re.findall(r"^```example\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
EXAMPLES = [
    (said.strip(), bytes.fromhex(frame))
    for block in BLOCKS
    for said, frame in zip(*[iter(block.splitlines())] * 2, strict=True)
]
MESSAGES = [(said, frame) for said, frame in EXAMPLES if said.startswith("[")]
MAKERS = {
    1: wire.Step,
    2: wire.Steps,
    3: wire.Reset,
    4: wire.Export,
    5: wire.Import,
    6: wire.Info,
    7: wire.Ping,
    8: wire.Barrier,
    9: wire.List,
    10: wire.Last,
    11: wire.Forget,
    13: wire.Reload,
    14: wire.Label,
    15: wire.Claim,
    16: wire.Table,
    129: wire.Prediction,
    130: wire.Predictions,
    131: wire.Done,
    255: wire.Error,
}


def read(notation: str) -> Any:
    """Read an example as people see it: JSON, with <hex> for a bin."""
    as_json = re.sub(r"<([0-9a-f ]*)>", lambda found: json.dumps({"bin": found[1]}), notation)
    return json.loads(as_json, object_hook=lambda m: bytes.fromhex(m["bin"]) if "bin" in m else m)


@pytest.mark.parametrize(("said", "frame"), MESSAGES)
def test_an_example_is_decoded_and_encoded_by_wire(said: str, frame: bytes) -> None:
    kind, *elements = read(said)
    decode = wire.decode_request if kind < 128 else wire.decode_reply
    message = decode(frame)
    assert type(message) is MAKERS[kind]
    has_numbers = kind in (1, 2, 129, 130) and isinstance(elements[2], list)
    if has_numbers:  # in full precision, nil becomes NaN
        elements[2] = wire.Doubles.of(np.array(elements[2], dtype=float))
    if kind == wire.Kind.ERROR and elements[2] == "moved":
        elements[5:] = [None, None, wire.Owner(*elements[5:])]
    assert message == MAKERS[kind](*elements)
    again = wire.encode(message)
    assert again == frame or (has_numbers and decode(again) == message)  # integers become floats


def test_every_kind_has_an_example() -> None:
    assert {read(said)[0] for said, _ in MESSAGES} == set(wire.Kind) == set(MAKERS)


def test_topics_are_as_described() -> None:
    topics = [(said, frame) for said, frame in EXAMPLES if said.startswith("topic of ")]
    assert len(topics) == 2
    for said, frame in topics:
        assert wire.topic(json.loads(said.removeprefix("topic of "))) == frame
    alarms = [(said, frame) for said, frame in EXAMPLES if said.startswith("alarm topic of ")]
    assert len(alarms) == 2
    for said, frame in alarms:
        assert wire.alarm_topic(json.loads(said.removeprefix("alarm topic of "))) == frame


def test_every_code_is_in_the_table() -> None:
    section = DOCUMENT.split("## Errors")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)) == set(wire.CODES)


@pytest.mark.parametrize(
    "limit",
    [
        wire.MAX_MESSAGE_BYTES,
        wire.MAX_STREAMS,
        wire.MAX_ID_BYTES,
        wire.MAX_ENVELOPE,
        wire.MAX_NONCE_BYTES,
        wire.MAX_LISTED,
    ],
)
def test_the_limits_are_those_of_the_code(limit: int) -> None:
    section = DOCUMENT.split("## Limits")[1].split("## ")[0]
    assert f"{limit:,}" in section


def test_the_default_endpoints_are_those_of_the_code() -> None:
    assert all(f"`{endpoint}`" in DOCUMENT for endpoint in (wire.ROUTER, wire.PULL, wire.XPUB))
