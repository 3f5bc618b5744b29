"""Answering about tokens: who has which, and who is asking."""

from __future__ import annotations

from appliance.control.access import (
    AccessRequest,
    Authenticate,
    ListTokens,
    MakeToken,
    NewTokenReply,
    PrincipalReply,
    RevokeToken,
    TokensReply,
)
from appliance.control.messages import Done, Reply
from appliance.state.tokens import Tokens
from appliance.supervisor.threads import in_thread


class Access:
    """Carries out what is asked about tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def answer(self, request: AccessRequest) -> Reply:
        """Do what is asked and return the reply; raises HoldfastError."""
        match request:
            case Authenticate(digest=digest):
                return PrincipalReply(principal=await in_thread(lambda: self._tokens.find(digest)))
            case MakeToken(wanted=wanted):
                return NewTokenReply(made=await in_thread(lambda: self._tokens.make(wanted)))
            case ListTokens():
                return TokensReply(tokens=tuple(await in_thread(self._tokens.list)))
            case RevokeToken(name=name):
                await in_thread(lambda: self._tokens.revoke(name))
                return Done()
