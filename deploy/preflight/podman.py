"""Podman, the other engine: what it says of itself.

`holdfast-deploy` speaks to Docker; under Podman the same image is a service of systemd.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from typing import Any

from deploy.commands import capture
from deploy.errors import CommandError
from deploy.preflight.finding import Finding, failed, note, ok

_UNIT = "deploy/podman/holdfast.container"


def look() -> list[Finding]:
    """Return what is found of Podman; nothing if it is not installed."""
    if shutil.which("podman") is None:
        return []
    try:
        return judge(json.loads(capture(("podman", "info", "--format", "json"))))
    except (CommandError, ValueError) as error:
        return [note("Podman", f"it is installed and does not answer: {error}", "podman info")]


def judge(info: Mapping[str, Any]) -> list[Finding]:
    """Judge the JSON of `podman info`."""
    host = info.get("host", {})
    security = host.get("security", {})
    name = f"Podman {info.get('version', {}).get('Version', '?')}"
    if security.get("rootless"):
        return [failed(name, "it is rootless, and handles open only in the initial user namespace",
                       "sudo holdfast-deploy preflight  # as root, whose Podman can run it")]
    found = [ok(name, f"it answers; {_UNIT} starts the appliance with it (cgroup {host.get('cgroupVersion', '?')}, "
                      f"{host.get('ociRuntime', {}).get('name', '?')})")]
    if not security.get("seccompEnabled", True):
        found.append(note(name, "it has no seccomp: containers can call all that the kernel has"))
    return found
