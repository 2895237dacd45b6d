"""Reads observations from bodies, JSON or msgpack, and writes answers in what was asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ... import wire
from ...errors import shown
from .problems import BadRequestError

MOST = 1_000  # observations in a request
JSON, MSGPACK = "application/json", "application/msgpack"
_MSGPACK = (MSGPACK, "application/x-msgpack", "application/vnd.msgpack")
_KEYS = {"x", "seq", "time"}


class Observation(NamedTuple):
    """One observation of a body: x[F], NaN for a missing value."""

    x: list[float]
    seq: int
    time: float | None


async def read(request: Request, limit: int) -> Any:
    """Return the value in the body of a request.

    Raises
    ------
    BadRequestError
        If it is too large, of another type, or not well-formed.
    """
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind not in (JSON, *_MSGPACK):
        raise BadRequestError("media-type", f"expected {JSON} or {MSGPACK}, got {kind}")
    if (packed := request.headers.get("content-encoding", "identity")) != "identity":
        raise BadRequestError("media-type", f"expected a body that is not compressed, got {packed}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise BadRequestError(
                "too-large", f"expected a body of at most {limit} bytes; send it in parts"
            )
    if kind != JSON:
        return wire.unpack_plain(bytes(body))
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("bad-frame", f"expected a body of JSON ({error})") from None


def observations(said: Any, inputs: Sequence[str]) -> list[Observation] | Observation:
    """Return what a body has: one observation, or several.

    Raises
    ------
    BadRequestError
        That names the element at fault.
    """
    many = said.get("observations") if isinstance(said, dict) and "x" not in said else None
    if isinstance(said, list):
        many = said
    if many is None:
        return _one(said, "", inputs)
    if not isinstance(many, list) or not 0 < len(many) <= MOST:
        code = "too-large" if isinstance(many, list) and many else "bad-frame"
        raise BadRequestError(code, f"observations: expected a list of 1 to {MOST:,}")
    found = [_one(each, f"observations[{n}].", inputs) for n, each in enumerate(many)]
    if len({each.seq == 0 for each in found}) > 1:
        raise BadRequestError("bad-frame", "seq: expected a number in each observation, or in none")
    for n, (before, each) in enumerate(pairwise(found), 1):
        if each.seq and each.seq <= before.seq:
            raise BadRequestError(
                "bad-frame",
                f"observations[{n}].seq: expected a number above {before.seq}, that of the "
                f"observation before it, got {each.seq}",
            )
    return found


def _one(said: Any, where: str, inputs: Sequence[str]) -> Observation:
    if not isinstance(said, dict) or "x" not in said or said.keys() - _KEYS:
        wanted = '{"x": [0.3]}, perhaps with "seq" and "time"'
        at = where.removesuffix(".") or "body"
        raise BadRequestError("bad-frame", f"{at}: expected {wanted}")
    seq, time = said.get("seq", 0), said.get("time")
    if type(seq) is not int or not 0 <= seq < 2**64:
        raise BadRequestError(
            "bad-frame", f"{where}seq: expected an integer from 1, got {shown(seq)}"
        )
    if time is not None and not _is_number(time):
        raise BadRequestError("bad-frame", f"{where}time: expected seconds, got {shown(time)}")
    return Observation(_values(said["x"], f"{where}x", inputs), seq, time)


def _values(x: Any, where: str, inputs: Sequence[str]) -> list[float]:
    if isinstance(x, dict):
        x = _by_name(x, where, inputs)
    elif _is_number(x):
        x = [x]
    if not isinstance(x, list):
        raise BadRequestError(
            "bad-shape", f"{where}: expected numbers, or a map of names and numbers"
        )
    for n, value in enumerate(x):
        if value is not None and not _is_number(value):
            raise BadRequestError(
                "bad-value", f"{where}[{n}]: expected a number or null, got {shown(value)}"
            )
    if len(x) != len(inputs):
        names = ", ".join(inputs)
        raise BadRequestError(
            "bad-shape", f"{where}: expected {len(inputs)} values ({names}), got {len(x)}"
        )
    return x


def _by_name(x: Mapping[str, Any], where: str, inputs: Sequence[str]) -> list[Any]:
    wrong = [*(x.keys() - set(inputs)), *(name for name in inputs if name not in x)]
    if wrong:
        raise BadRequestError(
            "bad-shape",
            f"{where}: expected values of {', '.join(inputs)} by name, null for a missing one; "
            f"see {wrong[0]}",
        )
    return [x[name] for name in inputs]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def reply(request: Request, content: Any, status: int = 200) -> Response:
    """Return a response in JSON, or in msgpack if that is asked for."""
    accepted = request.headers.get("accept", "")
    if any(kind in accepted for kind in _MSGPACK):
        return Response(wire.pack_plain(content), status, media_type=MSGPACK)
    return JSONResponse(content, status)
