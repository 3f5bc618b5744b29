"""What is lent to an image build, and the archives that leave out what an engine has."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from deploy import image
from deploy.archive import layers, without_layers
from deploy.image import pip_settings
from deploy.paths import CHECKOUT

LISTED = """:env:.disable-pip-version-check='1'
global.cert='/etc/ssl/certs/ca-certificates.crt'
global.find-links='/opt/wheels'
global.index-url='https://index.example/simple'
install.trusted-host='index.example'
"""


def test_a_build_is_lent_the_index_and_no_path_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(image, "CERTIFICATES", tmp_path / "none")
    assert pip_settings(LISTED) == "[global]\nindex-url = https://index.example/simple\ntrusted-host = index.example\n"
    (tmp_path / "all.crt").touch()
    monkeypatch.setattr(image, "CERTIFICATES", tmp_path / "all.crt")
    assert pip_settings("") == "[global]\ncert = /root/all.crt\n"


def _archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_without_known_layers_keeps_all_else(tmp_path: Path) -> None:
    manifest = json.dumps([{"Config": "c.json", "Layers": ["old.tar", "new.tar"]}]).encode()
    files = {"old.tar": b"old" * 1000, "new.tar": b"new", "c.json": b"{}", "manifest.json": manifest}
    whole = _archive(tmp_path / "whole.tar", files)
    assert layers(whole) == ["old.tar", "new.tar"]
    without_layers(whole, ["old.tar"], tmp_path / "less.tar")
    with tarfile.open(tmp_path / "less.tar") as less:
        contents = {member.name: member_file.read() for member in less if (member_file := less.extractfile(member))}
    assert contents == {name: content for name, content in files.items() if name != "old.tar"}


def test_the_image_is_of_any_architecture_by_construction() -> None:
    """Nothing that goes into it names one, and the numbers of system calls are those that all architectures share."""
    files = [path for name in image.CONTEXT for path in sorted((CHECKOUT / name).rglob("*")) or [CHECKOUT / name]]
    texts = {path: path.read_text() for path in files if path.is_file() and path.suffix in ("", ".py", ".pyx", ".toml")}
    assert CHECKOUT / "Dockerfile" in texts
    assert not [path for path, text in texts.items() if re.search(r"x86_64|amd64|arm64|aarch64", text)]
    numbers = [int(each) for text in texts.values() for each in re.findall(r"^_SYS_\w+ = (\d+)", text, re.MULTILINE)]
    assert numbers
    assert min(numbers) >= 424  # from there on Linux has one table for all
