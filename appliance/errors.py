"""The errors Holdfast tells people about: each has a stable code, a sentence and the step that mends it.

Nothing here knows of HTTP or of processes' exit: the API and the command lines have one table each that translates.
"""

from __future__ import annotations


class HoldfastError(Exception):
    """What went wrong, in a form that a person, a log and a program can use."""

    code = "internal"
    exit_code = 70  # EX_SOFTWARE of sysexits.h

    def __init__(self, message: str, hint: str = "", *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class SourceError(HoldfastError):
    """A directory cannot be the source of a share."""

    code = "source"
    exit_code = 66  # EX_NOINPUT


class KernelError(HoldfastError):
    """The running kernel lacks something that Holdfast stands on."""

    code = "kernel"
    exit_code = 69  # EX_UNAVAILABLE


class PermissionMissing(HoldfastError):
    """A capability or a device is not there."""

    code = "permission"
    exit_code = 77  # EX_NOPERM


class MountError(HoldfastError):
    """A mount or unmount was refused."""

    code = "mount"
    exit_code = 71  # EX_OSERR


class SettingsError(HoldfastError):
    """The environment holds a setting that makes no sense."""

    code = "settings"
    exit_code = 78  # EX_CONFIG


class DeviceError(HoldfastError):
    """A device node is not in the container."""

    code = "device-missing"
    exit_code = 72  # EX_OSFILE


class PortError(HoldfastError):
    """Somebody else listens where Holdfast has to."""

    code = "port-taken"
    exit_code = 75  # EX_TEMPFAIL


class StateError(HoldfastError):
    """The state volume cannot be used."""

    code = "state"
    exit_code = 73  # EX_CANTCREAT


class CommandError(HoldfastError):
    """A program of the NFS side failed or did not end in time."""

    code = "command-failed"
    exit_code = 71  # EX_OSERR


class RequestError(HoldfastError):
    """A request that cannot be met because of what it asks for; `field` names the part at fault, if one is."""

    code = "invalid"
    exit_code = 65  # EX_DATAERR

    def __init__(self, message: str, hint: str = "", *, code: str | None = None, field: str | None = None) -> None:
        super().__init__(message, hint, code=code)
        self.field = field
