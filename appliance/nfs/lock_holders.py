"""The NFSv3 clients that may hold locks, kept until they have to be told that the server was restarted.

rpc.statd has a file for each in `sm`, and at the next start sm-notify tells those whose file is there, who then reclaim
their locks. But when knfsd ends, in order or killed, lockd lets go of all clients (nsm_unmonitor()) as of one that has
no lock any more, and rpc.statd removes their files: nobody would be told. So what rpc.statd calls when one comes (-H)
copies its file to `kept`, and the copies are put back before the next start. Who has unlocked all is told for nothing
then, which changes nothing for him.

These directories belong to rpc.statd's user: what he may have put into them is not for root to open, and the one above
them, in which rpc.statd and sm-notify write while they are root, is not for him to write to.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import sys
from pathlib import Path

from appliance.errors import StateError

PROGRAM = str(Path(sys.executable).with_name("holdfast-statd-callout"))
RIGHTS = ("dac_override", "net_bind_service", "setgid", "setpcap", "setuid")
"""Capabilities for rpc.statd and sm-notify: to write in that directory, to become that user, and to use low ports."""
_USERS = ("statd", "rpcuser")  # Debian's name and Red Hat's
_MODES = {"sm": 0o755, "sm.bak": 0o755, "kept": 0o700}
_MOST = 1000


def prepare(statd: Path) -> None:
    """Make the directories, and give those below to rpc.statd's user: that is what it takes him from.

    Where there is no such user, it stays root. Raises StateError.
    """
    user = _user()
    try:
        statd.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, mode in _MODES.items():
            (statd / name).mkdir(mode=mode, exist_ok=True)
            if user is not None:
                _give(statd / name, user.pw_uid, user.pw_gid)
    except OSError as error:
        hint = "is there room on the state volume?"
        raise StateError(f"rpc.statd has no place for its list: {error}", hint) from error


def _user() -> pwd.struct_passwd | None:
    users = {user.pw_name: user for user in pwd.getpwall()}
    return next((users[name] for name in _USERS if name in users), None)


def _give(directory: Path, uid: int, gid: int) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def environment(statd: Path) -> tuple[tuple[str, str], ...]:
    """Return the variables that the program needs."""
    return ("HOLDFAST_STATD_DIR", str(statd)), ("HOLDFAST_STATD_MOST", str(_MOST))


def put_back(statd: Path) -> list[str]:
    """Return the command by which rpc.statd finds the files of all clients that it knew."""
    user = _user()
    identity = (f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups") if user else ()
    rights = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs")
    variables = (f"{name}={value}" for name, value in environment(statd))
    return ["setpriv", *identity, *rights, "--", "env", *variables, PROGRAM, "put-back"]


def notify(statd: Path) -> list[str]:
    """Return the command that tells clients, and goes on by itself."""
    rights = ("--inh-caps=-all", f"--bounding-set=-all{''.join(f',+{name}' for name in RIGHTS)}", "--no-new-privs")
    # -f: also if it has run since the machine's start.
    return ["setpriv", *rights, "--", "sm-notify", "-f", "-P", str(statd)]


def end_notifier(statd: Path, proc: Path = Path("/proc")) -> None:
    """End what still tells clients of an earlier start: it would have them reclaim from this one, when it is too late.

    Whom it has not reached the next one finds in `sm.bak`.
    """
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program, *arguments = (process / "cmdline").read_text(errors="replace").split("\0")
            if program.endswith("sm-notify") and str(statd) in arguments:
                os.kill(int(process.name), signal.SIGKILL)
