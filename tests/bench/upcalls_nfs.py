"""`python -m tests.bench.upcalls_nfs`: how many requests reach a worker for what an NFS client does, on real knfsd.

In a virtual machine with a stock kernel and the real container, with both kinds of caching. Counted by the workers'
own meters; the kernel's trace tells for which NFS operation each was (`--causes` also: which functions asked).
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from deploy.vm.appliance import COMPOSE_FILE, Lab, lab
from tests.bench import upcalls_trace

_INSIDE = Path(__file__).parent / "inside"
_SOURCE, _MOUNT = "/srv/source", "/mnt/share"
# Nothing but the client is to ask anything.
_QUIET = f"""
printf 'HOLDFAST_%s_INTERVAL=0\\n' CANARY CHECK EVICT > {Path(COMPOSE_FILE).parent}/holdfast.env
HOLDFAST_API_BIND=${{HOLDFAST_URL#http://}} docker compose --file {COMPOSE_FILE} up --detach --wait
mountpoint --quiet /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
ls {_MOUNT} && uname -r
"""
_MEASURE = f"""
curl --silent --show-error --fail --request PATCH "$HOLDFAST_URL/v1/shares/share" \
    --header "Authorization: Bearer $HOLDFAST_TOKEN" --json '{{{{"caching": "{{caching}}"}}}}' > /dev/null
python3 $FILES/upcalls.py {_MOUNT} {_SOURCE} {{entries}}
"""
_SECONDS = 3600


def _measure(machine: Lab, caching: str, entries: int) -> list[dict[str, Any]]:
    said = _run(machine, _MEASURE.format(caching=caching, entries=entries))
    return [_joined(json.loads(line)) for line in said.splitlines() if line.startswith('{"name"')]


def _joined(found: dict[str, Any]) -> dict[str, Any]:
    """Put in place of the trace what it tells."""
    requests, operations = upcalls_trace.parse(found.pop("trace"))
    asked = Counter((request.operation, request.name, request.cause) for request in requests)
    return {**found, "operations": operations, "asked": [[*what, count] for what, count in asked.most_common()]}


def _run(machine: Lab, script: str) -> str:
    done = machine.vm.channel.run(f"set -e\n{script}", _SECONDS)
    if done.status != 0:
        raise RuntimeError(done.stdout)
    return done.stdout


def _each(count: int, times: int) -> str:
    return f"{count / times:.3g}" if count < 1000 else f"{count / times:.0f}"


def row(found: dict[str, Any]) -> str:
    """Return a line of the table: how many each time, and by NFS operation what."""
    times = found["times"]
    by_operation: dict[str, Counter[str]] = {}
    for operation, name, _, count in found["asked"]:
        by_operation.setdefault(operation, Counter())[name] += count
    parts = []
    for operation, names in sorted(by_operation.items(), key=lambda item: -item[1].total()):
        seen = [f"{name} {_each(count, times)}" for name, count in names.most_common() if count * 20 >= times]
        if seen:
            parts.append(f"{operation}: {', '.join(seen)}")
    return f"| {found['name']} | {_each(sum(found['served'].values()), times)} | {'; '.join(parts)} |"


def causes(found: dict[str, Any]) -> str:
    """Return which functions of the kernel asked, and how often."""
    lines = [f"{found['name']}: {found['times']} times, {found['seconds']:.1f} s"]
    lines += [f"  {_each(count, found['times']):>6} {operation:12} {name:12} {cause}"
              for operation, name, cause, count in sorted(found["asked"])]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Print a table for each kind of caching."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.upcalls_nfs", description=__doc__)
    parser.add_argument("--entries", type=int, default=1000, help="of the directory that is listed (default: 1000)")
    parser.add_argument("--causes", action="store_true", help="tell which functions of the kernel asked")
    parser.add_argument("--json", type=Path, help="write all that was found to this file")
    arguments = parser.parse_args()
    results = dict[str, list[dict[str, Any]]]()
    with lab(_INSIDE) as machine:
        kernel = _run(machine, _QUIET).splitlines()[-1]
        for caching in ("shared", "exclusive"):
            results[caching] = found = _measure(machine, caching, arguments.entries)
            print(f"\nLinux {kernel}, caching {caching}:\n\n| what a client does | requests | for which operation |")
            print("|---|---|---|", *map(row, found), sep="\n", flush=True)
            if arguments.causes:
                print("\n" + "\n".join(map(causes, found)), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
