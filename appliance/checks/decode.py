"""What a pasted handle names: a share's answer to one reading of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.checks import fileid
from appliance.checks.evidence import Opened
from appliance.checks.forms import MountHandle, SourceHandle
from appliance.checks.outcomes import Meaning
from appliance.checks.search import names_of
from appliance.checks.view import View
from appliance.fuse.key import HandleKey
from appliance.fuse.nodes import ROOT, NodeId
from appliance.linux.handles import NativeHandle

_SEARCH_SECONDS = 5.0


@dataclass(frozen=True)
class Decoded:
    """What one share makes of a handle. `paths` are relative to the share's root."""

    meaning: Meaning
    reason: str
    node: int | None = None
    generation: int | None = None
    native: NativeHandle | None = None
    inode: int | None = None
    type: int | None = None
    paths: tuple[bytes, ...] = ()
    paths_complete: bool = True

    @property
    def certain(self) -> bool:
        """Whether the handle is surely this share's: only its own keys make such generations."""
        return self.meaning in (Meaning.LIVE, Meaning.STALE_THOUGH_LIVE, Meaning.FREED, Meaning.REVOKED_KEY)


def decode_mount_handle(view: View, form: MountHandle, revoked: Sequence[bytes]) -> Decoded:
    """Say what a handle of the share's FUSE mount names. `revoked` are keys that the share had. Raises OSError."""
    node, generation = fileid.node_of(form.handle), fileid.generation_of(form.handle)
    if node == ROOT:
        if generation != 0:
            return Decoded(Meaning.BAD_MAC, "the root's generation is 0 in every handle", node, generation)
        return _living(view, form.handle, view.expected_root, node, generation)
    try:
        native = view.codec.decode(node)
    except OSError:
        return Decoded(Meaning.UNKNOWN, "no inode of the share has, or had, this node id", node, generation)
    answer = view.at(node)
    if isinstance(answer, Opened):
        native = answer.native
    elif not view.codec.remembers:
        reason = "no file of the share has this node id: it has been deleted, or the handle was never given out"
        return Decoded(Meaning.UNKNOWN, reason, node, generation)
    match _key_of(view, native, node, generation, revoked):
        case None:
            reason = "the node id is well formed, but no key of this share gives it this generation: forged or damaged"
            return Decoded(Meaning.BAD_MAC, reason, node, generation, native)
        case False:
            reason = "it was made with a key of this share that was taken back: clients have to look the file up again"
            return Decoded(Meaning.REVOKED_KEY, reason, node, generation, native)
    if not isinstance(answer, Opened) or answer.found.links == 0:
        reason = "the handle was right; its file has been deleted, and the inode is free or another file's"
        return Decoded(Meaning.FREED, reason, node, generation, native)
    return _living(view, form.handle, native, node, generation)


def decode_source_handle(view: View, form: SourceHandle) -> Decoded:
    """Say what a native handle names on the share's source. Raises OSError."""
    root = view.expected_root
    kind = root.type if form.type is None else form.type
    native = NativeHandle(kind, form.data)
    if len(native.data) != len(root.data):
        return Decoded(Meaning.UNKNOWN, "the source's own handles have another length", native=native)
    answer = view.behind(native)
    if not isinstance(answer, Opened):
        return Decoded(Meaning.UNKNOWN, f"the source's filesystem answers {answer.error}", native=native)
    handle = view.expected(native)
    if handle is None:
        return Decoded(Meaning.UNKNOWN, "the inode is on the source's filesystem, and not of the share", native=native)
    found = _living(view, handle, native, fileid.node_of(handle), fileid.generation_of(handle))
    if not found.paths and found.paths_complete:
        reason = "the inode lives on the source's filesystem, but has no name below the share"
        return Decoded(Meaning.UNKNOWN, reason, native=native, inode=found.inode, type=found.type)
    return found


def _key_of(
    view: View, native: NativeHandle, node: NodeId, generation: int, revoked: Sequence[bytes]
) -> bool | None:
    """Return whether the generation is of the key in force; False for a key that was taken back, None for neither."""
    try:
        named, identity = view.codec.encode(native)
    except OSError:
        return None
    if named != node:
        return None
    if view.key.generation(identity) == generation:
        return True
    return False if any(HandleKey(key).generation(identity) == generation for key in revoked) else None


def _living(view: View, handle: NativeHandle, native: NativeHandle, node: int, generation: int) -> Decoded:
    answer = view.behind(native)
    if not isinstance(answer, Opened):
        return Decoded(Meaning.FREED, "its file is gone", node, generation, native)
    names = names_of(view, native, answer.found.inode, answer.found.links, _SEARCH_SECONDS)
    seen = view.through(handle)
    if isinstance(seen, Opened) and seen.native == native:
        meaning, reason = Meaning.LIVE, "the handle opens its file"
    else:
        said = f"inode {seen.found.inode}" if isinstance(seen, Opened) else seen.error
        meaning, reason = Meaning.STALE_THOUGH_LIVE, f"the file lives, but the mount answers {said}: run a check"
    return Decoded(
        meaning, reason, node, generation, native, answer.found.inode, answer.found.type, names.paths, names.complete
    )
