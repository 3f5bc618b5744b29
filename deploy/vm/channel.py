"""Running commands in the virtual machine: a secure shell over a port that only this machine has.

SSH rather than a protocol of our own: it streams, returns the exit status, notices a dead peer, carries several
commands at once, and a person can use it too. Both key pairs are made for one machine and thrown away with it.
"""

from __future__ import annotations

import secrets
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploy.commands import run
from deploy.errors import CommandError, VmLostError

LOST = 255  # ssh's own status for a broken connection, which a command may return as well
GRACE_SECONDS = 60.0
LAB = "/run/lab"  # the machine's directory for scripts, made by its init
# The script is copied in first and only then run, so that its standard input is its own and its language is free.
# Its status is written down there: with it a script that returns 255 is told from a connection that broke.
REMOTE = """f={lab}/{job}; cat > $f && chmod 700 $f && . {lab}/environment
timeout --kill-after=10 {timeout} $f < /dev/null; s=$?; echo $s > $f.status; exit $s"""


@dataclass(frozen=True)
class Result:
    """What a script printed (both streams) and its exit status; 124 when it was stopped for taking too long."""

    stdout: str
    status: int


def make_keys(home: Path) -> None:
    """Make the key pairs of a machine in its directory: one for us, one for it."""
    for name in ("client", "host"):
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(home / name)))
    (home / "known_hosts").write_text(f"holdfast-vm {(home / 'host.pub').read_text()}")


class Channel:
    """Commands to one machine, as its root."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port

    def argv(self) -> list[str]:
        """Return the command that opens a shell in the machine, for a person as well."""
        options = {"HostKeyAlias": "holdfast-vm", "UserKnownHostsFile": str(self.home / "known_hosts"),
                   "IdentitiesOnly": "yes", "BatchMode": "yes", "LogLevel": "ERROR", "ConnectTimeout": "60",
                   "ServerAliveInterval": "20", "ServerAliveCountMax": "6"}
        return ["ssh", "-F", "none", "-i", str(self.home / "client"), "-p", str(self.port),
                *(f"-o{name}={value}" for name, value in options.items()), "root@127.0.0.1"]

    def run(self, script: str | bytes, timeout: float = 0) -> Result:
        """Run a script and return what it printed. A timeout of 0 seconds means none. Raises VmLostError."""
        output, status = self._run(script, timeout, subprocess.PIPE, subprocess.STDOUT)
        return Result(output.decode(errors="surrogateescape"), status)

    def stream(self, script: str | bytes, timeout: float = 0) -> int:
        """Run a script on this process's own standard output and error; return its status. Raises VmLostError."""
        return self._run(script, timeout, None, None)[1]

    def execute(self, argv: Sequence[str], stdin: bytes = b"") -> str:
        """Run one command and return its standard output. Raises CommandError, VmLostError if the connection breaks."""
        done = subprocess.run([*self.argv(), shlex.join(argv)], input=stdin, capture_output=True, check=False)
        errors = done.stderr.decode(errors="replace")
        if done.returncode == LOST:
            raise VmLostError("the connection to the virtual machine broke", errors.strip())
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, errors)
        return done.stdout.decode(errors="surrogateescape")

    def _run(self, script: str | bytes, timeout: float, stdout: int | IO[bytes] | None,
                 stderr: int | IO[bytes] | None) -> tuple[bytes, int]:
        job = f"job-{secrets.token_hex(6)}"
        remote = REMOTE.format(lab=LAB, job=job, timeout=f"{timeout:.1f}")
        try:
            done = subprocess.run([*self.argv(), remote], input=executable(script), stdout=stdout, stderr=stderr,
                                  timeout=timeout + GRACE_SECONDS if timeout else None, check=False)
        except subprocess.TimeoutExpired as expired:
            raise VmLostError(f"the virtual machine did not stop a script after its {timeout:.0f} s") from expired
        if done.returncode == LOST:
            self._confirm(job)
        return done.stdout or b"", done.returncode

    def _confirm(self, job: str) -> None:
        asked = subprocess.run([*self.argv(), f"cat {LAB}/{job}.status"], stdin=subprocess.DEVNULL,
                               capture_output=True, text=True, check=False)
        if asked.stdout.strip() != str(LOST):
            raise VmLostError("the connection to the virtual machine broke", asked.stderr.strip())


def executable(script: str | bytes) -> bytes:
    """Return a script as an executable file has it: in bash, unless it says its language."""
    data = script.encode(errors="surrogateescape") if isinstance(script, str) else script
    return data if data.startswith(b"#!") else b"#!/bin/bash\n" + data
