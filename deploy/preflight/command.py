"""`python -m deploy preflight [--json] [SOURCE ...]`: put all looks together and print them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy import sdk
from deploy.errors import DeployError
from deploy.preflight import host, kernel, podman, ports, sources
from deploy.preflight.finding import Finding, Verdict, as_data, as_text, failed, note, passes

FAILED = 1


def preflight(directories: Sequence[Path], *, machine: bool) -> int:
    """Look at everything and print it; return 0 if the appliance can run, 1 if not or if something stays unknown."""
    findings = look(directories)
    text = json.dumps(as_data(findings), indent=2) + "\n" if machine else as_text(findings)
    sys.stdout.write(text)
    return 0 if passes(findings) else FAILED


def look(directories: Sequence[Path]) -> list[Finding]:
    """Return all findings, in the order in which things depend on each other."""
    engine, ours = _engine()
    other = podman.look()
    return [
        *kernel.look(),
        *either(engine, other),
        *host.security_modules(unit=bool(other) and not passes(engine)),
        *ports.look(os.environ, ours),
        ports.rpcbind(),
        host.own_server(),
        *(_sources(directories)),
    ]


def either(docker: list[Finding], other: list[Finding]) -> list[Finding]:
    """Return what is found of both engines; if one can run the appliance, what the other lacks is only a note."""
    if passes(docker):
        return docker + [_noted(each) for each in other]
    if other and passes(other):
        return [_noted(each) for each in docker] + other
    return docker + other


def _noted(finding: Finding) -> Finding:
    if finding.verdict in (Verdict.FAILED, Verdict.UNKNOWN):
        return note(finding.subject, finding.message, finding.mend)
    return finding


def _engine() -> tuple[list[Finding], frozenset[int]]:
    try:
        with sdk.engine() as client:
            found = [*host.engine(client.info()), host.compose()]
            return found, sdk.published(client)
    except DeployError as error:
        mend = f"{error.hint or 'systemctl start docker'}  # is it installed? apt-get install docker.io docker-compose"
        return [failed("Docker", error.message, mend)], frozenset()


def _sources(directories: Sequence[Path]) -> list[Finding]:
    if directories:
        return [sources.look(directory.absolute(), shared=True) for directory in directories]
    root = Path(os.environ.get("HOLDFAST_SOURCES", "/srv"))
    below = sorted(each for each in root.iterdir() if each.is_dir()) if root.is_dir() else []
    return [sources.look(root, shared=False), *(sources.look(each, shared=True) for each in below)]
