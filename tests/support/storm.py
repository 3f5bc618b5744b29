"""A client of the storm: random changes to a tree, each answer compared with a model of it.

The client works in a directory of its own and in one that all share. No operation may fail in a way that the model
does not foresee.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from typing import TypeVar

from tests.support.model import SHARED, File, Mismatch, Model, expect

T = TypeVar("T")

_MOST_FILES = 150
_MOST_DIRECTORIES = 25
_LARGEST = 40_000  # bytes of a file, about


class Client:
    """One process's view of the tree. Paths are relative to the current directory, which is on the mount."""

    def __init__(self, number: int, dice: random.Random, tick: Callable[[], None]) -> None:
        self._prefix = f"client-{number}"
        self._dice = dice
        self._tick = tick
        self._serial = 0
        self.model = Model(self._prefix)
        self.files, self.symlinks = self.model.files, self.model.symlinks
        self.directories = self.model.directories
        self._open: list[tuple[int, File]] = []
        self._verbs = self._weigh()

    def _weigh(self) -> list[Callable[[], None]]:
        weights: dict[Callable[[], None], int] = {
            self.create: 8, self.write: 8, self.read: 10, self.truncate: 3, self.rename: 6, self.replace: 3,
            self.link: 4, self.symlink: 3, self.unlink: 7, self.mkdir: 4, self.rmdir: 4, self.setattr: 6,
            self.stat: 10, self.readdir: 4, self.setxattr: 4, self.open: 3, self.use_open: 8, self.absent: 3,
        }  # fmt: skip
        return [verb for verb, weight in weights.items() for _ in range(weight)]

    def begin(self) -> None:
        """Make the client's own directory; the shared one is there already."""
        self._call(os.mkdir, self._prefix)
        self.directories |= {self._prefix, SHARED}

    def step(self) -> None:
        """Do one random thing."""
        self._dice.choice(self._verbs)()

    def end(self) -> None:
        """Close what is open."""
        while self._open:
            os.close(self._open.pop()[0])

    def _call(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Make one system call; count it."""
        self._tick()
        return function(*arguments, **named)

    def _refused(self, expected: int, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._call(function, *arguments)
        except OSError as error:
            if error.errno == expected:
                return
            raise
        raise Mismatch(f"{function.__name__}{arguments} should have said {errno.errorcode[expected]}")

    def _new_name(self) -> str:
        self._serial += 1
        return f"{self._dice.choice(sorted(self.directories))}/{self._prefix}-{self._serial}"

    def _some_name(self) -> str | None:
        return self._dice.choice(list(self.files)) if self.files else None

    def create(self) -> None:
        if len(self.files) >= _MOST_FILES:
            return self.unlink()
        name, data = self._new_name(), self._dice.randbytes(self._dice.randrange(4000))
        descriptor = self._call(os.open, name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        if data:
            expect(name, self._call(os.write, descriptor, data), len(data))
        os.close(descriptor)
        self.files[name] = File(bytearray(data), names={name})
        return None

    def write(self) -> None:
        if name := self._some_name():
            descriptor = self._call(os.open, name, os.O_WRONLY)
            self._write_to(descriptor, self.files[name])
            os.close(descriptor)

    def _write_to(self, descriptor: int, file: File) -> None:
        offset = self._dice.randrange(min(len(file.content) + 500, _LARGEST))
        data = self._dice.randbytes(self._dice.randrange(1, 6000))
        expect("write", self._call(os.pwrite, descriptor, data, offset), len(data))
        file.content.extend(bytes(max(0, offset - len(file.content))))
        file.content[offset : offset + len(data)] = data
        file.mtime = None

    def read(self) -> None:
        if name := self._some_name():
            descriptor = self._call(os.open, name, os.O_RDONLY)
            expect(name, self._call(os.read, descriptor, 2 * _LARGEST), bytes(self.files[name].content))
            os.close(descriptor)

    def truncate(self) -> None:
        if name := self._some_name():
            file, size = self.files[name], self._dice.randrange(_LARGEST // 4)
            self._call(os.truncate, name, size)
            del file.content[size:]
            file.content.extend(bytes(size - len(file.content)))
            file.mtime = None

    def rename(self) -> None:
        if name := self._some_name():
            new = self._new_name()
            self._call(os.rename, name, new)
            self._moved(name, new)

    def replace(self) -> None:
        name, victim = self._some_name(), self._some_name()
        if name and victim and self.files[name] is not self.files[victim]:
            self._call(os.rename, name, victim)
            self.files[victim].names.discard(victim)
            self._moved(name, victim)

    def _moved(self, old: str, new: str) -> None:
        file = self.files.pop(old)
        file.names.discard(old)
        file.names.add(new)
        self.files[new] = file

    def link(self) -> None:
        if (name := self._some_name()) and len(self.files) < _MOST_FILES:
            new = self._new_name()
            self._call(os.link, name, new)
            self.files[new] = self.files[name]
            self.files[new].names.add(new)
            self._refused(errno.EEXIST, os.link, name, new)

    def symlink(self) -> None:
        if len(self.symlinks) > _MOST_FILES:
            name = self._dice.choice(list(self.symlinks))
            expect(name, self._call(os.readlink, name), self.symlinks.pop(name))
            return self._call(os.unlink, name)
        name, target = self._new_name(), f"target-{self._dice.random()}"
        self._call(os.symlink, target, name)
        self.symlinks[name] = target
        return None

    def unlink(self) -> None:
        if name := self._some_name():
            self._call(os.unlink, name)
            self.files.pop(name).names.discard(name)

    def mkdir(self) -> None:
        parent = self._dice.choice(sorted(self.directories - {SHARED}))
        if len(self.directories) < _MOST_DIRECTORIES:
            self._serial += 1
            name = f"{parent}/d{self._serial}"
            self._call(os.mkdir, name)
            self.directories.add(name)
        self._refused(errno.EEXIST, os.mkdir, parent)

    def rmdir(self) -> None:
        name = self._dice.choice(sorted(self.directories - {SHARED, self._prefix}) or [self._prefix])
        if self.model.entries(name):
            self._refused(errno.ENOTEMPTY, os.rmdir, name)
        elif name != self._prefix:
            self._call(os.rmdir, name)
            self.directories.discard(name)

    def setattr(self) -> None:
        if name := self._some_name():
            file = self.files[name]
            file.mode, file.mtime = self._dice.choice((0o600, 0o644, 0o751)), self._dice.getrandbits(60)
            self._call(os.chmod, name, file.mode)
            self._call(os.utime, name, ns=(0, file.mtime))

    def stat(self) -> None:
        if name := self._some_name():
            self.model.check_attributes(name, self._call(os.stat, name))

    def readdir(self) -> None:
        name = self._dice.choice(sorted(self.directories))
        self.model.check_entries(name, self._call(os.listdir, name))

    def setxattr(self) -> None:
        if name := self._some_name():
            attributes = self.files[name].attributes
            key, value = f"user.{self._dice.randrange(4)}", self._dice.randbytes(30)
            if key in attributes and self._dice.random() < 0.3:
                self._call(os.removexattr, name, key)
                del attributes[key]
            else:
                self._call(os.setxattr, name, key, value)
                attributes[key] = value
            expect(f"attributes of {name}", set(self._call(os.listxattr, name)), set(attributes))

    def open(self) -> None:
        if len(self._open) >= 6:
            os.close(self._open.pop(0)[0])
        if name := self._some_name():
            self._open.append((self._call(os.open, name, os.O_RDWR), self.files[name]))

    def use_open(self) -> None:
        """Read and write a file that was opened long ago, and may have no name any more."""
        if self._open:
            descriptor, file = self._dice.choice(self._open)
            expect("open file", self._call(os.pread, descriptor, 2 * _LARGEST, 0), bytes(file.content))
            self._write_to(descriptor, file)

    def absent(self) -> None:
        name = self._new_name()
        self._refused(errno.ENOENT, os.stat, name)
        self._refused(errno.ENOENT, os.unlink, name)
