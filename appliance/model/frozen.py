"""The base of all that is told: a value that does not change, and that no field can be smuggled into."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A pydantic model that is immutable and refuses fields which it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
