"""What the NFS server is to be: what can be said while the appliance runs, in place of its environment."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from appliance.model.frozen import Frozen

Version = Literal["3", "4.1", "4.2"]
_Seconds = Annotated[int, Field(strict=True, ge=10, le=3600)]
_LATER = "The NFS server is started anew for it."
_Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


def _versions(value: tuple[Version, ...]) -> tuple[Version, ...]:
    if "4.1" not in value or len(set(value)) < len(value):
        raise ValueError("must name each version once and have 4.1 among them, which the appliance's own checks speak")
    return tuple(sorted(value))


def _address(value: str) -> str:
    if "%" in value:
        raise ValueError("must have no IPv6 zone")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


class ServerSettings(Frozen):
    """The NFS server's settings; what is null is as the environment has it."""

    versions: Annotated[tuple[Version, ...], AfterValidator(_versions)] | None = Field(
        default=None, description=f"The versions of NFS that are served, 4.1 among them. {_LATER}",
        examples=[["4.1", "4.2"]]
    )
    threads: Annotated[int, Field(strict=True, ge=1, le=1024)] | Literal["auto"] | None = Field(
        default=None,
        description="Threads of the kernel's NFS server. auto: two for each processor and one for each worker of an "
        "enabled share, from 8 to 256. Takes effect at once.",
    )
    lease: _Seconds | None = Field(
        default=None, description=f"Seconds after which a silent NFSv4 client may lose its locks and opens. {_LATER}"
    )
    grace: _Seconds | None = Field(
        default=None,
        description="Seconds after a start in which clients may only reclaim what they had; not less than the lease. "
        f"{_LATER}",
    )
    addresses: tuple[Annotated[str, AfterValidator(_address)], ...] | None = Field(
        default=None,
        max_length=16,
        description=f"Addresses that the NFS server listens on, besides 127.0.0.1; empty for all there are. {_LATER}",
        examples=[["192.0.2.1"]],
    )
    mountd_port: _Port | None = Field(
        default=None, description=f"Port of rpc.mountd, which only NFSv3 clients talk to. {_LATER}"
    )
    statd_port: _Port | None = Field(
        default=None, description=f"Port of rpc.statd, which only NFSv3 clients talk to. {_LATER}"
    )


class ServerChanges(ServerSettings):
    """What of the NFS server's settings shall change; what is not given stays, null is as the environment has it."""

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def apply(self, old: ServerSettings) -> ServerSettings:
        """Return the changed settings."""
        return old.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})
