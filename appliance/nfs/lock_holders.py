"""The NFSv3 clients that may hold locks, kept until they have to be told that the server was restarted.

rpc.statd has a file for each in `sm`, and at the next start sm-notify tells those whose file is there, who then reclaim
their locks. But when knfsd ends, in order or killed, lockd lets go of all clients (nsm_unmonitor()) as of one that has
no lock any more, and rpc.statd removes their files: nobody would be told. So what rpc.statd calls when one comes (-H)
copies its file, and the copies are put back before the next start. Who has unlocked all is told for nothing then, which
changes nothing for him.

The program is `holdfast-statd-callout`, and runs as rpc.statd's user, to whom these directories belong: what he may
have put into them is not for root to open.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

from appliance.linux import files

DIRECTORY_VARIABLE = "HOLDFAST_STATD_DIR"
PROGRAM = str(Path(sys.executable).with_name("holdfast-statd-callout"))
_USERS = ("statd", "rpcuser")  # Debian's name and Red Hat's
_MONITORED, _KEPT = "sm", "kept"
_MOST = 1000  # of the latest; each one that does not answer is called for a quarter of an hour


def prepare(statd: Path) -> None:
    """Make the directories, and give them to rpc.statd's user, if there is one: from that it takes who to be.

    Raises OSError. Where there is none, it stays root.
    """
    user = _user()
    for directory in (statd, *(statd / name for name in (_MONITORED, f"{_MONITORED}.bak", _KEPT))):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if user is not None:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchown(descriptor, user.pw_uid, user.pw_gid)
            finally:
                os.close(descriptor)


def _user() -> pwd.struct_passwd | None:
    found = {user.pw_name: user for user in pwd.getpwall()}
    return next((found[name] for name in _USERS if name in found), None)


def put_back(statd: Path) -> list[str]:
    """Return the command by which rpc.statd finds the files of all clients that it knew. Raises OSError."""
    owner = statd.stat()
    rights = ("--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    identity = (f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}")
    return ["setpriv", *identity, *rights, "--", PROGRAM, "put-back", str(statd)]


def main() -> None:
    """Do what is asked: `put-back DIRECTORY`, or `add-client CLIENT SERVER`, in the directory of the environment."""
    match sys.argv[1:]:
        case ["put-back", directory]:
            _put_back(Path(directory))
        case ["add-client", *_]:
            statd = Path(os.environ[DIRECTORY_VARIABLE])
            _copy(statd / _MONITORED, statd / _KEPT)


def _put_back(statd: Path) -> None:
    """Copy what was kept, but for the oldest of too many."""
    known = sorted(_records(statd / _KEPT), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in known[_MOST:]:
        path.unlink()
    _copy(statd / _KEPT, statd / _MONITORED)


def _copy(source: Path, target: Path) -> None:
    for path in _records(source):
        copy = target / path.name
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            continue  # the client has gone meanwhile
        if not copy.exists() or copy.read_bytes() != text:
            files.replace(copy, text)


def _records(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if not path.name.startswith(".")]  # but for drafts
