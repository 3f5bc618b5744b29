"""What the command line shows: tables for people, JSON for scripts. Pure functions, but for `draw` and `out`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

from api.cli.client import Json

_BAR = 40  # columns
_MOST = 50  # findings shown
_ORDER = ("same", "moved", "deleted", "revoked", "unanswered", "drift")


def bar(done: int, total: int) -> str:
    """Return a progress bar."""
    filled = _BAR * done // total if total else 0
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done}/{total or '?'}"


def draw(line: str, *, last: bool = False) -> None:
    """Draw a line over the one before, on a terminal only: a log has no use for it."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{'' if last else line}")
        sys.stderr.flush()


def out(found: Json, arguments: argparse.Namespace, people: Callable[[Json], str]) -> None:
    """Print an answer: one line of JSON if that is asked for, else as `people` makes it."""
    text = json.dumps(found) if arguments.json else people(found)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()  # whoever follows events reads a pipe


def plain(value: object) -> str:
    """Return a value without control characters: names of clients and files may have them."""
    text = "" if value is None else str(value)
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def table(cells: Sequence[Sequence[object]]) -> str:
    """Return rows in columns."""
    rows = [[plain(cell) for cell in row] for row in cells]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def summary(report: Json) -> str:
    """Return what a check that is done found."""
    counts = report["counts"]
    total = sum(counts.values())
    rows = [("outcome", "handles")] + [(outcome, str(counts.get(outcome, 0))) for outcome in _ORDER]
    head = f"{report['share']}: {total} handles checked in {report['seconds']:.1f} s, mode {report['mode']}"
    told = [one for one in report["findings"] if one["outcome"] in ("drift", "unanswered")]
    parts = [head, "", table(rows)]
    if told:
        findings = [("outcome", "path", "reason")]
        findings += [(one["drift"] or one["outcome"], one["path"] or "/", one["reason"]) for one in told[:_MOST]]
        parts += ["", table(findings)]
    if len(told) > _MOST:
        parts.append(f"... and {len(told) - _MOST} more: GET /v1/shares/{report['share']}/handle-checks/{report['id']}")
    return "\n".join(parts)


def decoded(found: Json) -> str:
    """Return what a handle names."""
    rows = [("verdict", found["verdict"]), ("reason", found["reason"]), ("form", found["form"])]
    rows += [
        (label, str(found[field]))
        for label, field in (
            ("share", "share"),
            ("fsid", "fsid"),
            ("node id", "node_id"),
            ("generation", "generation"),
            ("native handle", "native"),
            ("inode", "inode"),
        )
        if found.get(field) is not None
    ]
    rows += [("path", path or "/ (the share's root)") for path in found["paths"]]
    if not found["paths_complete"]:
        rows.append(("path", "(the tree is too large to look through all of it)"))
    return table(rows)


def shares(found: Json) -> str:
    """Return all shares, a line each."""
    rows: list[Sequence[object]] = [("share", "status", "source", "clients", "workers", "reason")]
    for share in found["shares"]:
        state = share["state"]
        who = " ".join(_who(client) for client in share["clients"]) or "-"
        rows.append((share["name"], state["status"], share["source"], who, len(state["workers"]), state["reason"]))
    return table(rows)


def _who(client: Json) -> str:
    address = next((client[key] for key in ("network", "host", "netgroup", "wildcard") if client.get(key)), "?")
    return f"{address}:{client['access']}"


def fields(found: Json) -> str:
    """Return all fields of an object, a line each."""
    return table([(name, value if isinstance(value, str) else json.dumps(value)) for name, value in found.items()])


def health(found: Json) -> str:
    """Return what is wrong, with what to do."""
    lines = [f"status: {found['status']}"]
    for one in found["findings"]:
        about = f"{one['share']}: " if one["share"] else ""
        lines.append(f"{one['severity']}: {about}{one['message']} (since {moment(one['since'])})")
        if one["hint"]:
            lines.append(f"  {one['hint']}")
    return "\n".join(map(plain, lines))


def clients(found: Json) -> str:
    """Return all NFS clients, a line each."""
    rows = [("number", "address", "name", "version", "status", "idle", "callback", "holds")]
    rows += [
        (
            one["number"], one["address"], one["name"], f"4.{one['minor_version']}", one["status"],
            "" if one["seconds_since_renew"] is None else f"{one['seconds_since_renew']} s", one["callback_state"],
            ", ".join(_held(part) for part in one["held"]) or "-",
        )
        for one in found["clients"]
    ]  # fmt: skip
    rows += [("v3", one["address"], "", "3", "", "", "", one["path"]) for one in found["mounts"]]
    return table(rows)


def _held(part: Json) -> str:
    counts = (f"{part[kind]} {kind}" for kind in ("opens", "locks", "delegations", "layouts") if part[kind])
    return f"{part['share'] or '(no share)'}: {' '.join(counts)}"


def client(found: Json) -> str:
    """Return one NFS client with what it holds."""
    rows = [("kind", "access", "share", "path")]
    for one in found["states"]:
        unknown = f"? ({one['last_name']})" if one["last_name"] else "?"
        path = unknown if one["path"] is None else one["path"] or "/"
        rows.append((one["kind"], one["access"], one["share"], path))
    return f"{clients({'clients': [found], 'mounts': []})}\n\n{table(rows)}"


def event(found: Json) -> str:
    """Return an event as one line."""
    by = f" ({found['by']})" if found["by"] else ""
    return plain(f"{moment(found['time'])}  {found['kind']}  {found['share'] or '-'}  {found['message']}{by}")


def tokens(found: Json) -> str:
    """Return all tokens, a line each."""
    rows = [("name", "role", "made")]
    return table(rows + [(one["name"], one["role"], moment(one["created"])) for one in found["tokens"]])


def preview(found: Json) -> str:
    """Return what would change."""
    lines = [f"{one['change']} {one['name']} {' '.join(one['fields'])}".rstrip() for one in found["shares"]]
    lines += [f"- {line}" for line in found["exports_removed"]]
    lines += [f"+ {line}" for line in found["exports_added"]]
    return "\n".join(map(plain, lines)) or "nothing would change"


def moment(seconds: float) -> str:
    """Return a time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))
