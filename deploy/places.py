"""Where the appliance's container runs: on this machine's own Docker engine, or in the virtual machine's."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Protocol

from deploy.errors import CommandError


class Place(Protocol):
    """A machine with a Docker engine and an NFS client, whose root we are."""

    def execute(self, argv: Sequence[str], stdin: bytes = b"") -> str:
        """Run one command and return its standard output. Raises CommandError."""


class Here:
    """This machine."""

    def execute(self, argv: Sequence[str], stdin: bytes = b"") -> str:
        """Run one command and return its standard output. Raises CommandError."""
        done = subprocess.run(argv, input=stdin, capture_output=True, check=False)
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout.decode(errors="surrogateescape")
