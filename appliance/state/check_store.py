"""Samples and the results of checks in the state database: they outlive restarts, upgrades and reboots."""

from __future__ import annotations

import time
from collections.abc import Sequence

from appliance.checks.samples import Sample, from_text, to_text
from appliance.errors import RequestError
from appliance.model.handles import CheckWanted, HandleCheck, HandleCheckReport, HandleFinding
from appliance.state.database import Database

SCHEMA = (
    "CREATE TABLE samples (share TEXT NOT NULL, sample TEXT NOT NULL) STRICT",
    "CREATE INDEX samples_by_share ON samples (share)",
    """CREATE TABLE handle_checks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        share TEXT NOT NULL,
        document TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX handle_checks_by_share ON handle_checks (share, id)",
    """CREATE TABLE handle_findings (
        handle_check INTEGER NOT NULL REFERENCES handle_checks (id) ON DELETE CASCADE,
        document TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX handle_findings_by_check ON handle_findings (handle_check)",
)

KEPT_CHECKS = 100  # of a share
KEPT_FINDINGS = 1000  # of a check


class CheckStore:
    """Methods block for milliseconds and may be called from any thread. Raise StateError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def samples(self, share: str) -> list[Sample]:
        """Return a share's samples."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT sample FROM samples WHERE share = ?", (share,)).fetchall()
        return [from_text(row[0]) for row in rows]

    def replace_samples(self, share: str, samples: Sequence[Sample]) -> None:
        """Put these in the place of a share's samples."""
        rows = [(share, to_text(sample)) for sample in samples]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM samples WHERE share = ?", (share,))
            connection.executemany("INSERT INTO samples VALUES (?, ?)", rows)

    def begin(self, share: str, wanted: CheckWanted, trigger: str) -> HandleCheck:
        """Record that a check begins; the oldest ones of the share are given up."""
        with self._database.transaction() as connection:
            row = (share, "")
            number = connection.execute("INSERT INTO handle_checks (share, document) VALUES (?, ?)", row).lastrowid
            check = HandleCheck.model_validate(
                {
                    "id": number, "share": share, "mode": wanted.mode, "trigger": trigger, "state": "running",
                    "started": time.time(), "forgotten": wanted.forget_drift,
                }
            )
            connection.execute("UPDATE handle_checks SET document = ? WHERE id = ?", (check.model_dump_json(), number))
            connection.execute(
                "DELETE FROM handle_checks WHERE share = ? AND id NOT IN"
                " (SELECT id FROM handle_checks WHERE share = ? ORDER BY id DESC LIMIT ?)",
                (share, share, KEPT_CHECKS),
            )
        return check

    def finish(self, check: HandleCheck, findings: Sequence[HandleFinding] = ()) -> None:
        """Record how a check ended."""
        rows = [(check.id, finding.model_dump_json()) for finding in findings[:KEPT_FINDINGS]]
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE handle_checks SET document = ? WHERE id = ?", (check.model_dump_json(), check.id)
            )
            connection.executemany("INSERT INTO handle_findings VALUES (?, ?)", rows)

    def checks(self, share: str) -> list[HandleCheck]:
        """Return a share's checks, the newest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT document FROM handle_checks WHERE share = ? ORDER BY id DESC", (share,)
            ).fetchall()
        return [HandleCheck.model_validate_json(row[0]) for row in rows]

    def report(self, share: str, number: int) -> HandleCheckReport:
        """Return one check with its findings; raises RequestError `check-not-found`."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT document FROM handle_checks WHERE id = ? AND share = ?", (number, share)
            ).fetchone()
            rows = connection.execute(
                "SELECT document FROM handle_findings WHERE handle_check = ?", (number,)
            ).fetchall()
        if row is None:
            raise RequestError(
                f"{share} has no handle check {number}", "the last hundred are kept", code="check-not-found"
            )
        check = HandleCheck.model_validate_json(row[0])
        findings = tuple(HandleFinding.model_validate_json(found[0]) for found in rows)
        return HandleCheckReport(**dict(check), findings=findings)

    def abandon_running(self) -> None:
        """What a supervisor that is no more had begun will never end."""
        with self._database.transaction() as connection:
            rows = connection.execute("SELECT document FROM handle_checks").fetchall()
            for check in (HandleCheck.model_validate_json(row[0]) for row in rows):
                if check.state == "running":
                    ended = check.model_copy(
                        update={"state": "failed", "finished": time.time(), "reason": "the appliance was restarted"}
                    )
                    connection.execute(
                        "UPDATE handle_checks SET document = ? WHERE id = ?", (ended.model_dump_json(), ended.id)
                    )

    def forget(self, share: str) -> None:
        """Forget a share's samples: its handles have been ended on purpose."""
        self.replace_samples(share, ())
