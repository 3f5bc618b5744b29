"""`make vm-run`: a script in a fresh virtual machine with the appliance up, a share mounted and the API at hand."""

from __future__ import annotations

import shlex
from pathlib import Path

from deploy.console import say
from deploy.debian import install, require_root_on_debian
from deploy.errors import DeployError
from deploy.vm.appliance import PACKAGES, lab
from deploy.vm.session import keep_log


def vm_run(script: Path, files: Path | None) -> int:
    """Run a script as root in such a machine, streaming what it prints, and return its status.

    The machine is off when this returns or raises. Raises VmLostError if it was lost, so that nothing is known of the
    script; other DeployErrors if it could not be brought up. A failure says where its log is and what repeats it.
    """
    content = _read(script)
    if files is not None and not files.is_dir():
        raise DeployError(f"FILES={files} is not a directory", "name a directory, or leave it out")
    require_root_on_debian()
    install(PACKAGES)
    repeat = f"make vm-run SCRIPT={shlex.quote(str(script))}" + (f" FILES={shlex.quote(str(files))}" if files else "")
    try:
        with lab(None if files is None else files.resolve()) as machine:
            say(f"Running {script} in the virtual machine")
            status = machine.vm.channel.stream(content)
            if status != 0:
                keep_log(machine.vm.machine.home)
    except DeployError:
        say(f"To repeat: {repeat}")
        raise
    if status != 0:
        say(f"{script} ended with status {status}. To repeat: {repeat}")
    return status


def _read(script: Path) -> bytes:
    try:
        return script.read_bytes()
    except OSError as error:
        raise DeployError(f"SCRIPT={script} cannot be read: {error.strerror}", "name a readable file") from None
