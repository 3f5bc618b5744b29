"""Loading the kernel's modules from in here, for hosts whose kernel does not do it by itself (HOLDFAST_LOAD_MODULES).

As a rule nobody needs this. Who asks the kernel for a filesystem type that it lacks makes it run the *host's* modprobe,
in the host's own namespaces (request_module(), call_usermodehelper()), wherever he asks from. That fails on hosts
that have the module but forbid or lack the helper: an empty kernel.modprobe, CONFIG_STATIC_USERMODEHELPER, none at all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from appliance.errors import KernelError, PermissionMissing
from appliance.linux import mounts, process
from appliance.nfs.commands import ENVIRONMENT
from appliance.supervisor import privileges

NEEDED = ("fuse", "nfsd")  # each is the name of a filesystem type as well
_CAP_SYS_MODULE = 16
_SECONDS = 60.0
_SHOWN = "docs/security.md shows the compose.override.yaml"


def load(root: Path = Path("/"), has: Callable[[str], bool] = mounts.has) -> None:
    """Load what the kernel lacks and does not load when asked; then give up the right to do so.

    It has to be the first process that does: a supervisor with fewer capabilities than that one could not look into its
    /proc/1/fd, where knfsd's files are (ptrace_may_access()). So nobody has the right when there is somebody else.
    Raises PermissionMissing without CAP_SYS_MODULE, and KernelError without the modules of the running kernel below
    /lib/modules, or if modprobe fails.
    """
    privileges.check_capabilities((root / "proc/self/status").read_text())
    known = (root / "proc/filesystems").read_text().split()
    for name in NEEDED:
        if name not in known and not _by_itself(name, has):
            _modprobe(name, root)
    process.keep_capabilities(process.effective_capabilities() - {_CAP_SYS_MODULE})


def _by_itself(name: str, has: Callable[[str], bool]) -> bool:
    try:
        return has(name)
    except OSError as error:
        raise privileges.mount_refused(name, error) from error


def _modprobe(name: str, root: Path) -> None:
    if _CAP_SYS_MODULE not in process.effective_capabilities():
        raise PermissionMissing(
            f"the container lacks CAP_SYS_MODULE, which loading {name} needs",
            f"give it --cap-add SYS_MODULE ({_SHOWN}), or on the host: modprobe {name}",
            code="capability-missing",
        )
    modules = root / "lib/modules" / os.uname().release
    if not modules.is_dir():
        raise KernelError(
            f"{name} cannot be loaded: there is no {modules}, where the modules of the running kernel would be",
            f"mount the host's /lib/modules there, read-only: --volume /lib/modules:/lib/modules:ro ({_SHOWN})",
            code="no-modules",
        )
    done = subprocess.run(("modprobe", "--", name), stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT,
                          text=True, errors="replace", timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise KernelError(
            f"{name} cannot be loaded: {done.stderr.strip() or f'modprobe ended with status {done.returncode}'}",
            f"on the host: modprobe {name} tells why; kernel.modules_disabled forbids it until the next boot",
            code="no-modules",
        )
