"""The description of the gateway's requests, OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import __version__
from .problems import MEDIA_TYPE

_NUMBER = {"type": ["number", "null"]}
_NUMBERS = {"type": "array", "items": _NUMBER}
_STREAM = {
    "name": "stream",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The stream's id; it starts with its first observation.",
}
_ID = {
    "name": "id",
    "in": "query",
    "schema": {"type": "string", "enum": ["text", "integer"], "default": "text"},
    "description": "What kind of id it is: the text 7 and the integer 7 are two streams.",
}


def describe(inputs: Sequence[str]) -> dict[str, Any]:
    """Return the description for a model with these inputs."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamlstm",
            "version": __version__,
            "description": "Observations in, predictions out. What is sent again with the same "
            "seq is applied once.",
        },
        "paths": _paths(inputs),
        "components": {"schemas": _schemas(inputs)},
    }


def _paths(inputs: Sequence[str]) -> dict[str, Any]:
    example = {"x": [0.3] * len(inputs), "seq": 1}
    body = {
        "required": True,
        "content": {
            kind: {"schema": {"$ref": "#/components/schemas/Body"}, "example": example}
            for kind in ("application/json", "application/msgpack")
        },
    }
    alarms = _flag("alarms", "Only predictions with an alarm.")
    values = _flag("values", "With the observation, x and time.")
    prefix = {"name": "prefix", "in": "query", "schema": {"type": "string"}}
    listen = "As server-sent events, or over a WebSocket at the same path."
    return {
        "/streams/{stream}/observations": {
            "parameters": [_STREAM, _ID],
            "post": _operation(
                "Apply one or many observations", "Answer", requestBody=body, tags=["observations"]
            ),
        },
        "/streams/{stream}": {
            "parameters": [_STREAM, _ID],
            "get": _operation("The stream's last number and prediction", "Stream"),
            "delete": {
                "summary": "Delete the stream",
                "responses": {"204": {"description": "It is deleted."}, "default": _problem()},
            },
        },
        "/streams/{stream}/predictions": {
            "parameters": [_STREAM, _ID, alarms, values],
            "get": _listening("Listen to a stream", listen),
        },
        "/predictions": {
            "parameters": [prefix, alarms, values],
            "get": _listening("Listen to all streams", listen),
        },
        "/streams": {
            "parameters": [prefix],
            "get": _operation("List streams, at most a thousand", "Streams"),
        },
        "/info": {"get": _operation("The model", "Info")},
    }


def _flag(name: str, said: str) -> dict[str, Any]:
    schema = {"type": "boolean", "default": False}
    return {"name": name, "in": "query", "schema": schema, "description": said}


def _operation(summary: str, answer: str, **more: Any) -> dict[str, Any]:
    schema = {"schema": {"$ref": f"#/components/schemas/{answer}"}}
    answers = {"200": {"description": answer, "content": {"application/json": schema}}}
    return {"summary": summary, "responses": answers | {"default": _problem()}, **more}


def _listening(summary: str, said: str) -> dict[str, Any]:
    event = {"text/event-stream": {"schema": {"type": "string"}}}
    answers = {"200": {"description": "Events", "content": event}, "default": _problem()}
    return {"summary": summary, "description": said, "responses": answers}


def _problem() -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": "Why it was refused", "content": {MEDIA_TYPE: schema}}


def _schemas(inputs: Sequence[str]) -> dict[str, Any]:
    by_name = {"type": "object", "properties": dict.fromkeys(inputs, _NUMBER)}
    row = {**_NUMBERS, "minItems": len(inputs), "maxItems": len(inputs)}
    seq = {"type": "integer", "minimum": 1}
    stream = {"type": ["string", "integer"]}
    observation = {
        "type": "object",
        "required": ["x"],
        "properties": {
            "x": {
                "oneOf": [row, by_name],
                "description": f"{', '.join(inputs)}; null for a missing value.",
            },
            "seq": {**seq, "description": "Rising by one from 1 in each stream, or left out."},
            "time": {"type": "number", "description": "Event time, seconds since 1970."},
        },
    }
    prediction = {
        "type": "object",
        "properties": {
            "seq": seq,
            "prediction": _NUMBERS,
            "low": _NUMBERS,
            "high": _NUMBERS,
            "residual": _NUMBERS,
            "score": {"type": "number"},
            "p_value": {"type": "number"},
            "alarm": {"type": "boolean"},
            "kind": {"type": "string"},
            "filled": {"type": "integer"},
            "duplicate": {
                "type": "boolean",
                "description": "True where it was applied before; the prediction is that of then, "
                "if it is the last of its stream.",
            },
        },
    }
    said = {"$ref": "#/components/schemas/Prediction"}
    many = {"type": "array", "items": {"$ref": "#/components/schemas/Observation"}}
    return {
        "Observation": observation,
        "Body": {
            "oneOf": [
                {"$ref": "#/components/schemas/Observation"},
                {"type": "object", "properties": {"observations": many}},
                many,
            ]
        },
        "Prediction": prediction,
        "Answer": {
            "allOf": [said],
            "properties": {"stream": stream, "predictions": {"type": "array", "items": said}},
        },
        "Stream": {
            "type": "object",
            "properties": {"stream": stream, "seq": {"type": "integer"}, "last": said},
        },
        "Streams": {
            "type": "object",
            "properties": {
                "streams": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"stream": stream, "seq": seq}},
                },
                "more": {"type": "boolean"},
            },
        },
        "Info": {
            "type": "object",
            "properties": {"model": {"type": "object"}, "streams": {"type": "integer"}},
        },
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "last": {"type": "integer"},
            },
        },
    }
