"""Named tokens in the state database, and the desk that records who asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import RequestError
from appliance.state.database import Database
from appliance.state.store import Store
from appliance.state.tokens import PREFIX, Principal, Tokens, TokenWanted, digest


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    store = Store(tmp_path / "db")
    return Tokens(Database(tmp_path / "db"), store.changing)


def test_a_token_is_known_by_its_digest_only(tokens: Tokens, tmp_path: Path) -> None:
    made = tokens.make(TokenWanted(name="a", role="operate"))
    other = tokens.make(TokenWanted(name="b", role="read"))
    assert made.token.startswith(PREFIX)
    assert len(made.token) >= len(PREFIX) + 43  # 32 bytes in base 64
    assert made.token != other.token
    assert tokens.find(digest(made.token)) == Principal(name="token a", role="operate")
    assert tokens.find(digest(made.token + "x")) is None
    assert tokens.find(digest("")) is None
    assert [(each.name, each.role) for each in tokens.list()] == [("a", "operate"), ("b", "read")]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("db*"))
    assert made.token.encode() not in stored
    assert made.token.removeprefix(PREFIX).encode() not in stored


def test_a_revoked_token_is_nobodys(tokens: Tokens) -> None:
    made = tokens.make(TokenWanted(name="a", role="admin"))
    with pytest.raises(RequestError, match="already"):
        tokens.make(TokenWanted(name="a", role="read"))
    tokens.revoke("a")
    assert tokens.find(digest(made.token)) is None
    with pytest.raises(RequestError) as caught:
        tokens.revoke("a")
    assert caught.value.code == "token-not-found"
    again = tokens.make(TokenWanted(name="a", role="read"))
    assert again.token != made.token
    assert tokens.find(digest(made.token)) is None


def test_roles_include_one_another() -> None:
    may = {role: [Principal(name="x", role=role).may(needed) for needed in ("read", "operate", "admin")]
           for role in ("read", "operate", "admin")}  # fmt: skip
    assert may == {"read": [True, False, False], "operate": [True, True, False], "admin": [True, True, True]}
