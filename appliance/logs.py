"""Logging: one line per fact, its parts named, for people (console) or for machines (json)."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Literal

_FIELDS = "holdfast_fields"


class Facts:
    """A logger whose lines are a constant sentence and named values. Secrets are never handed to it."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, fact: str, /, **fields: object) -> None:
        """Log what only a developer wants to know."""
        self._logger.debug(fact, extra={_FIELDS: fields})

    def info(self, fact: str, /, **fields: object) -> None:
        """Log what happened as it should."""
        self._logger.info(fact, extra={_FIELDS: fields})

    def warning(self, fact: str, /, **fields: object) -> None:
        """Log what should not be, and is being mended."""
        self._logger.warning(fact, extra={_FIELDS: fields})

    def error(self, fact: str, /, **fields: object) -> None:
        """Log what somebody has to look at."""
        self._logger.error(fact, extra={_FIELDS: fields})

    def exception(self, fact: str, /, **fields: object) -> None:
        """Log a defect with the traceback of the exception being handled."""
        self._logger.exception(fact, extra={_FIELDS: fields})


def facts(name: str) -> Facts:
    """Return the logger of a module."""
    return Facts(logging.getLogger(name))


def configure(form: Literal["console", "json"], level: str) -> None:
    """Send the log of this process to standard error in the given form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; values that JSON does not know are written as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        entry: dict[str, object] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "fact": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class ConsoleFormatter(logging.Formatter):
    """Time, level, sentence and values; control characters in values are escaped, so a line stays a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end (and the traceback below it, if there is one)."""
        fields = getattr(record, _FIELDS, {})
        values = "".join(f" {key}={_console_value(value)}" for key, value in fields.items())
        line = f"{_timestamp(record.created)} {record.levelname:<7} {record.getMessage()}{values}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _timestamp(seconds: float) -> str:
    milliseconds = int(seconds * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{milliseconds:03}Z"


def _console_value(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and text and " " not in text else json.dumps(text)
