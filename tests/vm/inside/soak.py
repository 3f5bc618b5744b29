"""Everything at once, for long: clients at work while whatever may die on the server does, in random order.

Usage: soak.py SECONDS SEED MOUNT... Each mount gets two storms (storm.py), which verify every byte they have written.
Prints each fault as it is made, and at the end one line: operations, faults, client errors and wrong contents. Ends
with status 1 unless the last two are none. The same seed makes the same faults, as far as time allows.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE_SECONDS = 900
STORMS = 2


def container() -> str:
    """Return the appliance's container."""
    return subprocess.check_output(
        ["docker", "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.service=holdfast"], text=True
    ).strip()


def await_ready() -> None:
    """Wait until every share is served and exported."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{os.environ['HOLDFAST_URL']}/readyz", timeout=60):  # noqa: S310 - our own
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def api(method: str, path: str, body: object = None) -> None:
    """Call the REST API."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {os.environ['HOLDFAST_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(  # noqa: S310 - our own address
        os.environ["HOLDFAST_URL"] + path, data, headers, method=method
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):  # noqa: S310
        pass


def docker(*arguments: str) -> None:
    """Run a command of Docker's."""
    subprocess.run(["docker", *arguments], check=True, stdout=subprocess.DEVNULL)


class Faults:
    """What is done to the server. Method names are what is printed."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(seed)
        self.made: Counter[str] = Counter()

    def make_one(self) -> None:
        """Do one thing that a server should not have done to it, the mild ones more often."""
        mild = [self.worker_killed, self.workers_killed, self.pool_killed, self.caches_dropped]
        grave = [self.supervisor_killed, self.api_killed, self.mountd_killed, self.share_came]
        worst = [self.container_restarted, self.container_killed]
        (kind,) = self.dice.choices([mild, grave, worst], [70, 22, 8])
        fault = self.dice.choice(kind)
        self.made[fault.__name__] += 1
        print(f"{time.strftime('%T')} {fault.__name__}", flush=True)
        fault()

    def worker_killed(self) -> None:
        """One of the FUSE workers."""
        self._kill("holdfast-worker", 1)

    def workers_killed(self) -> None:
        """All of them at once."""
        self._kill("holdfast-worker", 99)

    def pool_killed(self) -> None:
        """The process that repairs the death of workers."""
        self._kill("holdfast-pool", 1)

    def caches_dropped(self) -> None:
        """The kernel forgets every inode that it can."""
        Path("/proc/sys/vm/drop_caches").write_text("2")

    def supervisor_killed(self) -> None:
        """The one that rules the rest."""
        self._kill("holdfast", 1)
        time.sleep(1)
        await_ready()

    def api_killed(self) -> None:
        """The HTTP server."""
        subprocess.run(["pkill", "-9", "-f", "python -m api"], check=False)

    def mountd_killed(self) -> None:
        """The daemon that tells the kernel who may mount what."""
        self._kill("rpc.mountd", 1)

    def share_came(self) -> None:
        """Another share comes, and goes again."""
        Path("/srv/other").mkdir(exist_ok=True)
        await_ready()
        api("POST", "/v1/shares", {"name": "other", "source": "/srv/other", "clients": [{"network": "10.0.0.0/8"}]})
        api("DELETE", "/v1/shares/other")

    def container_restarted(self) -> None:
        """An orderly stop and a start."""
        docker("restart", container())
        await_ready()

    def container_killed(self) -> None:
        """The end of everything in the container, without a warning."""
        docker("kill", container())
        docker("start", container())
        await_ready()

    def _kill(self, name: str, most: int) -> None:
        found = subprocess.run(["pgrep", "-x", name], capture_output=True, text=True, check=False).stdout.split()
        for pid in self.dice.sample(found, min(most, len(found))):
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(int(pid), signal.SIGKILL)


def main() -> int:
    """Start the storms, make faults until the time is up, and count."""
    seconds, seed, mounts = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    storms = [
        subprocess.Popen(
            [sys.executable, str(HERE / "storm.py"), f"{mount}/soak-{number}-{index}", str(seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number, mount in enumerate(mounts) for index in range(STORMS)
    ]
    faults = Faults(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end and all(storm.poll() is None for storm in storms):
        time.sleep(faults.dice.uniform(0.2, 4))
        faults.make_one()
    said = [storm.communicate()[0] for storm in storms]
    failed = [words for words, storm in zip(said, storms, strict=True) if storm.returncode != 0]
    for words in failed:
        print(words)
    wrong = sum("AssertionError" in words for words in failed)
    operations = sum(int(found) for words in said for found in re.findall(r"^(\d+) operations", words, re.MULTILINE))
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(faults.made.items()))
    print(
        f"soak of {seconds:.0f} s, seed {seed}: {operations} operations of {len(storms)} programs on {len(mounts)} "
        f"clients; {sum(faults.made.values())} faults ({kinds}); {len(failed) - wrong} client errors; "
        f"{wrong} wrong contents"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
