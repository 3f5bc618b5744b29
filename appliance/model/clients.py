"""Who may mount a share, as whom, and how well protected on the wire."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from appliance.model import addresses
from appliance.model.frozen import Frozen

_MAX_ID = 2**32 - 2  # the last value, -1, means "leave it" to chown(2)
_KINDS = ("network", "host", "netgroup", "wildcard")

UnixId = Annotated[int, Field(strict=True, ge=0, le=_MAX_ID)]
Flavour = Literal["sys", "krb5", "krb5i", "krb5p"]
Transport = Literal["none", "tls", "mtls"]


def _each_once(flavours: tuple[Flavour, ...]) -> tuple[Flavour, ...]:
    if len(set(flavours)) < len(flavours):
        raise ValueError("must name each flavour once")
    return flavours


class Client(Frozen):
    """Who may mount a share, and as whom: one client of an exports(5) line."""

    network: Annotated[str, AfterValidator(addresses.network)] | None = Field(
        default=None,
        description="IPv4 or IPv6 network; the whole world is 0.0.0.0/0 or ::/0, and nothing else is. Give one of "
        "`network`, `host`, `netgroup` and `wildcard`.",
        examples=["192.0.2.0/24"],
    )
    host: Annotated[str, AfterValidator(addresses.host)] | None = Field(
        default=None, description="Host name or address of one client.", examples=["build.example.org"]
    )
    netgroup: Annotated[str, AfterValidator(addresses.netgroup)] | None = Field(
        default=None,
        description="Netgroup whose hosts are clients, as the file `netgroup` beside `shares.yaml` has it "
        "(/etc/netgroup in the container; another name service has to be put into the image). A member is a name or an "
        "address; either way the client's address must have a name, in DNS or /etc/hosts.",
        examples=["render-farm"],
    )
    wildcard: Annotated[str, AfterValidator(addresses.wildcard)] | None = Field(
        default=None,
        description="Pattern of host names: `*` stands for any characters, dots among them, `?` for one. Needs DNS to "
        "find the names of the clients' addresses.",
        examples=["*.lab.example.org"],
    )
    access: Literal["ro", "rw"] = Field(default="ro", description="Whether the client may only read, or write as well.")
    squash: Literal["root", "all", "none"] = Field(
        default="root",
        description="Whose requests are carried out as the anonymous user: root's, everybody's or nobody's.",
    )
    anonuid: UnixId | None = Field(default=None, description="User id of the anonymous user; 65534 unless given.")
    anongid: UnixId | None = Field(default=None, description="Group id of the anonymous user; 65534 unless given.")
    security: Annotated[tuple[Flavour, ...], AfterValidator(_each_once)] = Field(
        default=("sys",),
        min_length=1,
        max_length=4,
        description="How the client may prove who its users are, the best first: sys (it says so), krb5 (Kerberos), "
        "krb5i (and nothing is altered on the wire), krb5p (and nothing is read there).",
        examples=[["krb5p", "krb5i"]],
    )
    transport: Transport = Field(
        default="none",
        description="What the connection needs at least: none · tls: encryption (RFC 9289) · mtls: and a certificate "
        "of the client.",
    )
    secure_ports: bool = Field(
        default=True,
        strict=True,
        description="Answer only requests from ports below 1024, which on the client only root can use. Turn it off "
        "for clients behind address translation and for user-space clients.",
    )

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in _KINDS) != 1:
            raise ValueError("exactly one of `network`, `host`, `netgroup` and `wildcard` must be given")
        return self

    @property
    def address(self) -> str:
        """The client as exports(5) wants it."""
        address = self.network or self.host or self.wildcard or (self.netgroup and f"@{self.netgroup}")
        assert address is not None  # noqa: S101 - _of_one_kind saw to it
        return address
