"""`restore` looks at an archive before the appliance is stopped, and where there is no state to be overwritten."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance import backup
from deploy import helper, sdk, state
from deploy.errors import DeployError


class _Helper:
    """A container as far as helpers go: the files of its own and what is mounted; its command runs in this process."""

    def __init__(self, root: Path, command: list[str], volumes: dict[str, dict[str, str]], did: list[str]) -> None:
        self.root, self.did, self.command, self.log = root, did, command[3:], ""
        (root / "mnt").mkdir(parents=True)
        inside = root / helper.STATE.lstrip("/")
        inside.parent.mkdir(parents=True)
        inside.mkdir()
        for volume in volumes:
            inside.rmdir()
            inside.symlink_to(volume)
        self.state = inside

    def put_archive(self, path: str, data: Any) -> None:
        with tarfile.open(fileobj=data, mode="r|*") as tar:  # as the engine does: whatever it is, below the root
            tar.extractall(  # noqa: S202
                self.root / path.lstrip("/"),
                filter=lambda member, _path: member.replace(name=member.name.lstrip("/"), deep=False),
            )

    def start(self) -> None:
        self.did.append(f"{self.command[0]} {'with' if self.state.is_symlink() else 'without'} state")

    def wait(self, **_timeout: float) -> dict[str, int]:
        what, where = self.command
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOLDFAST_STATE_DIR", str(self.state))
            said = io.StringIO()
            patch.setattr("sys.stderr", said)
            status = backup.main([what, f"{self.root}{where}"])
            self.log = said.getvalue()
        return {"StatusCode": status}

    def logs(self) -> bytes:
        return self.log.encode()

    def remove(self, *, v: bool = False, **_force: bool) -> None:
        self.did.append(f"removed {'with' if v else 'without'} volume")
        shutil.rmtree(self.root)


class _Engine:
    """An engine with the appliance's container, which runs with a volume that is a directory here."""

    status = "running"

    def __init__(self, work: Path) -> None:
        self.work, self.did = work, list[str]()
        self.attrs = {"Image": "sha256:0", "Mounts": [{"Destination": helper.STATE, "Name": str(work / "volume")}]}
        self.containers = self

    def create(
        self, _image: str, command: list[str], volumes: dict[str, dict[str, str]], **_other: object
    ) -> _Helper:
        return _Helper(self.work / f"helper-{len(self.did)}", command, volumes, self.did)

    def stop(self, **_timeout: int) -> None:
        self.did.append("stopped")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Engine:
    made = _Engine(tmp_path)
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/api-token").write_text("old")
    backup.make(tmp_path / "volume", tmp_path / "backup")
    (tmp_path / "volume/api-token").write_text("now")

    @contextmanager
    def connected() -> Iterator[_Engine]:
        yield made

    monkeypatch.setattr(sdk, "engine", connected)
    monkeypatch.setattr(sdk, "get", lambda _client: made)
    monkeypatch.setattr(state, "start_and_wait", lambda *_given: made.did.append("started"))
    return made


def _token(engine: _Engine) -> str:
    return (engine.work / "volume/api-token").read_text()


def _tar(work: Path, source: Path, name: str) -> Path:
    with tarfile.open(work / "archive.tar", "w") as tar:
        tar.add(source, name)
    return work / "archive.tar"


def test_a_backup_is_verified_without_the_state_and_then_restored(engine: _Engine) -> None:
    assert state.restore(_tar(engine.work, engine.work / "backup", "backup")) == 0
    assert _token(engine) == "old"
    assert engine.did == ["verify without state", "removed with volume", "stopped", "restore with state", "started",
                          "removed without volume"]


def test_a_copy_of_the_state_by_other_means_overwrites_nothing(engine: _Engine) -> None:
    other = engine.work / "other"
    other.mkdir()
    (other / "api-token").write_text("other")
    with pytest.raises(DeployError, match=r"no backup of Holdfast: 'var/lib/holdfast' is in it"):
        state.restore(_tar(engine.work, other, helper.STATE))
    assert (_token(engine), engine.did) == ("now", [])


def test_the_appliance_is_not_stopped_for_a_backup_that_is_not_sound(engine: _Engine) -> None:
    (engine.work / "backup/state/api-token").write_text("bad")
    with pytest.raises(DeployError, match="is not what was written"):
        state.restore(_tar(engine.work, engine.work / "backup", "backup"))
    assert (_token(engine), engine.did) == ("now", ["verify without state", "removed with volume"])


@pytest.mark.parametrize(("name", "kind"), [
    ("/backup/state/api-token", tarfile.REGTYPE),
    ("backup/../../var/lib/holdfast/api-token", tarfile.REGTYPE),
    ("var/lib/holdfast/api-token", tarfile.REGTYPE),
    ("backup/state", tarfile.SYMTYPE),
    ("backup/state/api-token", tarfile.LNKTYPE),
    ("backup/state/api-token", tarfile.CHRTYPE),
    ("backup/state/api-token", tarfile.FIFOTYPE),
])
def test_an_archive_that_could_write_elsewhere_is_not_unpacked(engine: _Engine, name: str, kind: bytes) -> None:
    with tarfile.open(_tar(engine.work, engine.work / "backup", "backup"), "a") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, helper.STATE
        tar.addfile(member)
    with pytest.raises(DeployError, match="no backup of Holdfast"):
        state.restore(engine.work / "archive.tar")
    assert (_token(engine), engine.did) == ("now", [])


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_what_is_no_archive_is_told_of_in_a_sentence(engine: _Engine, content: bytes) -> None:
    (engine.work / "archive.tar").write_bytes(content)
    with pytest.raises(DeployError, match="cannot be read as a backup"):
        state.restore(engine.work / "archive.tar")
    with pytest.raises(DeployError, match="is not a file"):
        state.restore(engine.work / "none.tar")
    assert engine.did == []
