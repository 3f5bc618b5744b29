"""mknod: every type of node, and what the nodes are good for."""

from __future__ import annotations

import os
import socket
import stat

from tests.support.children import Child, acting_as, umask
from tests.support.posix.files import make
from tests.support.posix.journal import Journal


def check_mknod_regular(journal: Journal) -> None:
    journal.attempt("mknod", os.mknod, "file", stat.S_IFREG | 0o640)
    journal.attempt("again", os.mknod, "file", stat.S_IFREG | 0o640)
    journal.stat("file", "file")


def check_mknod_fifo(journal: Journal) -> None:
    journal.attempt("mknod", os.mknod, "fifo", stat.S_IFIFO | 0o666)
    journal.attempt("mkfifo over it", os.mkfifo, "fifo")
    journal.stat("fifo", "fifo")


def check_mknod_fifo_carries_data(journal: Journal) -> None:
    os.mkfifo("fifo")

    def write() -> None:
        with open("fifo", "wb") as pipe:
            pipe.write(b"through the fifo")

    with Child(write) as writer:
        with open("fifo", "rb") as pipe:
            journal.value("read", pipe.read)
        writer.result()


def check_mknod_socket(journal: Journal) -> None:
    journal.attempt("mknod", os.mknod, "socket", stat.S_IFSOCK | 0o600)
    journal.attempt("open", os.open, "socket", os.O_RDONLY)


def check_mknod_bound_socket_connects(journal: Journal) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        journal.attempt("bind", server.bind, "socket")
        server.listen()
        journal.attempt("connect", client.connect, "socket")


def check_mknod_devices(journal: Journal) -> None:
    journal.attempt("char", os.mknod, "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    journal.attempt("block", os.mknod, "block", stat.S_IFBLK | 0o600, os.makedev(7, 300))
    journal.attempt("large", os.mknod, "large", stat.S_IFCHR | 0o600, os.makedev(4000, 1_000_000))


def check_mknod_by_a_user(journal: Journal) -> None:
    os.chmod(".", 0o777)
    with acting_as(1001, 1002):
        for label, kind in (("regular", stat.S_IFREG), ("fifo", stat.S_IFIFO), ("socket", stat.S_IFSOCK)):
            journal.attempt(label, os.mknod, label, kind | 0o666)
        journal.attempt("device", os.mknod, "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))


def check_mknod_umask(journal: Journal) -> None:
    for mask in (0o000, 0o027, 0o777):
        with umask(mask):
            os.mknod(f"file-{mask:o}", stat.S_IFREG | 0o666)
            os.mkfifo(f"fifo-{mask:o}", 0o666)


def check_mknod_errors(journal: Journal) -> None:
    make("file")
    journal.attempt("in a file", os.mknod, "file/node", stat.S_IFREG | 0o600)
    journal.attempt("in nothing", os.mknod, "missing/node", stat.S_IFREG | 0o600)
    journal.attempt("a directory", os.mknod, "directory", stat.S_IFDIR | 0o700)
    journal.attempt("trailing slash", os.mknod, "node/", stat.S_IFREG | 0o600)
