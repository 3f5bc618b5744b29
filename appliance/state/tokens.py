"""Named tokens: who may ask the API, and for what. Kept in the state database as digests, so that it lets nobody in.

A token is 256 random bits. Nobody can guess one or look it up in a table, so one round of SHA-256 is enough: slow
password hashes are for what people make up.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from sqlite3 import Connection
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from appliance.errors import RequestError
from appliance.model.frozen import Frozen
from appliance.state.database import Database

SCHEMA = (
    """CREATE TABLE tokens (
        name TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        digest TEXT NOT NULL UNIQUE,
        created REAL NOT NULL
    ) STRICT""",
)

PREFIX = "holdfast_"
"""What tokens begin with, so that whoever looks for secrets in texts recognises them."""
_BYTES = 32

Role = Literal["read", "operate", "admin"]
ROLES: tuple[Role, ...] = ("read", "operate", "admin")
"""Each may do what those before it may."""

TokenName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class TokenWanted(Frozen):
    """A token that is to be made."""

    name: TokenName = Field(
        description="What it is known by: letters, digits, dot, hyphen and underscore, at most 63.", examples=["backup"]
    )
    role: Role = Field(
        description="read: see everything but tokens · operate: also make checks and end clients' sessions · "
        "admin: also change shares, keys and tokens."
    )


class Token(Frozen):
    """A token, but for what is secret of it."""

    name: str = Field(description="What it is known by; events name it as who asked.")
    role: Role = Field(description="What it allows: read, operate or admin.")
    created: float = Field(description="When it was made, in seconds since the epoch.")


class NewToken(Token):
    """A token that was just made."""

    token: str = Field(description="The token itself. It is told only now: what is stored does not tell it.")


class Principal(Frozen):
    """Who asks, and what they may."""

    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        """Whether the role covers what is needed."""
        return ROLES.index(self.role) >= ROLES.index(needed)


def digest(token: str) -> str:
    """Return what is stored of a token, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Tokens:
    """The table of tokens. Methods block for milliseconds and may be called from any thread."""

    def __init__(self, database: Database, changing: Callable[[], AbstractContextManager[Connection]]) -> None:
        """`changing` begins a transaction on what is kept twice, see appliance.state.precious."""
        self._database = database
        self._changing = changing

    def make(self, wanted: TokenWanted) -> NewToken:
        """Make a token; raises RequestError `token-exists`."""
        made = NewToken(
            name=wanted.name, role=wanted.role, created=time.time(), token=PREFIX + secrets.token_urlsafe(_BYTES)
        )
        with self._changing() as connection:
            if connection.execute("SELECT 1 FROM tokens WHERE name = ?", (made.name,)).fetchone():
                raise RequestError(
                    f"name: there is a token named {made.name} already",
                    "choose another name, or revoke that one first",
                    code="token-exists",
                    field="name",
                )
            connection.execute(
                "INSERT INTO tokens VALUES (?, ?, ?, ?)", (made.name, made.role, digest(made.token), made.created)
            )
        return made

    def list(self) -> list[Token]:
        """Return all tokens, by name."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT name, role, created FROM tokens ORDER BY name").fetchall()
        return [Token(name=name, role=role, created=created) for name, role, created in rows]

    def revoke(self, name: str) -> None:
        """Take a token away; raises RequestError `token-not-found`."""
        with self._changing() as connection:
            if not connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount:
                raise RequestError(
                    f"there is no token named {name}", "GET /v1/tokens lists them", code="token-not-found"
                )

    def find(self, wanted: str) -> Principal | None:
        """Return whose token has this digest; None if nobody's. Takes the same time however alike digests are."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT name, role, digest FROM tokens").fetchall()
        found = None
        for name, role, stored in rows:
            if hmac.compare_digest(stored.encode(), wanted.encode()):
                found = Principal(name=f"token {name}", role=role)
        return found
