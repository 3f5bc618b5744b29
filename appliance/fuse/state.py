"""What the handles of a mount without a supervisor depend on, kept in a directory from one run to the next."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import SourceError
from appliance.fuse.codecs.choice import CodecChoice, Kind
from appliance.fuse.key import NO_KEY, new_key
from appliance.linux import files


class State:
    """The directory, or its absence: then there is no key, and filesystems that need a table are refused."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def key(self) -> bytes:
        """Return the key, a new one the first time."""
        if self._directory is None:
            return NO_KEY
        path = self._directory / "key"
        if not path.exists():
            files.replace(path, new_key())
        return path.read_bytes()

    def codec(self) -> CodecChoice | None:
        """Return the choice of codec that was kept, None the first time."""
        path = self._directory / "codec.json" if self._directory else None
        if path is None or not path.exists():
            return None
        return CodecChoice.from_json(path.read_text())

    def keep_codec(self, codec: CodecChoice) -> None:
        """Keep the choice of codec."""
        if self._directory is not None:
            files.replace(self._directory / "codec.json", codec.to_json().encode())

    def table(self, codec: CodecChoice) -> str:
        """Return the path of the table of handles, empty if the codec needs none. Raises SourceError."""
        if codec.kind is not Kind.TABLE:
            return ""
        if self._directory is None:
            raise SourceError(
                "this filesystem's handles do not fit into a node id, so a table of them must be kept",
                "say where, with --state DIRECTORY",
                code="source-needs-state",
            )
        return str(self._directory / "handles.db")
