"""What clients do while the server's power is cut: synced writes, a storm of renames, an archive that is unpacked.

Usage: power.py MOUNT...; returns when all is prepared and the programs run. power_wait.py says how they go on. Handles
of files that will be there all the time, some of them under ever new names, are kept in /run/power/handles-NAME.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.vm.inside.interrupted import PLACE, Program, reread, run_all
else:  # in the virtual machine there is only this directory
    from interrupted import PLACE, Program, reread, run_all

_FILE_BYTES = 1 << 20
_KEPT, _REPLACED, _STILL = 24, 6, 30
_DIRECTORIES = ("left", "right", "left/below")


class Writes(Program):
    """Appends to a file that it holds open, each time through to storage: by fsync, or with O_DSYNC."""

    def __init__(self, top: Path) -> None:
        super().__init__(f"{top.name}-write", top / "write")
        self.dice = random.Random(self.name)
        self.answered: dict[Path, bytes] = {}
        self.path = self.top
        self.plain = self.stable = -1

    def turn(self) -> None:
        if self.plain < 0 or len(self.answered[self.path]) > _FILE_BYTES:
            self._next()
        data = self.dice.randbytes(self.dice.randrange(1, 9000))
        if self.dice.random() < 0.7:
            self.do("write and fsync", lambda: self._append(self.plain, data, sync=True))
        else:
            self.do("write with O_DSYNC", lambda: self._append(self.stable, data, sync=False))
        self.answered[self.path] += data
        self.bytes += len(data)

    def _append(self, descriptor: int, data: bytes, *, sync: bool) -> None:
        assert os.write(descriptor, data) == len(data)
        if sync:
            os.fsync(descriptor)

    def _next(self) -> None:
        for descriptor in (self.plain, self.stable):
            if descriptor >= 0:
                os.close(descriptor)
        self.path = self.top / str(len(self.answered))
        self.create(self.path)
        self.plain = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        self.stable = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_DSYNC)
        self.answered[self.path] = b""

    def verify(self) -> None:
        for path, data in self.answered.items():
            assert reread(path) == data, f"{path} has other contents"
        assert {entry.path for entry in os.scandir(self.top)} == {str(path) for path in self.answered}


class Renames(Program):
    """Renames files and a directory, between directories and over other files."""

    def __init__(self, top: Path) -> None:
        super().__init__(f"{top.name}-rename", top / "rename")
        self.dice = random.Random(self.name)
        self.files: dict[str, bytes] = {}
        self.serial = 0
        self.directory = "moving-0"

    def prepare(self) -> None:
        """Make the files whose handles are kept: they are never replaced."""
        for name in (*_DIRECTORIES, self.directory):
            (self.top / name).mkdir()
        for number in range(_KEPT + _REPLACED):
            self._create(f"{'kept' if number < _KEPT else 'replaced'}-{number}")

    def _create(self, kind: str) -> None:
        self.serial += 1
        name, data = f"{self.dice.choice(_DIRECTORIES)}/{kind}.{self.serial}", f"{kind} {self.serial}".encode() * 20
        self.create(self.top / name)
        self.do("write and fsync", lambda: self._fill(self.top / name, data))
        self.files[name] = data

    def _fill(self, path: Path, data: bytes) -> None:
        with open(path, "wb") as file:
            file.write(data)
            os.fsync(file.fileno())

    def turn(self) -> None:
        self.serial += 1
        kind = self.dice.random()
        old = self.dice.choice(sorted(self.files))
        if kind < 0.1:
            new = f"moving-{self.serial}"
            self._rename(self.directory, new)
            self.directory = new
        elif kind < 0.3 and (victims := [name for name in sorted(self.files) if "replaced" in name and name != old]):
            new = self.dice.choice(victims)
            self._rename(old, new)
            self.files[new] = self.files.pop(old)
            self._keep_name(new)
            self._create("replaced")
        else:
            new = f"{self.dice.choice(_DIRECTORIES)}/{os.path.basename(old).partition('.')[0]}.{self.serial}"
            self._rename(old, new)
            self.files[new] = self.files.pop(old)

    def _keep_name(self, name: str) -> None:
        # A kept file that took the place of another must not be replaced itself.
        if self.files[name].startswith(b"kept"):
            new = f"{os.path.dirname(name)}/kept.{self.serial}"
            self._rename(name, new)
            self.files[new] = self.files.pop(name)

    def _rename(self, old: str, new: str) -> None:
        self.do_once(
            "rename",
            lambda: os.rename(self.top / old, self.top / new),
            lambda: not os.path.lexists(self.top / old) and os.path.lexists(self.top / new),
        )

    def verify(self) -> None:
        seen = {
            str((Path(path) / name).relative_to(self.top)) for path, _, names in os.walk(self.top) for name in names
        }
        assert seen == set(self.files), f"listed {sorted(seen ^ set(self.files))} wrongly"
        for name, data in self.files.items():
            assert reread(self.top / name) == data, f"{name} has other contents"
        assert [name for name in os.listdir(self.top) if name.startswith("moving")] == [self.directory]


class Untars(Program):
    """Unpacks an archive with tar, compares all of it, and removes it the turn after next."""

    def __init__(self, top: Path) -> None:
        super().__init__(f"{top.name}-untar", top / "untar")
        self.archive = PLACE / f"{self.name}.tar"
        self.expected: dict[str, tuple[object, ...]] = {}
        self.unpacked: list[Path] = []
        self.serial = 0

    def prepare(self) -> None:
        """Make the archive, of things that tar makes in different ways."""
        model, dice = PLACE / f"{self.name}.model", random.Random(self.name)
        for directory in ("a", "a/b"):
            (model / directory).mkdir(parents=True, exist_ok=True)
            for number in range(4):
                file = model / directory / str(number)
                file.write_bytes(dice.randbytes(dice.randrange(40_000)))
                file.chmod(dice.choice((0o644, 0o600, 0o755)))
            (model / directory / "symlink").symlink_to("0")
            (model / directory / "link").hardlink_to(model / directory / "1")
        with tarfile.open(self.archive, "w") as tar:
            tar.add(model, ".")
        self.expected = _tree(model)
        shutil.rmtree(model)

    def turn(self) -> None:
        self.serial += 1
        new = self.top / str(self.serial)
        self.do_once("mkdir", new.mkdir, new.is_dir)
        self.do("untar", lambda: self._untar(new))
        self.unpacked.append(new)
        self.do("compare", lambda: self._compare(new))
        self.bytes += self.archive.stat().st_size
        while len(self.unpacked) > 2:  # one from before the cut, one that it came into the middle of
            self._remove(self.unpacked.pop(0))

    def _untar(self, where: Path) -> None:
        done = subprocess.run(
            ["tar", "--extract", "--file", self.archive, "--directory", where, "--same-permissions"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        if done.returncode != 0 or done.stdout:
            raise OSError(f"tar ended with status {done.returncode}: {done.stdout}")

    def _remove(self, tree: Path) -> None:
        for path, directories, names in os.walk(tree, topdown=False):
            for name in names + [name for name in directories if os.path.islink(f"{path}/{name}")]:
                self._remove_one("unlink", os.unlink, f"{path}/{name}")
            self._remove_one("rmdir", os.rmdir, path)

    def _remove_one(self, what: str, remove: object, path: str) -> None:
        assert callable(remove)
        self.do_once(what, lambda: remove(path), lambda: not os.path.lexists(path))

    def verify(self) -> None:
        for tree in self.unpacked:
            self._compare(tree)

    def _compare(self, tree: Path) -> None:
        assert _tree(tree) == self.expected, f"{tree} is not what is in the archive"


def _tree(top: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path, directories, names in os.walk(top):
        for name in names + directories:
            entry = Path(path) / name
            status = entry.lstat()
            key = str(entry.relative_to(top))
            if stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(reread(entry)).digest()
                found[key] = (status.st_mode, status.st_nlink, status.st_mtime_ns // 10**9, content)
            elif stat.S_ISLNK(status.st_mode):
                found[key] = (os.readlink(entry),)
            else:
                found[key] = (status.st_mode, status.st_mtime_ns // 10**9)
    return found


def main() -> None:
    """Prepare everything and start the programs."""
    PLACE.mkdir()
    (PLACE / "round").write_text("0")
    programs: list[Program] = []
    for mount in map(Path, sys.argv[1:]):
        for kind in (Writes, Renames, Untars):
            program = kind(mount)
            program.top.mkdir()
            if isinstance(program, Renames | Untars):
                program.prepare()
            programs.append(program)
        _save_handles(mount)
    run_all(programs)


def _save_handles(mount: Path) -> None:
    (mount / "still").mkdir()
    for number in range(_STILL):
        (mount / f"still/{number}").write_text(f"content {number}")
    paths = [*(mount / "still").iterdir(), *mount.glob("rename/**/kept*")]
    subprocess.run(
        [sys.executable, Path(__file__).with_name("handle.py"), "--save", PLACE / f"handles-{mount.name}", *paths],
        check=True,
    )


if __name__ == "__main__":
    main()
