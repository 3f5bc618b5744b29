"""Whether this machine can keep what a client's entry asks of the wire: Kerberos and TLS need daemons of their own.

An export that asks for what nobody provides would be one that every client is refused at, without a word why.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from appliance.errors import RequestError
from appliance.model import Client

GSS_CHANNEL = "proc/net/rpc/auth.rpcsec.init/channel"


def check(clients: Sequence[Client], root: Path = Path("/")) -> None:
    """Raise RequestError that names the client which cannot be kept to its word; `root` is where /proc and /etc are."""
    for number, client in enumerate(clients):
        if any(flavour != "sys" for flavour in client.security) and (missing := lacks_kerberos(root)):
            _refuse(f"clients.{number}.security", *missing)
        if client.transport != "none" and (missing := lacks_tls(root)):
            _refuse(f"clients.{number}.transport", *missing)


def lacks_kerberos(root: Path = Path("/")) -> tuple[str, str] | None:
    """Return what is missing for Kerberos and the step that mends it; None if it is all there."""
    if not (root / GSS_CHANNEL).exists():
        return "the running kernel has no RPCSEC_GSS", "on the host: modprobe auth_rpcgss rpcsec_gss_krb5"
    if _runs(root, ("rpc.svcgssd", "gssproxy")):
        return None
    return (
        "neither rpc.svcgssd nor gssproxy runs beside the NFS server",
        "run one of them in the container's network namespace, with a key table that has the key of nfs/HOST",
    )


def lacks_tls(root: Path = Path("/")) -> tuple[str, str] | None:
    """Return what is missing for RPC over TLS and the step that mends it; None if a tlshd is there to shake hands."""
    if _runs(root, ("tlshd",)):
        return None
    # It ends at once on a kernel without handshake upcalls, so it stands for the kernel as well.
    return "no tlshd runs beside the NFS server", "run tlshd (ktls-utils) in the container's network namespace"


def _runs(root: Path, names: Collection[str]) -> bool:
    """Whether a process of one of these names runs in our own network namespace."""
    namespace = _link(root / "proc/self/ns/net")
    with contextlib.suppress(OSError):
        for process in os.scandir(root / "proc"):
            if process.name.isdigit() and _is(Path(process.path), names, namespace):
                return True
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
