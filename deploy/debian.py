"""What this machine's own package manager knows: where its mirror is, what is installed, what to install.

The mirror is always read from apt, never written down, so that a machine behind a mirror of its own works as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.commands import capture, run
from deploy.console import say, step
from deploy.errors import DeployError

DEBIAN_VERSION = Path("/etc/debian_version")
TARGETS = ("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")


@dataclass(frozen=True)
class Mirrors:
    """Addresses of Debian's archive and of its security archive ("" where the machine has none)."""

    archive: str
    security: str

    def sources(self, suite: str) -> list[str]:
        """Return the lines of a sources.list for a suite."""
        lines = [f"deb {self.archive} {suite} main", f"deb {self.archive} {suite}-updates main"]
        return lines + ([f"deb {self.security} {suite}-security main"] if self.security else [])


def parse_mirrors(targets: str) -> Mirrors:
    """Read the mirrors out of what `apt-get indextargets` printed. Raises DeployError if Debian's is not there."""
    archive = security = ""
    for line in targets.splitlines():
        origin, codename, uri = (*line.split("|"), "", "")[:3]
        if origin != "Debian" or not uri:
            continue
        if codename.endswith("-security"):
            security = security or uri
        elif "-" not in codename:
            archive = archive or uri
    if not archive:
        raise DeployError("apt knows no mirror of Debian", "run `apt-get update` and look at its sources")
    return Mirrors(archive.rstrip("/"), security.rstrip("/"))


def mirrors() -> Mirrors:
    """Return the mirrors that this machine uses, fetching apt's lists if it has none yet. Raises DeployError."""
    try:
        return parse_mirrors(capture(TARGETS))
    except DeployError:
        with step("Fetching apt's package lists") as current:
            run(("apt-get", "update"), step=current)
        return parse_mirrors(capture(TARGETS))


def require_root_on_debian() -> None:
    """Raise DeployError, saying what is missing, where nothing can be installed or booted by this project."""
    if not DEBIAN_VERSION.exists():
        raise DeployError("this is not Debian, whose packages everything is built from",
                          "run it on Debian 12 or later, or in a container or machine of it")
    if os.geteuid() != 0:
        raise DeployError("not root, who alone can install packages and build a system image", "run it with sudo")
    if os.uname().machine != "x86_64":
        raise DeployError(f"this machine is {os.uname().machine}; the virtual machine is made for x86_64 only",
                          "run it on an x86_64 machine, or with a Docker engine of your own")


def missing_packages(wanted: Iterable[str]) -> list[str]:
    """Return the packages that are not installed."""
    query = capture(("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"))
    installed = {line.split()[0] for line in query.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in installed]


def install(wanted: Iterable[str]) -> None:
    """Install what is missing of these packages, naming it first. Raises CommandError."""
    if not (missing := missing_packages(wanted)):
        return
    say(f"Installing from Debian: {' '.join(missing)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with step("Installing packages") as current:
        run(("apt-get", "update"), step=current)
        run(("apt-get", "install", "--yes", "--no-install-recommends", *missing), step=current, env=quiet)
