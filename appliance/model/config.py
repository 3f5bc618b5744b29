"""All shares as one document, and the file that such a document may come in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from appliance.model.frozen import Frozen
from appliance.model.shares import Share

Owner = Literal["api", "file"]
"""Who may change a share: REST and its command line, or the file alone."""


def _each_once(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    seen: set[str] = set()
    for share in shares:
        if share.name in seen:
            raise ValueError(f"{share.name} is there twice")
        seen.add(share.name)
    return shares


class Config(Frozen):
    """What shall be, whole."""

    version: Literal[1] = Field(default=1, description="The form of this document; always 1.")
    shares: Annotated[tuple[Share, ...], AfterValidator(_each_once)] = Field(
        max_length=4096, description="The shares, by name."
    )


class ConfigFile(Config):
    """The file `shares.yaml`: the same document, which also says what it is about."""

    owns: Literal["listed", "all"] = Field(
        default="listed",
        description="listed: the shares in this file are the file's, others are REST's · all: there are no others.",
    )
