"""The virtual machine in which servers are compared: its disks, the scripts it needs, and how a script is run there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.vm.appliance import lab
from deploy.vm.channel import Channel

INSIDE = Path(__file__).parents[1] / "inside"
HOME = "/root/bench"
_SCRIPTS = ("work.py", "gaps.py", "nfs.sh", "native.sh", "ganesha.sh")
_DISK_GIBIBYTES = 8  # sparse


class BenchError(Exception):
    """Something that is measured did not work; what it printed is the message."""


@dataclass(frozen=True)
class Guest:
    """A machine with the appliance up. `disks` has a block device for each kind of filesystem."""

    channel: Channel
    disks: Mapping[str, str]

    def run(self, script: str, timeout: float = 1800) -> str:
        """Run a script with `nfs.sh` sourced, and return what it printed. Raises BenchError if it fails."""
        result = self.channel.run(f"#!/bin/bash\nset -euo pipefail\n. {HOME}/nfs.sh\n{script}", timeout)
        if result.status != 0:
            raise BenchError(f"status {result.status} of\n{script}\n{result.stdout}")
        return result.stdout

    @classmethod
    def prepared(cls, channel: Channel, disks: Mapping[str, str]) -> Guest:
        """Put the scripts into a machine that is up, and return it."""
        channel.execute(("mkdir", "--parents", HOME))
        for name in _SCRIPTS:
            channel.execute(("tee", f"{HOME}/{name}"), (INSIDE / name).read_bytes())
        channel.execute(("chmod", "--recursive", "+x", HOME))
        return cls(channel, disks)


@contextmanager
def guest(kinds: Iterable[str], work: Path) -> Iterator[Guest]:
    """Boot a machine with an empty disk for each kind of filesystem; their images are in the directory `work`.

    QEMU's cache mode is writeback: what the machine flushes is on this machine's disk before the flush ends.
    """
    images = {kind: work / f"{kind}.img" for kind in kinds}
    for image in images.values():
        with image.open("wb") as file:
            file.truncate(_DISK_GIBIBYTES << 30)
    with lab(storage=tuple(images.values())) as machine:
        first = 1 + len(machine.disks.drives)
        disks = {kind: f"/dev/vd{chr(ord('a') + first + number)}" for number, kind in enumerate(images)}
        found = Guest.prepared(machine.vm.channel, disks)
        # All mounts of one server would have one connection, at the address of the first.
        found.run("umount /mnt/share\napi PATCH /v1/shares/share '{\"enabled\": false}'")
        yield found
