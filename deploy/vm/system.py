"""The virtual machine's system disk: Debian with its stock kernel, a Docker engine and NFS clients, made by mmdebstrap.

mmdebstrap and mke2fs write it without mounting anything, so a build that dies leaves no mount behind.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from deploy.cache import Cache, digest
from deploy.commands import run
from deploy.console import step
from deploy.debian import mirrors

SUITE = "trixie"
PACKAGES = (
    "linux-image-amd64", "kmod", "udev", "procps", "iproute2", "iptables", "ca-certificates", "openssh-server",
    "docker.io", "docker-cli", "docker-compose",
    "apparmor",  # with it Docker confines containers as on most people's hosts
    "nfs-common", "nfs-kernel-server", "rpcbind",
    "e2fsprogs", "xfsprogs", "btrfs-progs", "attr", "acl",
    "python3", "curl", "fio", "strace",
    "krb5-kdc", "krb5-admin-server", "krb5-user", "ktls-utils", "openssl",  # Kerberos and TLS as clients have them
    "podman", "crun", "netavark", "aardvark-dns",  # the other engine that people run it on
    "nfs-ganesha", "nfs-ganesha-vfs", "git", "rust-src",  # the benchmark: a peer, and what clients do to real sources
)
DISK_SIZE = "16G"  # sparse: only what is used takes room
# Documentation and translations are never read in there; the boot disk is a third smaller without them.
LEFT_OUT = tuple(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info"))
# An initial ramdisk with only what reaches the disk unpacks in a third of the time under emulation.
# mmdebstrap runs its hooks with a shell and the new root as $1, here before the kernel's package makes the ramdisk.
CONFIGURE_RAMDISK = """set -e; d="$1/usr/share/initramfs-tools"; mkdir -p "$d/conf.d" "$d/modules.d"
echo MODULES=list > "$d/conf.d/holdfast"; printf '%s\\n' virtio_pci virtio_blk ext4 > "$d/modules.d/holdfast\""""
STUB = Path(__file__).with_name("stub")


@dataclass(frozen=True)
class SystemDisk:
    """A bootable disk image (raw ext4) and what QEMU boots it with."""

    disk: Path
    kernel: Path
    ramdisk: Path

    @classmethod
    def within(cls, home: Path) -> SystemDisk:
        """Name the files of a cache directory that holds a system disk."""
        return cls(home / "disk.raw", home / "vmlinuz", home / "initrd.img")

    def copy_to(self, home: Path) -> SystemDisk:
        """Copy all three, holes kept, to go on from there without changing this one."""
        copy = SystemDisk.within(home)
        for old, new in ((self.disk, copy.disk), (self.kernel, copy.kernel), (self.ramdisk, copy.ramdisk)):
            run(("cp", "--sparse=always", "--reflink=auto", str(old), str(new)))
        return copy


def system_key() -> str:
    """Return the cache key of the system disk: what it is made of, but not when or from which mirror."""
    return digest([SUITE, *PACKAGES, DISK_SIZE, *LEFT_OUT, CONFIGURE_RAMDISK, STUB.read_bytes()])


def system_disk(cache: Cache) -> SystemDisk:
    """Return the system disk, made if this machine has none of this recipe. Raises DeployError."""
    return SystemDisk.within(cache.get("system", system_key(), _build))


def _build(home: Path) -> None:
    root = home / "root"
    with step("Installing Debian for the virtual machine (about a minute)") as current:
        run(_mmdebstrap(root), step=current)
    with step("Writing the virtual machine's disk"):
        stub = root / "usr/sbin/holdfast-init"
        stub.write_bytes(STUB.read_bytes())
        stub.chmod(0o755)
        made = SystemDisk.within(home)
        shutil.move(next(root.glob("boot/vmlinuz-*")), made.kernel)
        shutil.move(next(root.glob("boot/initrd.img-*")), made.ramdisk)
        run(("truncate", f"--size={DISK_SIZE}", str(made.disk)))
        run(("mke2fs", "-q", "-t", "ext4", "-d", str(root), str(made.disk)))
        shutil.rmtree(root)


def _mmdebstrap(root: Path) -> list[str]:
    return ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}", *LEFT_OUT,
            "--aptopt=Apt::Install-Recommends false", f"--essential-hook={CONFIGURE_RAMDISK}",
            SUITE, str(root), *mirrors().sources(SUITE)]
