"""What is lent to an image build, and the archives that leave out what an engine has."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from deploy import image
from deploy.archive import common_layers, layers, without_layers
from deploy.image import pip_settings
from deploy.paths import CHECKOUT
from deploy.reproducible import configuration, differences, parts

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


def test_a_layer_above_one_that_differs_is_not_known() -> None:
    assert common_layers(["base", "code", "more"], ["base", "code", "more"]) == ["base", "code", "more"]
    assert common_layers(["base", "code", "more"], ["base", "other", "more"]) == ["base"]
    assert common_layers(["base"], ["base", "code"]) == ["base"]
    assert common_layers(["base"], ["other"]) == []


def _image(path: Path, *layers: dict[str, bytes]) -> Path:
    inner = {f"{number}.tar": _archive(path.parent / "inner", layer).read_bytes()
             for number, layer in enumerate(layers)}
    manifest = json.dumps([{"Config": "c.json", "Layers": list(inner)}]).encode()
    return _archive(path, {**inner, "c.json": b"{}", "manifest.json": manifest})


def test_two_images_that_differ_are_told_apart_by_file(tmp_path: Path) -> None:
    first = _image(tmp_path / "first", {"a": b"1", "b": b"2"}, {"c": b"3"})
    assert differences(first, _image(tmp_path / "same", {"a": b"1", "b": b"2"}, {"c": b"3"})) == []
    assert len(set(parts(first).values())) == 3
    other = _image(tmp_path / "other", {"a": b"1", "b": b"!", "new": b""}, {"c": b"3"})
    assert differences(first, other) == ["layer 1: b", "layer 1: new"]
    more = _image(tmp_path / "more", {"a": b"1", "b": b"2"}, {"c": b"3"}, {"d": b"4"})
    assert differences(first, more) == ["layer 3: d"]


def test_of_a_configuration_what_a_container_gets_is_compared() -> None:
    one = {"container": "1", "parent": "2", "config": {"Hostname": "h", "Cmd": ["a"]}, "history": [
        {"comment": "FROM 3", "created_by": "RUN"}]}
    other = {"container": "7", "parent": "8", "config": {"Hostname": "9", "Cmd": ["a"]}, "history": [
        {"comment": "FROM 0", "created_by": "RUN"}]}
    assert configuration(json.dumps(one).encode()) == configuration(json.dumps(other).encode())
    other["config"] = {"Cmd": ["b"]}
    assert configuration(json.dumps(one).encode()) != configuration(json.dumps(other).encode())


def test_all_times_of_an_image_are_those_of_the_dockerfile() -> None:
    text = (CHECKOUT / "Dockerfile").read_text()
    assert f"\nARG SOURCE_DATE_EPOCH={image.EPOCH}\n" in text
    # Bytecode would else be checked against times that the image has not, and be made anew by each process.
    assert all("--invalidation-mode unchecked-hash" in line for line in re.findall(r"compileall.*", text))


def test_the_image_is_of_any_architecture_by_construction() -> None:
    """Nothing that goes into it names one, and the numbers of system calls are those that all architectures share."""
    files = [path for name in image.CONTEXT for path in sorted((CHECKOUT / name).rglob("*")) or [CHECKOUT / name]]
    texts = {path: path.read_text() for path in files if path.is_file() and path.suffix in ("", ".py", ".pyx", ".toml")}
    assert CHECKOUT / "Dockerfile" in texts
    assert not [path for path, text in texts.items() if re.search(r"x86_64|amd64|arm64|aarch64", text)]
    numbers = [int(each) for text in texts.values() for each in re.findall(r"^_SYS_\w+ = (\d+)", text, re.MULTILINE)]
    assert numbers
    assert min(numbers) >= 424  # from there on Linux has one table for all
