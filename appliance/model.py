"""What a share is: the part of the state that people write, with its rules.

Every rule names the field it is about. A value that got past this module may be put into an exports(5) line; the
renderer escapes it all the same.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from appliance.errors import RequestError
from appliance.frozen import Frozen

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"  # pydantic's engine: `$` is the very end, not before a newline
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)\Z")
_MAX_ID = 2**32 - 2  # the last value, -1, means "leave it" to chown(2)
_MAX_PATH = 4095  # PATH_MAX without its NUL


def _source(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("must be text; a name that is not UTF-8 cannot be written in JSON") from None
    if "\0" in value or size > _MAX_PATH:
        raise ValueError(f"must have no NUL and at most {_MAX_PATH} bytes")
    normal = "/" + posixpath.normpath(value).lstrip("/")
    if value != normal:
        raise ValueError(f"must be written without '.', '..' and superfluous slashes: {normal}")
    return value


def _network(value: str) -> str:
    if "%" in value:
        raise ValueError("must have no IPv6 zone")
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("must be a network such as 192.0.2.0/24 or 2001:db8::/32") from None
    raise ValueError(f"has bits set behind its prefix; the network is {wider}")


def _host(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value)) if "%" not in value else _refuse_host()
    except ValueError:
        pass
    labels = value.split(".")
    # A name whose last label is all digits would be read as a (broken) address by the resolver.
    if len(value) > 253 or not all(map(_LABEL.match, labels)) or labels[-1].isdigit():
        _refuse_host()
    return value.lower()


def _refuse_host() -> str:
    raise ValueError("must be a host name or an address without a prefix")


ShareName = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="Name of the share and of the directory that clients mount: letters, digits, '.', '_' and '-', "
        "at most 63, the first a letter or a digit.",
        examples=["projects"],
    ),
]
Workers = Annotated[int, Field(ge=1, le=64)]
UnixId = Annotated[int, Field(ge=0, le=_MAX_ID)]


class Client(Frozen):
    """Who may mount a share, and as whom: one client of an exports(5) line."""

    network: Annotated[str, AfterValidator(_network)] | None = Field(
        default=None, description="IPv4 or IPv6 network. Give this or `host`.", examples=["192.0.2.0/24"]
    )
    host: Annotated[str, AfterValidator(_host)] | None = Field(
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


def _differ(clients: tuple[Client, ...]) -> tuple[Client, ...]:
    seen: set[str] = set()
    for client in clients:
        if client.address in seen:
            raise ValueError(f"{client.address} is there twice")
        seen.add(client.address)
    return clients


class Share(Frozen):
    """A source directory and to whom it is served. Defaults are safe: nobody may mount it until said otherwise."""

    name: ShareName
    source: Annotated[str, AfterValidator(_source)] = Field(
        description="Directory in the container that is shared, as an absolute path without '.' or '..'.",
        examples=["/srv/projects"],
    )
    clients: Annotated[tuple[Client, ...], AfterValidator(_differ)] = Field(
        default=(),
        max_length=256,
        description="Who may mount the share. Empty: nobody; the whole world only by 0.0.0.0/0.",
    )
    workers: Workers | None = Field(
        default=None,
        description="Worker processes that serve the share; the appliance's default unless given.",
    )
    enabled: bool = Field(
        default=True, description="Whether the share is served. Clients of a disabled one see ESTALE."
    )


class ShareChanges(Frozen):
    """What a PATCH may change; what is not given stays. The result is validated as a whole."""

    source: Annotated[str, AfterValidator(_source)] | None = Field(
        default=None, description="New source directory. The share then starts afresh: old handles end."
    )
    clients: tuple[Client, ...] | None = Field(
        default=None, description="The new list of clients, in place of the old one."
    )
    workers: Workers | None = Field(
        default=None, description="New number of workers; null for the appliance's default."
    )
    enabled: bool | None = Field(default=None, description="Whether the share is served.")

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # "Not given" and "given as null" differ, also on the way from one process to another.
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def apply(self, share: Share) -> Share:
        """Return the changed share; raises RequestError that names the field if it would be none."""
        try:
            return Share.model_validate({**share.model_dump(mode="json"), **self.model_dump(mode="json")})
        except ValidationError as error:
            raise fault(error.errors()) from None


def fault(errors: Sequence[Mapping[str, Any]], *, skip: int = 0) -> RequestError:
    """Turn pydantic's list of errors into one that names the first field, `skip` parts of its place left out."""
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"][skip:]) or None
    message = str(first["msg"]).removeprefix("Value error, ")
    return RequestError(f"{field}: {message}" if field else message, field=field)


def overlap(one: str, other: str) -> bool:
    """Whether one of two normalised absolute paths is the other or contains it."""
    return posixpath.commonpath((one, other)) in (one, other)
