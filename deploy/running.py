"""What `make up` started, as it is remembered for `make down` and for the next `make up`."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.paths import state_root


@dataclass(frozen=True)
class Running:
    """An appliance that was brought up: where it runs ("engine" or "vm") and the ports of this machine."""

    where: str
    nfs_port: int
    api_port: int
    image: str = ""

    def save(self, token: str) -> None:
        """Remember it, and keep the API's token where only this user can read it."""
        home().mkdir(parents=True, exist_ok=True)
        (home() / "running.json").write_text(json.dumps(asdict(self)))
        descriptor = os.open(token_file(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{token}\n")


def home() -> Path:
    """Return the directory of what is remembered."""
    return state_root() / "up"


def vm_home() -> Path:
    """Return the directory of the virtual machine's keys, logs and process id."""
    return home() / "vm"


def token_file() -> Path:
    """Return the file that has the API's token."""
    return home() / "token"


def load() -> Running | None:
    """Return what was remembered, or None."""
    try:
        return Running(**json.loads((home() / "running.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def forget() -> None:
    """Forget it."""
    shutil.rmtree(home(), ignore_errors=True)


def port_or_free(wanted: int) -> int:
    """Return the port of 127.0.0.1 that is wanted, or a free one if somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")
