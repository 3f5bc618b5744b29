"""Python with the libfuse of the image, to be run on this machine, whose own may be too old for passthrough.

It is the image's, taken apart into a directory and started by the image's own dynamic loader, which finds its libraries
there: a daemon sees this machine's files, mounts and processes like any other.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from deploy import archive
from deploy.cache import Cache
from deploy.image import image
from deploy.paths import cache_root

_LOADER = "usr/lib64/ld-linux-x86-64.so.2"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_PYTHON = "usr/bin/python3"
_PACKAGES = "opt/holdfast/lib/python3*/site-packages"
_START = """#!/bin/sh
export PYTHONHOME={root}/usr PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{packages}" PYTHONPYCACHEPREFIX={root}/cache
exec {root}/{loader} --argv0 "$0" --library-path {root}/{libraries} {root}/{python} "$@"
"""


def install(directory: Path) -> Path:
    """Put the image's Python into a directory and return the program that starts it."""
    root = directory / "root"
    root.mkdir()
    built = image(Cache(cache_root())).archive
    with tarfile.open(built) as outer:
        for name in archive.layers(built):
            with tarfile.open(fileobj=outer.extractfile(name)) as layer:
                # The image's own files, as they are; devices are not needed, and what a layer deletes does no harm.
                files = (member for member in layer if not member.isdev())
                layer.extractall(root, files, filter="fully_trusted")  # noqa: S202 - we have built it
    (packages,) = root.glob(_PACKAGES)
    program = directory / "python"
    program.write_text(
        _START.format(root=root, packages=packages, loader=_LOADER, libraries=_LIBRARIES, python=_PYTHON)
    )
    program.chmod(0o755)
    return program

