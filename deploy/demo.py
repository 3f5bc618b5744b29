"""The share that `make up` makes, and the proof that it works: a file that goes to the source and back over NFS."""

from __future__ import annotations

import asyncio
import hashlib
import os

from appliance.nfs import null_call
from deploy.console import step
from deploy.errors import DeployError
from deploy.places import Place
from deploy.rest import Json, Rest

NAME = "demo"
SOURCE = "/srv/demo"  # in the container, and below HOLDFAST_SOURCES where it runs
README = b"""This directory is shared over NFS by Holdfast. `make up` made it to have something to show.
What is written here is seen by NFS clients, and the other way round.
"""
TRIED = "written-by-an-nfs-client"
SIZE = 1 << 20
NOBODY = 65534
ANSWER_SECONDS = 60.0


class RoundTripError(DeployError):
    """What came out over NFS was not what had gone in."""

    code = "round-trip"


def make_source(place: Place, directory: str) -> None:
    """Make the directory that is shared, with something in it. It belongs to whom all clients are."""
    place.execute(("mkdir", "--parents", directory))
    place.execute(("tee", f"{directory}/README"), README)
    place.execute(("rm", "--force", f"{directory}/{TRIED}"))  # it may be somebody else's
    place.execute(("chown", f"{NOBODY}:{NOBODY}", directory))


def make_share(rest: Rest, clients: list[Json]) -> None:
    """Have the appliance share that directory. Raises ApiError."""
    rest.create_share({"name": NAME, "source": SOURCE, "clients": clients})
    rest.set_clients(NAME, clients)  # Docker gives its network other addresses when it makes it anew


def mount_options(port: int) -> str:
    """Return the options with which a client mounts from a port."""
    return "vers=4.2" if port == 2049 else f"vers=4.2,port={port}"


def try_with_kernel(place: Place, server: str, port: int, directory: str) -> None:
    """Write and read with the kernel's NFS client of a place. Raises CommandError, RoundTripError."""
    with step("Writing and reading a file over NFS"):
        mountpoint = place.execute(("mktemp", "--directory")).strip()
        place.execute(("mount", "-t", "nfs4", "-o", mount_options(port), f"{server}:/{NAME}", mountpoint))
        try:
            data = os.urandom(SIZE)
            place.execute(("tee", f"{mountpoint}/{TRIED}"), data)
            place.execute(("sync", f"{mountpoint}/{TRIED}"))
            _compare(place, f"{directory}/{TRIED}", data)
            _compare(place, f"{mountpoint}/README", README)
        finally:
            place.execute(("umount", mountpoint))
            place.execute(("rmdir", mountpoint))


def try_port(port: int) -> None:
    """Have the NFS server answer at a port of 127.0.0.1, for machines without an NFS client. Raises RoundTripError.

    The user-space NFS client of Debian's packages (libnfs) speaks only versions that are off, hence the smallest call.
    """
    if not asyncio.run(null_call.answers(port, ANSWER_SECONDS, host="127.0.0.1")):
        raise RoundTripError(f"no NFS server answers at port {port} of 127.0.0.1")


def _compare(place: Place, path: str, data: bytes) -> None:
    there = place.execute(("sha256sum", path)).split()[0]
    if there != hashlib.sha256(data).hexdigest():
        raise RoundTripError(f"{path} has not the bytes that it should have")
