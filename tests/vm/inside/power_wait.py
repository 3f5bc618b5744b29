"""The other end of power.py: says that the server was away, and waits for what the programs make of that.

Usage: power_wait.py next ROUND OPERATIONS SECONDS: has all programs look at everything, and waits until they have found
it good, each has done so many operations since, and all that unpack are in the middle of it.
power_wait.py ended SECONDS: has them end. power_wait.py told: prints what each does now, one JSON object a line, as the
other two do at their end. It ends with status 1 and what the programs said if one of them has failed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.vm.inside.interrupted import PLACE
else:  # in the virtual machine there is only this directory
    from interrupted import PLACE

Account = dict[str, Any]


def accounts() -> dict[str, Account]:
    """Return what the programs say of themselves, by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(PLACE.glob("*.json"))}


def wait(seconds: float, reached: Callable[[dict[str, Account]], bool]) -> None:
    """Wait until the programs are where they should be. Raises SystemExit after so many seconds or when one failed."""
    deadline = time.monotonic() + seconds
    while not reached(accounts()):
        if failed := list(PLACE.glob("*.failed")):
            for path in failed:
                print(f"{path.stem} failed in {path.read_text()}")
            sys.exit(1)
        if time.monotonic() > deadline:
            told()
            sys.exit(f"gave up waiting after {seconds:.0f} s")
        time.sleep(0.1)


def told() -> None:
    """Print the accounts."""
    for name, account in accounts().items():
        print(json.dumps({"name": name, **account}))


def main() -> None:
    """Do what the arguments say."""
    expected = len(list(PLACE.glob("*.pid")))

    def verified(number: int, found: dict[str, Account]) -> bool:
        return len(found) == expected and all(account["verified"] == number for account in found.values())

    match sys.argv[1:]:
        case ["next", number, operations, seconds]:
            (PLACE / "round.new").write_text(number)
            (PLACE / "round.new").rename(PLACE / "round")
            wait(float(seconds), lambda found: verified(int(number), found))
            begin = {name: account["operations"] for name, account in accounts().items()}

            def at_work(found: dict[str, Account]) -> bool:
                done = [account["operations"] - begin[name] for name, account in found.items() if "untar" not in name]
                unpacking = [account["doing"] == "untar" for name, account in found.items() if "untar" in name]
                return min(done) >= int(operations) and all(unpacking)

            wait(float(seconds), at_work)
        case ["ended", seconds]:
            (PLACE / "stop").touch()
            wait(float(seconds), lambda found: all(account["doing"] == "ended" for account in found.values()))
    told()


if __name__ == "__main__":
    main()
