"""Errors as problem JSON (RFC 9457): a status, the code of the protocol, and its sentence."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from ...client.descriptors import NoDescriptorError
from ...errors import EndpointError, RemoteError, StreamLSTMError, WorkerTimeoutError
from ..listening import LINES

_LOG = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS = {
    "bad-frame": 400,
    "bad-shape": 422,
    "bad-value": 422,
    "bad-model": 409,
    "busy": 503,
    "capacity": 507,
    "duplicate": 409,
    "error": 502,
    "fenced": 409,
    "forbidden": 403,
    "gap": 409,
    "label": 409,
    "model-mismatch": 409,
    "moved": 503,
    "precision": 422,
    "too-large": 413,
    "unknown-kind": 501,
    "unknown-stream": 404,
    "not-found": 404,
    "method": 405,
    "media-type": 415,
    "no-worker": 503,
    "timeout": 504,
}
_RETRY = 1.0  # seconds after which a client may try again, if nothing else is known


class BadRequestError(StreamLSTMError):
    """A request that is refused here.

    Parameters
    ----------
    code : str
        Of ``STATUS``.
    sentence : str
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


def answer(_: Request, error: Exception) -> JSONResponse:
    """Return the response to a request that failed."""
    code = _code_of(error)
    if isinstance(error, NoDescriptorError) or (code == "busy" and isinstance(error, OSError)):
        LINES.warn(_LOG, f"no answer: {_sentence(error)}")
    status = STATUS.get(code, 400)
    body: dict[str, Any] = {
        "type": f"urn:streamlstm:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": _sentence(error).encode("utf-8", "backslashreplace").decode(),
    }
    headers = {}
    if isinstance(error, RemoteError) and error.last_seq is not None:
        body["last"] = error.last_seq
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        wait = error.retry_after if isinstance(error, RemoteError) else None
        headers["retry-after"] = str(math.ceil(wait or _RETRY))
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def _code_of(error: Exception) -> str:
    if isinstance(error, WorkerTimeoutError):
        return "timeout" if error.in_doubt else "no-worker"
    if isinstance(error, EndpointError):
        return "no-worker"
    if isinstance(error, StreamLSTMError):
        return error.code
    return "busy" if isinstance(error, OSError) else "error"


def _sentence(error: Exception) -> str:
    if isinstance(error, WorkerTimeoutError) and error.in_doubt:
        return (
            f"{error}; it is not known whether it was applied: with a number (seq) the same can be "
            "sent again, and is applied once"
        )
    return str(getattr(error, "strerror", None) or error)
