"""`make reproducible`: build the image twice, with nothing kept from one to the other, and compare bit for bit.

What stays the same between the two is this machine's package mirror: Debian's packages are those of the day, so that
two builds of different days are the same only if none of them was renewed in between. All layers are compared bit for
bit, and the configuration but for what buildah writes of itself into it: ids and names of the containers it has used.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import tempfile
from pathlib import Path

from deploy.commands import run
from deploy.console import say
from deploy.debian import install, require_root_on_debian
from deploy.image import Storage, build_base, build_context, build_image
from deploy.paths import CHECKOUT
from deploy.vm.appliance import PACKAGES

SHOWN = 40
_OF_THE_BUILD = ("container", "container_config", "parent")


def compare() -> int:
    """Build twice and compare; return 0 if both images are the same."""
    require_root_on_debian()
    install(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="holdfast-reproducible-") as directory, build_context(CHECKOUT) as context:
        first, second = (_build(context, Path(directory) / name) for name in ("first", "second"))
        for name, digest in parts(first).items():
            say(f"{digest}  {name}")
        differing = differences(first, second)
    for name in differing[:SHOWN]:
        say(f"differs: {name}")
    say(f"{len(differing)} differences" if differing else "Both images are the same.")
    return 1 if differing else 0


def _build(context: Path, home: Path) -> Path:
    home.mkdir()
    build_base(home)
    storage = Storage(home / "containers")
    build_image(context, home / "base.tar", storage, home / "image.tar")
    run(storage.buildah("rmi", "--all", "--force"))
    return home / "image.tar"


def parts(archive: Path) -> dict[str, str]:
    """Return the digests of an archive's configuration and layers."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(_read(tar, "manifest.json"))[0]
        contents = {"configuration": configuration(_read(tar, manifest["Config"]))}
        contents |= {f"layer {number}": _read(tar, name) for number, name in enumerate(manifest["Layers"], 1)}
        return {part: hashlib.sha256(content).hexdigest() for part, content in contents.items()}


def configuration(text: bytes) -> bytes:
    """Return an image's configuration without what tells one run of buildah from another."""
    read = json.loads(text)
    kept = {name: value for name, value in read.items() if name not in _OF_THE_BUILD}
    kept["config"] = {name: value for name, value in read.get("config", {}).items() if name != "Hostname"}
    kept["history"] = [{name: value for name, value in step.items() if name != "comment"}  # "FROM <id>"
                       for step in read.get("history", [])]
    return json.dumps(kept, sort_keys=True).encode()


def differences(first: Path, second: Path) -> list[str]:
    """Return which parts of two archives differ and, of layers, which files."""
    one, other = parts(first), parts(second)
    found = []
    for part in sorted(one.keys() | other.keys()):
        if one.get(part) == other.get(part):
            continue
        files, others = _files(first, part), _files(second, part)
        found += [f"{part}: {name}" for name in sorted(files.keys() | others.keys())
                  if files.get(name) != others.get(name)] or [part]
    return found


def _files(archive: Path, part: str) -> dict[str, str]:
    kind, _, number = part.partition(" ")
    with tarfile.open(archive) as tar:
        layers = json.loads(_read(tar, "manifest.json"))[0]["Layers"]
        if kind != "layer" or int(number) > len(layers):
            return {}
        with tarfile.open(fileobj=tar.extractfile(layers[int(number) - 1])) as layer:
            return {member.name: _digest(layer, member) for member in layer}


def _digest(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    about = (member.type, member.mode, member.uid, member.gid, member.size, member.mtime, member.linkname)
    content = _read(layer, member.name) if member.isreg() else b""
    return f"{about} {hashlib.sha256(content).hexdigest()}"


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"there is no file {name} in the archive")
    return file.read()


if __name__ == "__main__":
    sys.exit(compare())
