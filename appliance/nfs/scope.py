"""The name by which NFSv4 clients know the server again: its scope, and the owner of its state (RFC 8881, 2.10.4).

A client whose server has another scope after a restart must take it for another server and reclaim nothing; Linux lets
its locks go. knfsd takes the name from the host of whoever gives it threads, at each time anew (nfsd_svc()), and with a
container made anew, as for a newer image, comes another host name. So the name is kept with what clients may reclaim.
"""

from __future__ import annotations

import re
import secrets
import sys
from pathlib import Path

from appliance.linux import files
from appliance.logs import facts

_LOG = facts(__name__)
_NAME = re.compile(r"holdfast-[0-9a-f]{32}\n")  # of at most 64 bytes, which a host's name can have


def kept(path: Path) -> str:
    """Return the scope that the file at `path` holds; it is made if it is not there. Raises OSError."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return _made(path)
    if _NAME.fullmatch(text):
        return text.strip()
    _LOG.warning("the server's scope is damaged; clients take it for another one and can reclaim nothing", file=path)
    return _made(path)


def _made(path: Path) -> str:
    name = f"holdfast-{secrets.token_hex(16)}"
    files.replace(path, f"{name}\n".encode(), 0o644)
    return name


def within(scope: str) -> list[str]:
    """Return what to put before a command that gives knfsd threads, or ends them."""
    return [sys.executable, "-m", "appliance.nfs.within_scope", scope]
