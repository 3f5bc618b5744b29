"""`python -m deploy.vm [SCRIPT]`: run a script (or standard input) in a virtual machine without the appliance.

For trying things out on a stock kernel with knfsd and Docker. Ends with the script's status, or 75 if the VM was lost.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from appliance.errors import HoldfastError
from deploy.cache import Cache
from deploy.console import say
from deploy.paths import cache_root
from deploy.vm.machine import Spec
from deploy.vm.session import booted
from deploy.vm.system import system_disk


def main() -> int:
    """Boot, run, power off."""
    parser = argparse.ArgumentParser(prog="python -m deploy.vm", description=__doc__)
    parser.add_argument("script", nargs="?", type=Path, help="script to run as root; standard input if left out")
    parser.add_argument("--files", type=Path, help="directory that the script finds read-only at $FILES")
    arguments = parser.parse_args()
    script = arguments.script.read_bytes() if arguments.script else sys.stdin.buffer.read()
    try:
        spec = Spec(system_disk(Cache(cache_root())), files=arguments.files and arguments.files.resolve())
        with booted(spec) as vm:
            return vm.channel.stream(script)
    except HoldfastError as error:
        say(f"{error.code}: {error}")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
