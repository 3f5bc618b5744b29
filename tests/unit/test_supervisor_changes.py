"""Changes of shares: rehearsed, guarded by revisions, many at once; and who owns what, REST or the file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from appliance import config_text
from appliance.control.config import (
    ApplyConfig,
    ConfigFileReply,
    ConfigReply,
    FileStatus,
    GetConfig,
    GetConfigFile,
    PreviewReply,
)
from appliance.control.messages import CreateShare, DeleteShare, Done, GetShare, Reply, RotateKey, UpdateShare
from appliance.errors import RequestError
from appliance.model import Config, ShareChanges
from appliance.model.previews import Preview
from appliance.state.database import Database
from appliance.state.events import EventFilter, Events
from appliance.supervisor import shares_file
from appliance.supervisor.configuration import Configuration
from appliance.supervisor.shares_file import SharesFile
from tests.unit.test_supervisor_requests import Appliance, running, view


class Managed:
    """An appliance with a file of shares."""

    def __init__(self, appliance: Appliance, directory: Path) -> None:
        self.appliance = appliance
        self.path = directory / "shares.yaml"
        settings = appliance.settings.model_copy(update={"config_file": self.path})
        self.database = Database(appliance.settings.database)
        self.events = Events(self.database)
        self.file = SharesFile(settings, appliance.changes, self.events)
        self.configuration = Configuration(appliance.changes, self.file)

    async def write(self, *names: str, owns: str = "listed") -> FileStatus:
        shares = tuple(self.appliance.share(name) for name in names)
        text = f"owns: {owns}\n{config_text.render(Config(shares=shares))}"
        return await self.write_text(text)

    async def write_text(self, text: str) -> FileStatus:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)
        await self.file.look()
        return self.file.status

    async def config(self) -> ConfigReply:
        reply = await self.configuration.answer(GetConfig())
        assert isinstance(reply, ConfigReply)
        return reply

    def owners(self) -> dict[str, str]:
        return {record.share.name: record.owner for record in self.appliance.store.shares()}


Act = Callable[[Callable[[Managed], Awaitable[None]]], None]


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Act:
    async def run(body: Callable[[Managed], Awaitable[None]]) -> None:
        async with running(tmp_path, monkeypatch) as appliance:
            for name in "cd":
                (appliance.sources / name).mkdir()
            managed = Managed(appliance, tmp_path)
            try:
                await body(managed)
            finally:
                managed.database.close()

    return lambda body: asyncio.run(run(body))


async def refused(asked: Awaitable[Reply]) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await asked
    return caught.value


def preview(reply: Reply) -> Preview:
    assert isinstance(reply, PreviewReply)
    return reply.preview


def test_a_rehearsal_tells_the_lines_and_changes_nothing(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        made = await appliance.create("a")
        before = appliance.snapshot()
        answer = appliance.requests.answer
        changes = ShareChanges.model_validate({"sync": False, "nfs_path": "/media/a"})
        told = preview(await answer(UpdateShare(name="a", changes=changes, dry_run=True)))
        (only,) = told.shares
        assert (only.name, only.change, only.fields) == ("a", "change", ("sync", "nfs_path"))
        assert told.steps == ("export", "unmount a", "open a", "export")
        assert [line.split()[0] for line in told.exports_removed] == [f"{appliance.settings.exports_dir}/a"]
        assert [line.split()[0] for line in told.exports_added] == [f"{appliance.settings.exports_dir}/media/a"]
        assert "async" in told.exports_added[0]
        assert str(made.fsid) in told.exports_added[0]
        told = preview(await answer(CreateShare(share=appliance.share("b"), dry_run=True)))
        assert told.shares[0].change == "add"
        assert "fsid=00000000-0000-0000-0000-000000000000" in told.exports_added[-1]
        told = preview(await answer(DeleteShare(name="a", dry_run=True)))
        assert told.steps[:2] == ("export", "unmount a")
        assert told.exports_added == ()
        assert appliance.snapshot() == before

    act(body)


def test_a_rehearsal_is_refused_as_the_change_would_be(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        await appliance.create("a")
        share = appliance.share("b", str(appliance.sources / "a/inner"))
        error = await refused(appliance.requests.answer(CreateShare(share=share, dry_run=True)))
        assert error.code == "source-overlaps"

    act(body)


def test_a_change_to_another_revision_is_refused(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        old = (await appliance.create("a")).revision
        changes = ShareChanges(comment="new")
        new = view(await appliance.requests.answer(UpdateShare(name="a", changes=changes, match=(old,)))).revision
        before = appliance.snapshot()
        for request in (
            UpdateShare(name="a", changes=changes, match=(old,)),
            DeleteShare(name="a", match=(old,)),
            RotateKey(name="a", match=()),
        ):
            assert (await refused(appliance.requests.answer(request))).code == "revision-changed"
        assert appliance.snapshot() == before
        assert await appliance.requests.answer(DeleteShare(name="a", match=(old, new))) == Done()

    act(body)


def test_two_changes_to_one_revision_never_both_succeed(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        revision = (await appliance.create("a")).revision
        asked = [
            appliance.requests.answer(
                UpdateShare(name="a", changes=ShareChanges(comment=str(number)), match=(revision,))
            )
            for number in range(10)
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 1

    act(body)


def test_the_whole_configuration_is_applied_in_one_step_or_not_at_all(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        await appliance.create("a")
        await appliance.create("b")
        whole = await managed.config()
        assert await managed.configuration.answer(ApplyConfig(config=whole.config)) == Done()
        assert await managed.config() == whole
        log = list(appliance.path.log)
        wanted = Config(shares=(appliance.share("a", comment="kept"), appliance.share("c")))
        stale = await refused(managed.configuration.answer(ApplyConfig(config=wanted, match=("old",))))
        assert stale.code == "revision-changed"
        bad = Config(shares=(*wanted.shares, appliance.share("e", str(appliance.sources / "c"))))
        before = appliance.snapshot()
        assert (await refused(managed.configuration.answer(ApplyConfig(config=bad)))).code == "source-overlaps"
        assert appliance.snapshot() == before
        told = preview(await managed.configuration.answer(ApplyConfig(config=wanted, dry_run=True)))
        assert [(each.name, each.change) for each in told.shares] == [("a", "change"), ("b", "remove"), ("c", "add")]
        assert appliance.snapshot() == before
        assert await managed.configuration.answer(ApplyConfig(config=wanted, match=(whole.revision,))) == Done()
        assert managed.owners() == {"a": "api", "c": "api"}
        assert appliance.path.log[len(log) :] == ["unmount", "close", "mount"], "a was not touched"

    act(body)


def test_the_file_is_applied_and_owns_what_it_lists(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        await appliance.create("a")
        status = await managed.write("b", "c")
        assert (status.state, status.shares) == ("applied", ("b", "c"))
        assert managed.owners() == {"a": "api", "b": "file", "c": "file"}
        assert view(await appliance.requests.answer(GetShare(name="b"))).state.status == "ok"
        for request in (
            UpdateShare(name="b", changes=ShareChanges(comment="mine")),
            UpdateShare(name="b", changes=ShareChanges(comment="mine"), dry_run=True),
            DeleteShare(name="b"),
        ):
            error = await refused(appliance.requests.answer(request))
            assert error.code == "owned-by-file"
            assert str(managed.appliance.settings.config_file) in error.message
        view(await appliance.requests.answer(RotateKey(name="b")))  # no part of the file
        assert (await appliance.change("a", comment="mine")).comment == "mine"
        whole = await managed.config()
        assert await managed.configuration.answer(ApplyConfig(config=whole.config)) == Done()
        other = Config(shares=tuple(share.model_copy(update={"comment": "x"}) for share in whole.config.shares))
        assert (await refused(managed.configuration.answer(ApplyConfig(config=other)))).code == "owned-by-file"
        assert await managed.configuration.answer(ApplyConfig(config=Config(shares=()))) == Done()
        assert managed.owners() == {"b": "file", "c": "file"}

    act(body)


def test_a_change_of_the_file_touches_what_differs_and_nothing_else(act: Act) -> None:
    async def body(managed: Managed) -> None:
        await managed.write("a", "b")
        log = managed.appliance.path.log
        seen = len(log)
        await managed.write("a", "b")
        assert log[seen:] == []
        await managed.write("a", "c")
        assert log[seen:] == ["unmount", "close", "mount"]
        assert managed.owners() == {"a": "file", "c": "file"}
        kinds = [event.kind for event in managed.events.newest(limit=10)]
        assert kinds == ["config-file-applied", "config-file-applied"]

    act(body)


def test_what_rest_made_becomes_the_files_when_it_is_listed(act: Act) -> None:
    async def body(managed: Managed) -> None:
        made = await managed.appliance.create("a")
        await managed.write_text(config_text.render((await managed.config()).config))
        assert managed.owners() == {"a": "file"}
        assert view(await managed.appliance.requests.answer(GetShare(name="a"))).fsid == made.fsid
        assert managed.appliance.path.log.count("mount") == 1

    act(body)


def test_a_file_that_owns_all_is_the_only_source_of_shares(act: Act) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        await appliance.create("a")
        await managed.write("b", owns="all")
        assert managed.owners() == {"b": "file"}
        request = CreateShare(share=appliance.share("a"))
        assert (await refused(appliance.requests.answer(request))).code == "owned-by-file"
        await managed.write("b")
        assert (await appliance.create("a")).owner == "api"

    act(body)


@pytest.mark.parametrize("bad", [
    "shares: [", "shares:\n- {name: a, source: relative}", "shares: !!bool maybe", '"\\uD800": 1\n"\\uD800": 2',
    "missing", "directory",
])  # fmt: skip
def test_a_file_that_is_refused_changes_nothing_and_says_why(act: Act, bad: str) -> None:
    async def body(managed: Managed) -> None:
        appliance = managed.appliance
        await managed.write("a", "b")
        before = appliance.snapshot()
        if bad == "directory":
            managed.path.unlink()
            managed.path.mkdir()
            await managed.file.look()
        elif bad == "missing":
            appliance.path.missing = {appliance.sources / "c"}
            await managed.write("c", "d")
        else:
            await managed.write_text(bad)
        status = managed.file.status
        assert (status.state, status.shares) == ("refused", ("a", "b"))
        assert status.reason
        assert appliance.snapshot() == before
        assert managed.events.newest(EventFilter(kind="config-file-refused"))[0].message == status.reason
        assert (await refused(appliance.requests.answer(DeleteShare(name="a")))).code == "owned-by-file"
        if bad == "directory":
            managed.path.rmdir()
        assert (await managed.write("a")).state == "applied"

    act(body)


def test_a_file_that_brings_out_a_defect_is_refused(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    async def defect(*_: object) -> None:
        raise KeyError("defect")

    async def body(managed: Managed) -> None:
        await managed.write("a")
        with monkeypatch.context() as patch:
            patch.setattr(managed.appliance.changes, "make", defect)
            status = await managed.write("a", "b")
        assert (status.state, status.shares) == ("refused", ("a",))
        assert "KeyError('defect')" in (status.reason or "")
        assert (await managed.write("a", "b")).state == "applied"

    act(body)


def test_a_refused_file_is_tried_again_by_itself(act: Act, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares_file, "_AGAIN_SECONDS", 0.0)

    async def body(managed: Managed) -> None:
        managed.appliance.path.missing = {managed.appliance.sources / "a"}
        assert (await managed.write("a")).state == "refused"
        managed.appliance.path.missing = set()
        await managed.file.look()
        assert managed.file.status.state == "applied"
        assert len(managed.events.newest(limit=10)) == 2

    act(body)


def test_a_file_that_is_gone_ends_no_share(act: Act) -> None:
    async def body(managed: Managed) -> None:
        await managed.write("a")
        managed.path.unlink()
        await managed.file.look()
        reply = await managed.configuration.answer(GetConfigFile())
        assert isinstance(reply, ConfigFileReply)
        assert (reply.status.state, reply.status.shares) == ("absent", ("a",))
        assert managed.owners() == {"a": "file"}
        assert (await refused(managed.appliance.requests.answer(DeleteShare(name="a")))).code == "owned-by-file"

    act(body)
