"""What can go wrong outside the appliance: on the way from a checkout to a running container."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from appliance.errors import HoldfastError


class DeployError(HoldfastError):
    """The machine, the checkout or a command line does not allow what was asked."""

    code = "deploy"
    exit_code = 69  # EX_UNAVAILABLE


class CommandError(DeployError):
    """A program that was started ended with a status other than 0.

    The command is part of the message as a shell would take it, so that it can be pasted and tried again.
    """

    code = "command-failed"
    exit_code = 70  # EX_SOFTWARE

    def __init__(self, argv: Sequence[str], status: int, output: str = "") -> None:
        said = f"\n{output.rstrip()}" if output.strip() else ""
        super().__init__(f"status {status} from: {shlex.join(argv)}{said}")
        self.argv = tuple(argv)
        self.status = status
        self.output = output


class VmLostError(DeployError):
    """The virtual machine is gone or does not answer: nothing is known of what ran in it.

    It is kept apart from a script that failed, so it has an exit code of its own (EX_TEMPFAIL).
    """

    code = "vm-lost"
    exit_code = 75
