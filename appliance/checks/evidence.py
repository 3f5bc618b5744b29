"""What was seen of one sample: through the mount, on the source by its native handle, and at its old path."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.linux.handles import NativeHandle
from appliance.linux.statx import Found

STALE = "ESTALE"


@dataclass(frozen=True)
class Opened:
    """A handle opened a file: its native handle and what it is."""

    native: NativeHandle
    found: Found


@dataclass(frozen=True)
class Refused:
    """A handle did not open anything: the errno's name, such as ESTALE."""

    error: str


Answer = Opened | Refused


@dataclass(frozen=True)
class Name:
    """What is found at the sample's old path now: on the source, and its handle on the mount if that was looked up."""

    at: Opened
    handle: NativeHandle | None = None


@dataclass(frozen=True)
class Evidence:
    """All that the verdict depends on. `expected` is the handle that the share's codec and key give the native one."""

    mount: Answer
    native: Answer
    name: Name | None
    expected: NativeHandle | None = None
    root_replaced: bool = False
    outside: bool = False
    """Whether it is a directory that is no longer below the share's root: the share serves those no more."""
    fsid: str | None = None
    """The fsid in the handle that a client gets, if one was asked for."""
    attributes_agree: bool = True
    """Whether what the mount shows of the file is what the source has."""
