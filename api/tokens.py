"""The routes of tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Response
from pydantic import BaseModel, Field

from api.auth import guarded_router
from api.problems import responses
from api.shares import Control
from appliance.control.access import ListTokens, MakeToken, NewTokenReply, RevokeToken, TokensReply
from appliance.control.messages import Done
from appliance.state.tokens import NewToken, Token, TokenWanted

router = guarded_router(prefix="/v1/tokens", tag="tokens", reading="admin")


class TokenList(BaseModel):
    """All tokens."""

    tokens: tuple[Token, ...] = Field(description="The tokens, by name, without what is secret of them.")


@router.get("")
async def list_tokens(supervisor: Control) -> TokenList:
    """List all named tokens. The one of the file `api-token` is not among them."""
    return TokenList(tokens=(await supervisor.ask(ListTokens(), TokensReply)).tokens)


@router.post("", status_code=201, responses=responses("not-json", "token-exists"))
async def make_token(wanted: TokenWanted, supervisor: Control, response: Response) -> NewToken:
    """Make a token. Its text is in this answer only."""
    response.headers["Cache-Control"] = "no-store"
    return (await supervisor.ask(MakeToken(wanted=wanted), NewTokenReply)).made


@router.delete("/{name}", status_code=204, responses=responses("token-not-found"))
async def revoke_token(
    name: Annotated[str, Path(description="Name of the token.", max_length=255)], supervisor: Control
) -> None:
    """Take a token away; it is good for nothing from then on."""
    await supervisor.ask(RevokeToken(name=name), Done)
