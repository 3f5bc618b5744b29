"""The command line `holdfast` against the real application over a real socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from api.app import create_app
from api.cli import show
from api.cli.__main__ import main
from api.control_client import ControlClient
from appliance.checks.outcomes import Outcome
from appliance.control.checks import CheckReply, CheckReportReply, GetCheck
from appliance.control.messages import Reply, Request
from appliance.model.handles import HandleCheckReport
from tests.support.played_supervisor import CHECK, Supervisor
from tests.unit.test_api import TOKEN, supervisor

__all__ = ["supervisor"]  # a fixture


@pytest.fixture
def url(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HOLDFAST_TOKEN", TOKEN)
    listener = socket.create_server(("127.0.0.1", 0))
    app = create_app(ControlClient(supervisor.path, timeout=5), TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        supervisor.shares["a"] = None  # type: ignore[assignment]
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def test_drift_is_status_1_and_names_the_file(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", url, "check", "a"]) == 1
    said = capsys.readouterr().out
    assert "3 handles checked in 0.5 s" in said
    assert "node-reused  d/f   opens inode 8" in said


def test_a_good_check_is_status_0_after_its_progress(
    url: str, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = CHECK.model_copy(update={"state": "running", "done": 1, "counts": {}})
    good = CHECK.model_copy(update={"counts": {Outcome.SAME: 3}})
    states = [running, running, good]

    def checks(request: Request, played: object = supervisor.checks) -> Reply:
        if isinstance(request, GetCheck):
            return CheckReportReply(report=HandleCheckReport(**dict(states.pop(0)), findings=()))
        return played(request).model_copy(update={"check": running})  # type: ignore[operator, no-any-return]

    monkeypatch.setattr(supervisor, "checks", checks)
    assert main(["--url", url, "check", "a", "--mode", "evict"]) == 0
    assert states == []
    assert "drift       0" in capsys.readouterr().out


def test_a_check_that_fails_or_gives_no_answer_is_status_2(
    url: str, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for change in ({"state": "failed", "reason": "it hangs"}, {"counts": {Outcome.UNANSWERED: 1}}):
        ended = CHECK.model_copy(update=change)
        monkeypatch.setattr(
            supervisor,
            "checks",
            lambda request, ended=ended: (
                CheckReportReply(report=HandleCheckReport(**dict(ended), findings=()))
                if isinstance(request, GetCheck)
                else CheckReply(check=ended)
            ),
        )
        assert main(["--url", url, "check", "a"]) == 2
    assert "it hangs" in capsys.readouterr().err


def test_what_cannot_be_done_is_status_2(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--url", url, "check", "nothing"]) == 2
    assert "no nothing" in capsys.readouterr().err
    assert main(["--url", url, "decode", "zz"]) == 2
    assert main(["--url", "http://127.0.0.1:1", "check", "a"]) == 2
    monkeypatch.setenv("HOLDFAST_TOKEN", "wrong")
    assert main(["--url", url, "check", "a"]) == 2
    assert main(["--url", url, "--token-file", str(tmp_path / "none"), "check", "a"]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["check"])
    assert caught.value.code == 2


def test_a_handle_that_opens_nothing_is_status_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--url", url, "decode", "01000681", "00"]) == 1
    assert "verdict  freed-inode" in capsys.readouterr().out


def test_the_bar() -> None:
    assert show.bar(0, 0) == f"[{'.' * 40}] 0/?"
    assert show.bar(20, 40) == f"[{'#' * 20}{'.' * 20}] 20/40"
