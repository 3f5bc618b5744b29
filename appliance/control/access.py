"""What the API and the supervisor say to each other about who may ask; see control.messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from appliance.model.frozen import Frozen
from appliance.state.tokens import NewToken, Principal, Token, TokenWanted


class Authenticate(Frozen):
    """Ask whose token has this digest. The token itself stays with the API."""

    op: Literal["authenticate"] = "authenticate"
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class MakeToken(Frozen):
    """Make a token."""

    op: Literal["make-token"] = "make-token"
    wanted: TokenWanted


class ListTokens(Frozen):
    """Ask for all tokens."""

    op: Literal["list-tokens"] = "list-tokens"


class RevokeToken(Frozen):
    """Take a token away."""

    op: Literal["revoke-token"] = "revoke-token"
    name: str


class PrincipalReply(Frozen):
    """Whose token it is; null if nobody's."""

    kind: Literal["principal"] = "principal"
    principal: Principal | None


class NewTokenReply(Frozen):
    """A token that was made."""

    kind: Literal["new-token"] = "new-token"
    made: NewToken


class TokensReply(Frozen):
    """All tokens, by name."""

    kind: Literal["tokens"] = "tokens"
    tokens: tuple[Token, ...]


AccessRequest = Annotated[Authenticate | MakeToken | ListTokens | RevokeToken, Field(discriminator="op")]
AccessAnswer = Annotated[PrincipalReply | NewTokenReply | TokensReply, Field(discriminator="kind")]
