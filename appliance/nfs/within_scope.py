"""Run a command on a host of another name, which nobody else sees: `python -m appliance.nfs.within_scope NAME COMMAND`.

rpc.nfsd has -S for that, which it heeds when it starts the server, but not when it changes the number of its threads.
"""

from __future__ import annotations

import os
import sys

from appliance.linux import host_name

if __name__ == "__main__":
    _, name, *command = sys.argv
    host_name.set_here(name)
    os.execvp(command[0], command)
