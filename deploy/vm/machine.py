"""One QEMU process: how it is started, whether it lives, how it is ended.

Emulation (TCG) is the default, since it works on every machine. HOLDFAST_VM_ACCELERATOR=kvm is many times faster where
KVM works; that its device is there does not show that it does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from deploy.console import say
from deploy.errors import VmLostError
from deploy.vm.system import SystemDisk

QEMU = "qemu-system-x86_64"
INIT = Path(__file__).with_name("init")
READY = "holdfast-vm: ready"  # what `init` writes to the serial console when sshd listens
SSH_PORT = 22
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Forward:
    """A TCP port of 127.0.0.1 that leads to a port of the virtual machine."""

    host: int
    guest: int


@dataclass(frozen=True)
class Spec:
    """What a virtual machine consists of.

    `drives` become /dev/vdb, /dev/vdc and so on, read-only; after them come those in `storage`, where what is written
    stays, for another machine for instance. `files` becomes a read-only directory of the tag "files".
    With `keep_changes` what is written to the system disk stays there; otherwise it is gone with the machine.
    """

    system: SystemDisk
    forwards: tuple[Forward, ...] = ()
    drives: tuple[Path, ...] = ()
    storage: tuple[Path, ...] = ()
    files: Path | None = None
    keep_changes: bool = False
    accelerator: str = field(default_factory=lambda: os.environ.get("HOLDFAST_VM_ACCELERATOR", "tcg,thread=multi"))
    cpus: int = 2
    memory_mib: int = 4096
    # The last three are for speed: emulation has no use for what they leave out, and takes a tenth longer with it.
    kernel_arguments: tuple[str, ...] = field(
        default=("console=ttyS0", "root=/dev/vda", "rw", "init=/usr/sbin/holdfast-init", "panic=-1", "net.ifnames=0",
                 "mitigations=off", "init_on_alloc=0", "hardened_usercopy=off"))


def qemu_argv(spec: Spec, home: Path) -> list[str]:
    """Return the command line of QEMU; keys, serial log and monitor socket are in the machine's directory, `home`."""
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{forward.host}-:{forward.guest}" for forward in spec.forwards)
    argv = [
        QEMU, "-accel", spec.accelerator, "-cpu", "max", "-smp", str(spec.cpus), "-m", str(spec.memory_mib),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-kernel", str(spec.system.kernel), "-initrd", str(spec.system.ramdisk),
        "-append", " ".join(spec.kernel_arguments),
        # A crash of this machine may cost the disk: it is a copy, and it is built again from scratch.
        "-drive", f"if=virtio,format=raw,cache=unsafe,file={_escaped(spec.system.disk)}",
        "-nic", f"user,model=virtio-net-pci{forwards}", "-device", "virtio-rng-pci",
        "-serial", f"file:{home / 'serial.log'}",
        "-fw_cfg", f"name=opt/holdfast/init,file={_escaped(INIT)}",
        "-fw_cfg", f"name=opt/holdfast/client.pub,file={_escaped(home / 'client.pub')}",
        "-fw_cfg", f"name=opt/holdfast/host,file={_escaped(home / 'host')}",
    ]
    if not spec.keep_changes:
        argv.append("-snapshot")
    for drive in spec.drives:
        argv += ["-drive", f"if=virtio,format=raw,readonly=on,file={_escaped(drive)}"]
    for drive in spec.storage:
        argv += ["-drive", f"if=virtio,format=raw,snapshot=off,cache=writeback,file={_escaped(drive)}"]
    if spec.files is not None:
        argv += ["-virtfs", f"local,path={_escaped(spec.files)},mount_tag=files,security_model=none,readonly=on"]
    return argv


def _escaped(path: Path) -> str:
    # QEMU splits option values at commas and takes two for one.
    return str(path).replace(",", ",,")


class Machine:
    """A QEMU process, started here or by an earlier command; known by its process id and its directory."""

    def __init__(self, home: Path, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        self.home = home
        self.pid = pid
        self._child = child

    @classmethod
    def start(cls, spec: Spec, home: Path, *, outlive_us: bool = False) -> Machine:
        """Start QEMU. Unless it is to outlive this process, the kernel ends it when this process dies, however."""
        argv = qemu_argv(spec, home)
        if not outlive_us:
            argv = ["setpriv", "--pdeathsig", "KILL", *argv]
        with (home / "qemu.log").open("wb") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     start_new_session=outlive_us)
        (home / "pid").write_text(f"{child.pid}\n")
        return cls(home, child.pid, child)

    @classmethod
    def find(cls, home: Path) -> Machine | None:
        """Return the machine that an earlier command left running in this directory, or None."""
        try:
            machine = cls(home, int((home / "pid").read_text()))
        except (FileNotFoundError, ValueError):
            return None
        return machine if machine.alive() else None

    def alive(self) -> bool:
        """Tell whether the process runs and is ours: a process id alone may belong to somebody else by now."""
        if self._child is not None:
            return self._child.poll() is None
        try:
            return str(self.home / "serial.log").encode() in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return False

    def wait_until_ready(self, timeout: float = 180.0) -> None:
        """Wait until the machine has booted and takes commands. Raises VmLostError."""
        serial = self.home / "serial.log"
        deadline = time.monotonic() + timeout
        while READY not in (serial.read_text(errors="replace") if serial.exists() else ""):
            if not self.alive():
                raise VmLostError(f"the virtual machine ended while it booted: {self._last_words()}", f"see {serial}")
            if time.monotonic() > deadline:
                raise VmLostError(f"the virtual machine was not up after {timeout:.0f} s", f"see {serial}")
            time.sleep(0.1)

    def wait_until_off(self, timeout: float) -> bool:
        """Wait until the process has ended; tell whether it has."""
        deadline = time.monotonic() + timeout
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def power_off(self) -> None:
        """End the process, like pulling the plug."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.alive():
                break
            os.kill(self.pid, number)
            if not self.wait_until_off(STOP_SECONDS):
                say(f"the virtual machine (process {self.pid}) did not end on {number.name}")
        (self.home / "pid").unlink(missing_ok=True)

    def _last_words(self) -> str:
        return (self.home / "qemu.log").read_text(errors="replace").strip()[-2000:]
