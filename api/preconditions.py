"""If-Match and ETag: a change is made to what the caller has read, or not at all (RFC 9110, 13.1.1)."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Depends, Header, Request

from api.problems import ApiError, Problem

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"\Z')
ETAG = {"ETag": {"description": "The revision, for If-Match.", "schema": {"type": "string"}}}


def etag(revision: str) -> str:
    """Return a revision as an entity tag."""
    return f'"{revision}"'


def _match(
    request: Request,
    if_match: Annotated[
        str | None,
        Header(
            description="Change it only if this is still its ETag, or one of these. `*`: whatever it is.",
            max_length=1024,
            examples=['"9f86d081884c7d65"'],
        ),
    ] = None,
) -> tuple[str, ...] | None:
    if if_match is None:
        if request.app.state.require_match:
            raise _required()
        return None
    return _revisions(if_match)


def _match_required(if_match: Annotated[tuple[str, ...] | None, Depends(_match)]) -> tuple[str, ...]:
    if if_match is None:
        raise _required()
    return if_match


Match = Annotated[tuple[str, ...] | None, Depends(_match)]
"""The revisions that the caller goes by; None if he did not say."""

MatchRequired = Annotated[tuple[str, ...], Depends(_match_required)]
"""The same where nothing is changed without them."""


def _revisions(header: str) -> tuple[str, ...]:
    if header.strip() == "*":
        return ("*",)
    found = [_TAG.match(word.strip()) for word in header.split(",")]
    # A weak tag matches nothing here, so that it is no revision at all.
    return tuple(tag[2] for tag in found if tag and not tag[1])


def _required() -> ApiError:
    return ApiError(
        Problem(
            code="match-required",
            message="the change does not say which revision it is made to",
            field=None,
            hint="send the ETag that you have read as If-Match, or `*` to change whatever is there",
        )
    )
