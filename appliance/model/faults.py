"""pydantic's findings as the one error that people are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.errors import RequestError


def fault(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> RequestError:
    """Turn pydantic's list of errors into one that names the first field, `skip` parts of its place left out."""
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"][skip:]) or None
    message = str(first["msg"]).removeprefix("Value error, ")
    return RequestError(f"{field}: {message}" if field else message, field=field)
