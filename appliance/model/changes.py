"""What a PATCH of a share may change."""

from __future__ import annotations

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from appliance.model.clients import Client
from appliance.model.faults import fault
from appliance.model.frozen import Frozen
from appliance.model.paths import NfsPath, PlainPath
from appliance.model.shares import Caching, Comment, Labels, Share, WhenSourceMissing, Workers


class ShareChanges(Frozen):
    """What a PATCH may change; what is not given stays. The result is validated as a whole."""

    source: PlainPath | None = Field(
        default=None, description="New source directory. The share then starts afresh: old handles end."
    )
    clients: tuple[Client, ...] | None = Field(
        default=None, description="The new list of clients, in place of the old one."
    )
    sync: bool | None = Field(
        default=None, strict=True, description="Whether what clients were told is written is on storage."
    )
    nfs_path: NfsPath | None = Field(
        default=None,
        description="Where clients find the share; null for /NAME. It is mounted anew: what they hold open is lost.",
    )
    workers: Workers | None = Field(
        default=None, description="New number of workers; null for the appliance's default."
    )
    when_source_missing: WhenSourceMissing | None = Field(
        default=None, description="What clients see while the source is gone."
    )
    caching: Caching | None = Field(default=None, description="Who changes the source.")
    enabled: bool | None = Field(default=None, strict=True, description="Whether the share is served.")

    comment: Comment | None = Field(default=None, description="The new comment.")
    labels: Labels | None = Field(default=None, description="The new labels, in place of the old ones.")

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        # "Not given" and "given as null" differ, also on the way from one process to another.
        return {key: value for key, value in handler(self).items() if key in self.model_fields_set}

    def apply(self, share: Share) -> Share:
        """Return the changed share; raises RequestError that names the field if it would be none."""
        try:
            return Share.model_validate({**share.model_dump(mode="json"), **self.model_dump(mode="json")})
        except ValidationError as error:
            raise fault(error.errors()) from None
