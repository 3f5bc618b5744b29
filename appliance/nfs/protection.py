"""Whether this machine can keep what a client's entry asks of the wire: Kerberos and TLS need daemons of their own.

An export that asks for what nobody provides would be one that every client is refused at, without a word why.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from appliance.errors import RequestError
from appliance.linux import keyrings
from appliance.model import Client

NET_ADMIN = 12  # its bit in linux/capability.h
GSS_CHANNEL = "proc/net/rpc/auth.rpcsec.init/channel"
_NO_SVCGSSD = (
    "neither rpc.svcgssd nor gssproxy runs beside the NFS server",
    "put krb5.keytab, with the key of nfs/HOST, beside shares.yaml and restart the container; its log says what fails",
)
_NO_TLSHD = (
    "no tlshd runs beside the NFS server",
    "put nfs-tls.crt, nfs-tls.key and nfs-tls-ca.crt beside shares.yaml, and start the container with NET_ADMIN",
)
_NO_KEYRINGS = (
    "the container may not use the kernel's keyrings, by which tlshd tells whose certificate it has seen",
    "use `tls`, or a seccomp profile that allows add_key and keyctl as well",
)
_NO_NET_ADMIN = (
    "tlshd lacks the capability NET_ADMIN, without which the kernel hands it no connection",
    "in compose.override.yaml, below services and holdfast: `cap_add: [NET_ADMIN]`; then docker compose up",
)


def check(clients: Sequence[Client], root: Path = Path("/")) -> None:
    """Raise RequestError that names the client which cannot be kept to its word; `root` is where /proc and /etc are."""
    for number, client in enumerate(clients):
        if any(flavour != "sys" for flavour in client.security) and (missing := lacks_kerberos(root)):
            _refuse(f"clients.{number}.security", *missing)
        if client.transport != "none" and (missing := lacks_tls(root)):
            _refuse(f"clients.{number}.transport", *missing)
        if client.transport == "mtls" and (missing := lacks_keyrings()):
            _refuse(f"clients.{number}.transport", *missing)


def lacks_kerberos(root: Path = Path("/")) -> tuple[str, str] | None:
    """Return what is missing for Kerberos and the step that mends it; None if it is all there."""
    if not (root / GSS_CHANNEL).exists():
        return "the running kernel has no RPCSEC_GSS", "on the host: modprobe auth_rpcgss rpcsec_gss_krb5"
    if _running(root, ("rpc.svcgssd", "gssproxy")):
        return None
    return _NO_SVCGSSD


def lacks_tls(root: Path = Path("/")) -> tuple[str, str] | None:
    """Return what is missing for RPC over TLS and the step that mends it; None if a tlshd is there to shake hands."""
    # It ends at once on a kernel without handshake upcalls, so it stands for the kernel as well.
    if not (found := _running(root, ("tlshd",))):
        return _NO_TLSHD
    return None if any(_capable(process, NET_ADMIN) for process in found) else _NO_NET_ADMIN


def lacks_keyrings() -> tuple[str, str] | None:
    """Return what is missing for clients' certificates and the step that mends it; None if nothing is."""
    return None if keyrings.allowed() else _NO_KEYRINGS


def needed(clients: Sequence[Client]) -> tuple[bool, bool]:
    """Return whether any of these clients asks for Kerberos, and whether any asks for TLS."""
    return (
        any(flavour != "sys" for client in clients for flavour in client.security),
        any(client.transport != "none" for client in clients),
    )


def _running(root: Path, names: Collection[str]) -> list[Path]:
    """Return the processes of these names in our own network namespace."""
    namespace = _link(root / "proc/self/ns/net")
    with contextlib.suppress(OSError):
        processes = [Path(entry.path) for entry in os.scandir(root / "proc") if entry.name.isdigit()]
        return [process for process in processes if _is(process, names, namespace)]
    return []


def _capable(process: Path, bit: int) -> bool:
    with contextlib.suppress(OSError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> bit & 1)
    return False


def _is(process: Path, names: Collection[str], namespace: str) -> bool:
    with contextlib.suppress(OSError):
        return (process / "comm").read_text().strip() in names and _link(process / "ns/net") == namespace
    return False  # it has just ended


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _refuse(field: str, problem: str, hint: str) -> None:
    raise RequestError(f"{field}: {problem}", hint, code="protection-missing", field=field)
