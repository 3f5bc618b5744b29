"""Who may mount a share, and as whom."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.frozen import Frozen
from appliance.model import addresses

_MAX_ID = 2**32 - 2  # the last value, -1, means "leave it" to chown(2)

UnixId = Annotated[int, Field(strict=True, ge=0, le=_MAX_ID)]


class Client(Frozen):
    """Who may mount a share, and as whom: one client of an exports(5) line."""

    network: Annotated[str, AfterValidator(addresses.network)] | None = Field(
        default=None, description="IPv4 or IPv6 network. Give this or `host`.", examples=["192.0.2.0/24"]
    )
    host: Annotated[str, AfterValidator(addresses.host)] | None = Field(
        default=None,
        description="Host name or address of one client. Give this or `network`.",
        examples=["build.example.org"],
    )
    access: Literal["ro", "rw"] = Field(default="ro", description="Whether the client may only read, or write as well.")
    squash: Literal["root", "all", "none"] = Field(
        default="root",
        description="Whose requests are carried out as the anonymous user: root's, everybody's or nobody's.",
    )
    anonuid: UnixId | None = Field(default=None, description="User id of the anonymous user; 65534 unless given.")
    anongid: UnixId | None = Field(default=None, description="Group id of the anonymous user; 65534 unless given.")
    secure_ports: bool = Field(
        default=True,
        strict=True,
        description="Answer only requests from ports below 1024, which on the client only root can use. Turn it off "
        "for clients behind address translation and for user-space clients.",
    )

    @model_validator(mode="after")
    def _one_of_network_and_host(self) -> Self:
        if (self.network is None) == (self.host is None):
            raise ValueError("exactly one of `network` and `host` must be given")
        return self

    @property
    def address(self) -> str:
        """The client as exports(5) wants it."""
        address = self.network or self.host
        assert address is not None  # noqa: S101 - _one_of_network_and_host saw to it
        return address
