"""Who is asking: a token's owner, or a process on this machine by its uid."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from api.failures import Failures
from api.peer import peer_of
from api.problems import ApiError, Problem
from appliance.control.access import Authenticate, PrincipalReply
from appliance.state.tokens import PREFIX, Principal, digest

_KNOWN = 1000
_BEARER = "bearer "


class Asks(Protocol):
    """The way to the supervisor."""

    async def ask(self, request: Authenticate, expected: type[PrincipalReply]) -> PrincipalReply:
        """Return its reply; raises ApiError."""
        ...


@dataclass(frozen=True)
class Openness:
    """What answers without credentials, besides /healthz and /readyz."""

    metrics: bool = False
    docs: bool = False


class Authenticator:
    """Finds out who is asking. All comparisons are of digests and take the same time wherever they differ."""

    def __init__(self, control: Asks, token: str, failures_per_minute: int) -> None:
        """`token` is the one from the token file, whose owner may do everything."""
        if not token:
            raise ValueError("an empty token would let everybody in")
        self._control = control
        self._file = digest(token)
        self._failures = Failures(failures_per_minute)
        # Digests that were somebody's lately: those are looked at also while their address has to wait, so that
        # nobody can lock others out who come from the same address, as all do behind a proxy.
        self._known: OrderedDict[str, None] = OrderedDict()

    async def principal(self, request: Request) -> Principal:
        """Return who makes a request; raises ApiError `unauthorized` or `too-many-failures`, and tells neither why."""
        header = request.headers.get("authorization")
        if header is None:
            # A token that is shown counts, right or wrong: so root can see what another may.
            peer = peer_of(request)
            if peer is not None and peer.uid == 0:
                return Principal(name="uid 0", role="admin")
            raise unauthorized()
        token = header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""
        shown = digest(token)
        if hmac.compare_digest(shown, self._file):
            return Principal(name="token file", role="admin")
        address = request.client.host if request.client else "unix"
        if shown not in self._known and (seconds := self._failures.wait(address, time.monotonic())):
            raise _too_many(seconds)
        found = await self._ask(shown) if token.startswith(PREFIX) else None
        if found is None:
            self._known.pop(shown, None)
            self._failures.count(address, time.monotonic())
            raise unauthorized()
        self._known[shown] = None
        self._known.move_to_end(shown)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return found

    async def _ask(self, shown: str) -> Principal | None:
        # Each time, so that a token that was revoked is good for nothing from then on.
        return (await self._control.ask(Authenticate(digest=shown), PrincipalReply)).principal


def unauthorized() -> ApiError:
    """Return the answer to whoever shows no good credentials; it does not tell what is wrong with them."""
    return ApiError(Problem(code="unauthorized", message="credentials are needed", field=None, hint=""))


def forbidden() -> ApiError:
    """Return the answer to whoever may not do that."""
    return ApiError(Problem(code="forbidden", message="this is not allowed", field=None, hint=""))


def _too_many(seconds: float) -> ApiError:
    return ApiError(
        Problem(code="too-many-failures", message="too many wrong tokens", field=None, hint="wait a little"),
        {"Retry-After": str(int(seconds) + 1)},
    )
