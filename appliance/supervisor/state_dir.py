"""The state and run directories, and the API's token."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from appliance.errors import StateError
from appliance.linux import files
from appliance.logs import facts
from appliance.settings import Settings

_LOG = facts(__name__)
_TOKEN_BYTES = 32


def prepare(settings: Settings, group: int) -> None:
    """Make the directories, the database's file and, at the first start, the token. Raises StateError."""
    try:
        # Others may pass, since rpc.statd runs as a user of its own, but not look; each file guards itself.
        for directory in (settings.state_dir, settings.run_dir):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o711)
        (settings.state_dir / "tables").mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(settings.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        if make_token(settings.token_file, group):
            _LOG.info("an API token was made", file=settings.token_file)
    except OSError as error:
        raise StateError(
            f"the state directory cannot be used: {error}",
            f"give the container a writable volume at {settings.state_dir}",
        ) from error


def make_token(path: Path, group: int) -> bool:
    """Make the token unless there is one; root may write it, the group may read it. Return whether it was made."""
    if path.exists():
        return False
    files.replace(path, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n", 0o640, group)
    return True
