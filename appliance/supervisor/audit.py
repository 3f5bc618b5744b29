"""What was asked for and done, as events: who asked, and for what. Questions that change nothing are not recorded."""

from __future__ import annotations

from appliance.control.access import MakeToken, RevokeToken
from appliance.control.checks import CancelCheck, StartCheck
from appliance.control.clients import ExpireClient
from appliance.control.config import ApplyConfig
from appliance.control.messages import AcceptSource, CreateShare, DeleteShare, Request, RotateKey, UpdateShare
from appliance.control.server_settings import UpdateServer
from appliance.state.events import NewEvent


def event_of(request: Request, by: str) -> NewEvent | None:
    """Return what to record of a request that was met; None if it has changed nothing. Never holds a secret."""
    match request:
        case CreateShare(share=share, dry_run=False):
            return NewEvent("share-added", f"the share was added: {share.source}", share.name, by=by)
        case UpdateShare(name=name, changes=changes, dry_run=False):
            fields = ", ".join(sorted(changes.model_fields_set))
            return NewEvent("share-changed", f"the share was changed: {fields or 'nothing'}", name, by=by)
        case DeleteShare(name=name, dry_run=False):
            return NewEvent("share-removed", "the share was removed", name, by=by)
        case RotateKey(name=name):
            return NewEvent("key-rotated", "all handles given out before were made stale", name, by=by)
        case AcceptSource(name=name):
            return NewEvent("source-accepted", "what is at the source was accepted, whatever was there", name, by=by)
        case StartCheck(name=name, wanted=wanted):
            return NewEvent("handle-check-asked", f"a check was begun, mode {wanted.mode}", name, by=by)
        case CancelCheck(name=name, id=number):
            return NewEvent("handle-check-ended", f"check {number} was ended", name, by=by)
        case MakeToken(wanted=wanted):
            return NewEvent("token-made", f"the token {wanted.name} was made, role {wanted.role}", by=by)
        case RevokeToken(name=name):
            return NewEvent("token-revoked", f"the token {name} was revoked", by=by)
        case ExpireClient(number=number):
            return NewEvent("client-expired", f"the session of NFSv4 client {number} was ended", by=by)
        case ApplyConfig(config=config, dry_run=False):
            return NewEvent("config-applied", f"REST's shares were made these: {len(config.shares)}", by=by)
        case UpdateServer(changes=changes, dry_run=False):
            fields = ", ".join(sorted(changes.model_fields_set))
            return NewEvent("server-changed", f"the NFS server's settings were changed: {fields or 'nothing'}", by=by)
        case _:
            return None
