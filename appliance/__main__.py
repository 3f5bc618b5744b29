"""`python -m appliance`: run the appliance. Its settings come from the environment; see docs/settings.md.

Ends with status 0 when it was told to stop, and with the status that belongs to the reason when it cannot run; they are
listed in docs/exit-codes.md.
"""

from __future__ import annotations

import asyncio
import sys

from appliance import logs, settings
from appliance.errors import HoldfastError
from appliance.supervisor import modules
from appliance.supervisor.first import become_first
from appliance.supervisor.service import supervise


def main() -> int:
    """Run until told to stop and return the exit status."""
    logs.configure("console", "info")
    log = logs.facts("holdfast")
    try:
        loaded = settings.load()
        logs.configure(loaded.log_format, loaded.log_level)
        if loaded.load_modules:
            modules.load()  # before there is anybody else, since nobody has the right to do that afterwards
        asyncio.run(supervise(loaded, become_first()))
    except HoldfastError as error:
        log.error("cannot run", code=error.code, reason=error.message, hint=error.hint, exit_status=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
