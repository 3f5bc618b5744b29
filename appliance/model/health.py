"""Findings: what is not as it should be now, since when, and what mends it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from appliance.model.frozen import Frozen

Severity = Literal["info", "warning", "critical"]


class Finding(Frozen):
    """One thing that is not as it should be."""

    code: str = Field(description="Stable name of the finding, for programs.", examples=["share-unhealthy"])
    severity: Severity = Field(
        description="info: it passes by itself, or with the next start · warning: clients are served, somebody "
        "should look · critical: clients wait, or cannot rely on what they get."
    )
    share: str | None = Field(description="The share it is about; null if it is about the appliance.")
    message: str = Field(description="What is wrong.")
    hint: str = Field(description="What to do about it; may be empty.")
    since: float = Field(description="When it was first seen, in seconds since the epoch.")


class HealthReport(Frozen):
    """How the appliance is doing."""

    status: Literal["ok", "info", "warning", "critical"] = Field(description="The worst of the findings; ok if none.")
    findings: tuple[Finding, ...] = Field(description="What is not as it should be, the worst and oldest first.")
