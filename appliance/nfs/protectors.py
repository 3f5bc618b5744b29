"""The daemons that keep what shares promise of the wire: rpc.svcgssd for Kerberos, tlshd for TLS.

Each is started where the files are that it needs. A fault of theirs is one of the shares that ask for them, no more.
"""

from __future__ import annotations

import re
from pathlib import Path

from appliance.children import AsksKernel, ChildSpec, HoldsOpen
from appliance.settings import Settings


def protectors(settings: Settings) -> list[ChildSpec]:
    """Return the daemons whose files are there. Looks at the files."""
    specs = []
    if settings.nfs_krb5_keytab.is_file():
        specs += [_svcgssd(settings), _idmapd()]
    if all(path.is_file() for path in (settings.nfs_tls_certificate, settings.nfs_tls_key, settings.nfs_tls_ca)):
        specs.append(_tlshd(settings))
    return specs


def tlshd_conf_file(settings: Settings) -> Path:
    """Return where tlshd.conf(5) is written to."""
    return settings.run_dir / "tlshd.conf"


def tlshd_conf(settings: Settings) -> str:
    """Return tlshd.conf(5): the names of the files, which tlshd reads anew for each handshake."""
    return (
        "[authenticate.server]\n"
        f"x509.certificate={settings.nfs_tls_certificate}\n"
        f"x509.private_key={settings.nfs_tls_key}\n"
        f"x509.truststore={settings.nfs_tls_ca}\n"
    )


def idmapd_conf_file(settings: Settings) -> Path:
    """Return where idmapd.conf(5) is written to; the image's /etc/idmapd.conf leads there."""
    return settings.run_dir / "idmapd.conf"


def idmapd_conf(settings: Settings) -> str:
    """Return idmapd.conf(5): principals of the default realm of krb5.conf(5) are accounts of the same name."""
    general = ""
    if settings.nfs_krb5_conf.is_file():
        text = _text(settings.nfs_krb5_conf)
        if realm := re.search(r"^\s*default_realm\s*=\s*([\w.-]+)", text, re.MULTILINE):
            general = f"[General]\nDomain = {realm[1].lower()}\nLocal-Realms = {realm[1]}\n"
    # rpc.idmapd's own default is a group "nobody", which Debian has not.
    return f"{general}[Mapping]\nNobody-User = nobody\nNobody-Group = nogroup\n"


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # the shares that need none of this are served all the same
        return ""


def _svcgssd(settings: Settings) -> ChildSpec:
    # -n: whichever service key in the table a client has a ticket for, since the host name here is the container's.
    # It takes the client's tokens apart, so it has no capability; the files are root's.
    return ChildSpec(
        "rpc.svcgssd",
        ("rpc.svcgssd", "-f", "-n"),
        HoldsOpen("/auth.rpcsec.init/channel"),
        capabilities=(),
        environment=(
            ("KRB5_CONFIG", str(settings.nfs_krb5_conf)),
            ("KRB5_KTNAME", str(settings.nfs_krb5_keytab)),
            ("KRB5RCACHENAME", f"file2:{settings.run_dir / 'krb5.rcache'}"),
        ),
    )


def _idmapd() -> ChildSpec:
    # Under Kerberos owners go over the wire as names, and the kernel's server asks for them; under sys it does not.
    return ChildSpec("rpc.idmapd", ("rpc.idmapd", "-f", "-S"), HoldsOpen("/nfs4.nametoid/channel"), capabilities=())


def _tlshd(settings: Settings) -> ChildSpec:
    # The kernel hands sockets over only to who has NET_ADMIN (GENL_ADMIN_PERM of the handshake family).
    return ChildSpec(
        "tlshd", ("tlshd", "-s", "-c", str(tlshd_conf_file(settings))), AsksKernel(), capabilities=("net_admin",)
    )
