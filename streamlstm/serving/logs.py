"""The log of a process that runs until it is stopped: on stderr, with the time in every line.

All of it goes through the loggers below ``streamlstm``. A fleet's processes log JSON, which the
supervisor reads and logs again as its own log is written, with the name of the process.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from types import TracebackType
from typing import Any

from ..errors import BadValueError

FORMATS = ("text", "json")
_LOG = logging.getLogger("streamlstm")


class TextFormatter(logging.Formatter):
    """A line for people: time, level, which process of a fleet, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(where)s%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Format a record, whose traceback takes further lines."""
        process = getattr(record, "process_name", "")
        record.where = f"{process}: " if process else ""
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """An object a line: time (RFC 3339), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record; its traceback is ``exception``, ``fields`` are members of the object."""
        time = datetime.fromtimestamp(record.created).astimezone()
        said: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if process := getattr(record, "process_name", ""):
            said["process"] = process
        said |= getattr(record, "fields", {})
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            said["exception"] = record.exc_text
        return json.dumps(said, ensure_ascii=False, default=str)


def log_to_stderr(form: str = "text") -> None:
    """Write what this process logs to stderr, from INFO on, and what Python warns of.

    Parameters
    ----------
    form : {"text", "json"}

    Raises
    ------
    BadValueError
        If there is no such format.
    """
    if form not in FORMATS:
        raise BadValueError(f"--log-format: expected {' or '.join(FORMATS)}, got {form!r}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    logging.captureWarnings(True)
    if form == "json":
        sys.excepthook = _log_exception


def logs_json() -> bool:
    """Tell whether stderr is for JSON alone."""
    return any(isinstance(each.formatter, JsonFormatter) for each in logging.root.handlers)


def log_end(sentence: str) -> None:
    """Log why this process ends."""
    _LOG.critical("%s", sentence)


def _log_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    _LOG.critical("ended by an error that nobody expected", exc_info=(kind, error, trace))


def message_of(line: str) -> str:
    """Return the message of a line that a process logged as JSON, or any other line as it is.

    That of a part of the process, such as the worker of a fleet, begins with its name.
    """
    try:
        said = json.loads(line)
        process = f"{said['process']}: " if "process" in said else ""
        return f"{process}{said['message']}"
    except (ValueError, KeyError, TypeError):
        return line


def log_again(process: str, line: str) -> None:
    """Log what another process wrote to its stderr: a record as JSON, or any other line.

    Parameters
    ----------
    process : str
        Its name.
    line : str
    """
    try:
        said = json.loads(line)
        fields = {
            "name": said.pop("logger"),
            "levelname": (level := said.pop("level")),
            "levelno": logging.getLevelNamesMapping()[level],
            "created": datetime.fromisoformat(said.pop("time")).timestamp(),
            "msg": said.pop("message"),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        fields = {"name": _LOG.name, "levelname": "INFO", "levelno": logging.INFO, "msg": line}
        said = {}
    fields |= {"exc_text": said.pop("exception", None), "process_name": process, "fields": said}
    record = logging.makeLogRecord(fields)
    record.msecs = (record.created % 1) * 1000
    logging.getLogger(record.name).handle(record)
