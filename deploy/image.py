"""The container image, built from the Dockerfile without a Docker engine and without an image registry.

The base image that the Dockerfile names is made from the machine's own Debian mirror; buildah does the rest as root in
a plain chroot, which needs neither user namespaces nor overlayfs. Where a Docker engine is at hand, `docker compose
build` builds the same Dockerfile and none of this is used.

The same sources and the same packages of Debian give the same image, bit for bit (deploy/reproducible.py).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.cache import Cache, digest, digest_tree
from deploy.commands import capture, run
from deploy.console import step
from deploy.debian import mirrors
from deploy.paths import CHECKOUT

SUITE = "trixie"
BASE_NAME = f"docker.io/library/debian:{SUITE}-slim"
IMAGE_NAME = "holdfast:latest"  # as in compose.yaml
_RECIPE = ("Dockerfile", ".dockerignore", "requirements.lock", "requirements-build.lock")
PACKAGES = (*_RECIPE, "appliance/fuse/native")  # what is compiled
CONTEXT = (*_RECIPE, "appliance", "api")
SLIM = tuple(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info", "lintian"))
# A base image as registries have it: the name and the resolver of the machine that makes it are not in it.
NOT_OF_THIS_MACHINE = """--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf\""""
EPOCH = 1735689600  # as in the Dockerfile: the time of all that the image holds
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
LENT_HOME = "/root"


@dataclass(frozen=True)
class Image:
    """An image in a file that `docker load` takes, and the keys of what it and its lower layers were built from."""

    archive: Path
    key: str
    packages_key: str


def base_key() -> str:
    """Return the cache key of the base image."""
    return digest([BASE_NAME, *SLIM, NOT_OF_THIS_MACHINE, str(EPOCH)])


def image_key(checkout: Path = CHECKOUT) -> str:
    """Return the cache key of the image: what the build can see of the checkout, and the base."""
    return digest([base_key(), digest_tree(checkout, CONTEXT)])


def image(cache: Cache, checkout: Path = CHECKOUT) -> Image:
    """Return the image of the checkout's state, built if it has not been yet. Raises CommandError."""
    with build_context(checkout) as context:
        key = image_key(context)
        packages_key = digest([base_key(), digest_tree(context, PACKAGES)])

        def build(home: Path) -> None:
            base = cache.get("base", base_key(), build_base) / "base.tar"
            build_image(context, base, Storage(cache.root / "containers"), home / "image.tar")

        return Image(cache.get("image", key, build) / "image.tar", key, packages_key)


@contextmanager
def build_context(checkout: Path) -> Iterator[Path]:
    """Give a copy of what the build sees, so that the image is of these sources even if they are being edited."""
    with tempfile.TemporaryDirectory() as directory:
        for name in CONTEXT:
            _copy(checkout / name, Path(directory) / name)
        yield Path(directory)


def _copy(old: Path, new: Path) -> None:
    if old.is_dir():
        shutil.copytree(old, new, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(old, new)


@dataclass(frozen=True)
class Storage:
    """Where buildah keeps layers, so that a change of the sources alone does not install everything again."""

    root: Path

    def buildah(self, *arguments: str) -> tuple[str, ...]:
        """Return a buildah command on this storage."""
        return ("buildah", "--root", str(self.root), "--runroot", str(self.root / "run"), "--storage-driver", "vfs",
                *arguments)

    def find(self, name: str) -> str:
        """Return the id of the image of this full name, or ""."""
        listed = capture(self.buildah("images", "--no-trunc", "--format", "{{.Name}}:{{.Tag}} {{.ID}}"))
        for line in listed.splitlines():
            if line.startswith(f"{name} "):
                return line.split()[1]
        return ""


def build_base(home: Path) -> None:
    """Make the base image as `base.tar` in this directory. Raises CommandError."""
    with step("Making the base image from Debian's packages (about half a minute)") as current:
        run(("mmdebstrap", "--mode=root", "--variant=minbase", *SLIM, NOT_OF_THIS_MACHINE, SUITE,
             str(home / "base.tar"), *mirrors().sources(SUITE)), step=current, env={"SOURCE_DATE_EPOCH": str(EPOCH)})


def build_image(context: Path, base: Path, storage: Storage, archive: Path) -> None:
    """Build the image of a context and write it to an archive. Raises CommandError."""
    with step("Building the image (over a minute the first time)") as current, lent_settings() as lent:
        of_this_recipe = f"localhost/holdfast-base:{base_key()}"
        if not storage.find(of_this_recipe):
            container = capture(storage.buildah("from", "scratch")).strip()
            run(storage.buildah("add", container, str(base), "/"), step=current)
            run(storage.buildah("commit", "--rm", "--timestamp", str(EPOCH), container, BASE_NAME), step=current)
            run(storage.buildah("tag", BASE_NAME, of_this_recipe), step=current)
        previous = storage.find(f"localhost/{IMAGE_NAME}")
        # HEALTHCHECK exists only in Docker's own image format.
        options = ("--format", "docker", "--isolation", "chroot", "--network", "host", "--pull-never", "--layers",
                   "--timestamp", str(EPOCH))
        run(storage.buildah("build", *options, *lent, "--tag", IMAGE_NAME, str(context)), step=current)
        if previous not in ("", storage.find(f"localhost/{IMAGE_NAME}")):
            run(storage.buildah("rmi", previous), step=current)  # with the layers that only it had
    with step("Writing the image to a file") as current:
        run(storage.buildah("push", IMAGE_NAME, f"docker-archive:{archive}:{IMAGE_NAME}"), step=current)


@contextmanager
def lent_settings() -> Iterator[list[str]]:
    """Give the options that lend a build this machine's certificates and package index, as pip is set up here.

    They come as root's home directory, which every image has, so that not even an empty mount point stays behind.
    """
    with tempfile.TemporaryDirectory() as home:
        settings = Path(home) / ".pip/pip.conf"
        settings.parent.mkdir()
        settings.write_text(pip_settings(capture((sys.executable, "-m", "pip", "config", "list"))))
        if CERTIFICATES.exists():
            shutil.copy(CERTIFICATES, home)
        yield ["--volume", f"{home}:{LENT_HOME}"]


def pip_settings(listed: str) -> str:
    """Return a pip.conf with the lent certificates and the index of what `pip config list` printed.

    Its other settings may be paths of this machine, which mean nothing inside the build.
    """
    kept = {"cert": f"{LENT_HOME}/{CERTIFICATES.name}"} if CERTIFICATES.exists() else {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        if (option := name.rpartition(".")[2]) in ("index-url", "trusted-host"):
            kept[option] = value.strip("'")
    return "[global]\n" + "".join(f"{name} = {value}\n" for name, value in kept.items())
