"""Paths as shares have them: absolute, in one form, and text."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator

_MAX_DEPTH = 8
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_MAX_PATH = 4095  # PATH_MAX without its NUL


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("must be text; a name that is not UTF-8 cannot be written in JSON") from None
    if "\0" in value or size > _MAX_PATH:
        raise ValueError(f"must have no NUL and at most {_MAX_PATH} bytes")
    normal = "/" + posixpath.normpath(value).lstrip("/")
    if value != normal:
        raise ValueError(f"must be written without '.', '..' and superfluous slashes: {normal}")
    return value


def _below_the_root(value: str) -> str:
    parts = _absolute(value).removeprefix("/").split("/")
    if len(parts) > _MAX_DEPTH or not all(map(_PART.match, parts)):
        raise ValueError(
            f"must be at most {_MAX_DEPTH} names of letters, digits, '.', '_' and '-' behind slashes, "
            "each beginning with a letter or a digit"
        )
    return value


PlainPath = Annotated[str, AfterValidator(_absolute)]
"""An absolute path in its one form."""

NfsPath = Annotated[str, AfterValidator(_below_the_root)]
"""Where clients find a share, in words that need no escaping anywhere."""


def overlap(one: str, other: str) -> bool:
    """Whether one of two normalised absolute paths is the other or contains it."""
    return posixpath.commonpath((one, other)) in (one, other)
