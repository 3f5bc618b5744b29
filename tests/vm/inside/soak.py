"""Everything at once, for long: clients at work while whatever may die on the server does, in random order.

Usage: soak.py SECONDS SEED MOUNT... Each mount gets two storms (storm.py), which verify every byte they have written.
Goes on for longer until there was a fault of each kind, which it begins with. Prints each fault as it is made, at the
end each storm's operations, and last one line: operations, faults that hit somebody, client errors and wrong contents.
Ends with status 1 unless the last two are none. The same seed makes the same faults, as far as time allows.
"""

from __future__ import annotations

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
LONGER_SECONDS = 300  # at most
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
    """What is done to the server. Method names are what is printed; they return whether it hit somebody."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(seed)
        self.made: Counter[str] = Counter()
        mild = [self.worker_killed, self.workers_killed, self.pool_killed, self.caches_dropped]
        grave = [self.supervisor_killed, self.api_killed, self.mountd_killed, self.share_came]
        worst = [self.container_restarted, self.container_killed]
        self.kinds = [mild, grave, worst]
        self.due = [*mild, *grave, *worst]
        """Those of which there was none yet."""
        self.dice.shuffle(self.due)

    def make_one(self) -> None:
        """Do one thing that a server should not have done to it: what is due, then the mild ones more often."""
        (kind,) = self.dice.choices(self.kinds, [70, 22, 8])
        fault = self.due[-1] if self.due else self.dice.choice(kind)
        print(f"{time.strftime('%T')} {fault.__name__}", flush=True)
        if not fault():
            print("  nobody was there", flush=True)
            return
        self.made[fault.__name__] += 1
        if self.due:
            self.due.pop()

    def worker_killed(self) -> bool:
        """One of the FUSE workers."""
        return self._kill("-x", "holdfast-worker")

    def workers_killed(self) -> bool:
        """All of them at once."""
        return self._kill("-x", "holdfast-worker", most=99)

    # A process that another has just forked bears its name for a moment: hence the oldest.

    def pool_killed(self) -> bool:
        """The process that repairs the death of workers."""
        return self._kill("--oldest", "-x", "holdfast-pool")

    def caches_dropped(self) -> bool:
        """The kernel forgets every inode that it can."""
        Path("/proc/sys/vm/drop_caches").write_text("2")
        return True

    def supervisor_killed(self) -> bool:
        """The one that rules the rest."""
        hit = self._kill("--oldest", "-x", "holdfast")
        time.sleep(1)
        await_ready()
        return hit

    def api_killed(self) -> bool:
        """The HTTP server."""
        return self._kill("-f", "python -m api --fd")

    def mountd_killed(self) -> bool:
        """The daemon that tells the kernel who may mount what."""
        return self._kill("-x", "rpc.mountd")

    def share_came(self) -> bool:
        """Another share comes, and goes again."""
        Path("/srv/other").mkdir(exist_ok=True)
        await_ready()
        api("POST", "/v1/shares", {"name": "other", "source": "/srv/other", "clients": [{"network": "10.0.0.0/8"}]})
        api("DELETE", "/v1/shares/other")
        return True

    def container_restarted(self) -> bool:
        """An orderly stop and a start."""
        docker("restart", container())
        await_ready()
        return True

    def container_killed(self) -> bool:
        """The end of everything in the container, without a warning."""
        docker("kill", container())
        docker("start", container())
        await_ready()
        return True

    def _kill(self, *pattern: str, most: int = 1) -> bool:
        # Without the states it would find the dead as well whose parent has not asked after them yet.
        alive = ["pgrep", "--runstates", "RSD", *pattern]
        found = subprocess.run(alive, capture_output=True, text=True, check=False).stdout.split()
        return sum(_killed(int(pid)) for pid in self.dice.sample(found, min(most, len(found)))) > 0


def _killed(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it was faster
        return False
    return True


def storm(place: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a client's program."""
    _stop(place).unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, str(HERE / "storm.py"), str(place), str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )


def _stop(place: Path) -> Path:
    return Path("/run") / f"{place.name}.stop"


def rage(faults: Faults, storms: list[subprocess.Popen[str]], seconds: float) -> None:
    """Make faults until the time is up and there was one of each kind, or until that takes too long."""
    began = time.monotonic()
    while all(each.poll() is None for each in storms):
        if time.monotonic() - began > seconds + (LONGER_SECONDS if faults.due else 0):
            return
        time.sleep(faults.dice.uniform(0.2, 4))
        faults.make_one()


def main() -> int:
    """Start the storms, make faults, and count."""
    seconds, seed, mounts = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    places = [Path(mount) / f"soak-{number}-{index}" for number, mount in enumerate(mounts) for index in range(STORMS)]
    storms = [storm(place, seconds + LONGER_SECONDS) for place in places]
    faults = Faults(seed)
    try:
        rage(faults, storms, seconds)
    finally:
        for place in places:
            _stop(place).touch()
    said = [each.communicate()[0] for each in storms]
    failed = [words for words, each in zip(said, storms, strict=True) if each.returncode != 0]
    for words in failed:
        print(words)
    wrong = sum("AssertionError" in words for words in failed)
    counts = [sum(map(int, re.findall(r"^(\d+) operations", words, re.MULTILINE))) for words in said]
    for place, count in zip(places, counts, strict=True):
        print(f"{place.name}: {count} operations")
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(faults.made.items()))
    print(
        f"soak of {seconds:.0f} s, seed {seed}: {sum(counts)} operations of {len(storms)} programs on {len(mounts)} "
        f"clients; {sum(faults.made.values())} faults ({kinds}); {len(failed) - wrong} client errors; "
        f"{wrong} wrong contents"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
