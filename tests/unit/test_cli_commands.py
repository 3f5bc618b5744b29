"""Every command of `holdfast`, against the real application over real sockets; the supervisor is played."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from api.cli import parser, show
from api.cli.__main__ import main
from api.cli.sharing import client_of
from api.control_client import ControlClient
from api.peer import PeerProtocol
from appliance.control.peer import Peer
from appliance.state.events import Event
from appliance.state.tokens import PREFIX
from tests.support.played_supervisor import Supervisor
from tests.unit.test_api import TOKEN, supervisor
from tests.unit.test_api_access import served

__all__ = ["supervisor"]  # a fixture


@pytest.fixture
def run(supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The first arguments of each command: over the unix socket, as root in the container."""
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    real = PeerProtocol.peer
    monkeypatch.setattr(PeerProtocol, "peer", lambda self: Peer(real(self).pid, 0, 0))
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "api.sock"))
        listener.listen()
        with served(app, listener):
            yield ["--url", f"unix:{tmp_path}/api.sock"]


def test_a_share_from_its_making_to_its_end(
    run: list[str], supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    clients = ["--client", "192.0.2.0/24:rw,squash=none,secure_ports=false", "--client", "desk.example:ro"]
    assert main([*run, "share", "add", "a", "/srv/a", *clients, "--workers", "3"]) == 0
    assert "192.0.2.0/24:rw desk.example:ro" in capsys.readouterr().out
    made = supervisor.shares["a"]
    assert (made.source, made.workers, made.clients[0].squash, made.clients[0].secure_ports) == (
        *("/srv/a", 3, "none", False),
    )
    assert main([*run, "share", "edit", "a", "--disable", "--set", "workers=5"]) == 0
    assert (supervisor.shares["a"].enabled, supervisor.shares["a"].workers) == (False, 5)
    assert supervisor.shares["a"].clients == made.clients
    capsys.readouterr()
    assert main([*run, "--json", "share", "list"]) == 0
    assert [share["name"] for share in json.loads(capsys.readouterr().out)["shares"]] == ["a"]
    assert main([*run, "share", "list"]) == 0
    assert main([*run, "share", "show", "a"]) == 0
    assert "/srv/a" in capsys.readouterr().out
    assert main([*run, "share", "remove", "a"]) == 0
    assert supervisor.shares == {}
    assert main([*run, "share", "remove", "a"]) == 2
    assert main([*run, "share", "add", "a", "/srv/a", "--client", "192.0.2.0/24:root"]) == 2
    assert "root" in capsys.readouterr().err
    assert main([*run, "share", "show", "../tokens"]) == 2  # a name is a name, not a path
    assert set(supervisor.asked_by) == {"uid 0"}


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("192.0.2.0/24", {"network": "192.0.2.0/24"}),
        ("192.0.2.7:rw", {"network": "192.0.2.7/32", "access": "rw"}),
        ("2001:db8::/32", {"network": "2001:db8::/32"}),
        ("[2001:db8::1]:ro,squash=all", {"network": "2001:db8::1/128", "access": "ro", "squash": "all"}),
        ("desk:rw,anonuid=7,secure-ports=true", {"host": "desk", "access": "rw", "anonuid": 7, "secure_ports": True}),
        ("@lab:rw", {"netgroup": "lab", "access": "rw"}),
        ("*.example.org", {"wildcard": "*.example.org"}),
    ],
)
def test_a_client_as_people_write_it(text: str, client: dict[str, object]) -> None:
    assert client_of(text) == client


@pytest.mark.parametrize("text", ["a:root", "[2001:db8::1", "[::1]rw"])
def test_a_client_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"option|brackets"):
        client_of(text)


def test_status_tells_what_is_wrong_and_what_to_do(
    run: list[str], supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*run, "status"]) == 1  # the played one has a finding
    said = capsys.readouterr().out
    assert "critical: a: m (since 1970-01-01 00:00:01Z)\n  h" in said
    assert main([*run, "--json", "status"]) == 1
    assert set(json.loads(capsys.readouterr().out)) == {"status", "findings", "shares"}


def test_clients_are_listed_shown_and_ended(run: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*run, "clients"]) == 0
    assert "Linux NFSv4.2 desk" in capsys.readouterr().out
    assert main([*run, "clients", "1"]) == 0
    assert "d/f" in capsys.readouterr().out
    assert main([*run, "clients", "1", "--expire"]) == 0
    assert main([*run, "clients", "2"]) == 2
    assert main([*run, "clients", "--expire"]) == 2
    assert main([*run, "clients", "--share", "nothing"]) == 2


def test_events_are_listed_and_followed_until_the_stream_ends(
    run: list[str], supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*run, "events", "--kind", "handle-drift"]) == 0
    assert capsys.readouterr().out == "1970-01-01 00:00:02Z  handle-drift  a  m\n"
    supervisor.stream = [Event(id=9, time=3.0, kind="k", share=None, message="a\nb\x1b[2J", by="token x", data={})]
    answer = supervisor.wait
    told: list[object] = []

    async def wait(request: object) -> object:
        if told:
            raise RuntimeError("the supervisor ends")
        if getattr(request, "after", None) is not None:
            told.append(request)
            supervisor.stream = [supervisor.stream[0].model_copy(update={"id": 10})]
        return await answer(request)  # type: ignore[arg-type]

    supervisor.wait = wait  # type: ignore[assignment, method-assign]
    assert main([*run, "events", "--follow", "--limit", "1"]) == 2
    caught = capsys.readouterr()
    assert "stream of events has ended" in caught.err
    # No control character of a file's name reaches the terminal.
    assert "1970-01-01 00:00:03Z  k  -  a\\nb\\x1b[2J (token x)\n" in caught.out


def test_tokens_are_made_listed_and_revoked(
    run: list[str], supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*run, "token", "make", "backup", "--role", "operate"]) == 0
    assert capsys.readouterr().out == f"{PREFIX}backup\n"
    assert main([*run, "token", "list"]) == 0
    said = capsys.readouterr().out
    assert "backup  operate" in said
    assert PREFIX not in said
    assert main([*run, "token", "revoke", "backup"]) == 0
    assert supervisor.tokens == {}
    assert main([*run, "token", "revoke", "backup"]) == 2


def test_a_configuration_goes_out_and_in(
    run: list[str], supervisor: Supervisor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*run, "share", "add", "a", "/srv/a", "--client", "192.0.2.0/24"])
    capsys.readouterr()
    assert main([*run, "config", "export"]) == 0
    document = capsys.readouterr().out
    assert "source: /srv/a" in document
    (tmp_path / "shares.yaml").write_text(document)
    assert main([*run, "config", "apply", "--dry-run", str(tmp_path / "shares.yaml")]) == 0
    assert main([*run, "config", "apply", str(tmp_path / "shares.yaml")]) == 0
    assert list(supervisor.shares) == ["a"]
    assert main([*run, "--json", "config", "export"]) == 0
    assert main([*run, "config", "apply", str(tmp_path / "none")]) == 2
    (tmp_path / "shares.yaml").write_text("shares: [")
    assert main([*run, "config", "apply", str(tmp_path / "shares.yaml")]) == 2


def test_over_tcp_a_token_is_needed(
    run: list[str], supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with served(create_app(ControlClient(supervisor.path, timeout=10), TOKEN), None) as port:
        url = ["--url", f"http://127.0.0.1:{port}"]
        monkeypatch.setenv("HOLDFAST_TOKEN_FILE", str(tmp_path / "none"))
        assert main([*url, "share", "list"]) == 2
        monkeypatch.setenv("HOLDFAST_TOKEN", TOKEN)
        assert main([*url, "share", "list"]) == 0
    for nowhere in ("unix:/nowhere", "ftp://a", "http://", "http://a:b"):
        assert main(["--url", nowhere, "share", "list"]) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    commands = ("share", "status", "clients", "events", "config", "token", "check", "decode")
    assert all(command in script for command in commands)
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_program_starts() -> None:
    done = subprocess.run([sys.executable, "-m", "api.cli", "--help"], capture_output=True, text=True, check=True)
    assert "holdfast" in done.stdout


def test_tables_hold_no_control_characters() -> None:
    assert show.table([("a\x07", None), ("é", 1)]) == "a\\x07\né      1"
    assert parser.make().prog == "holdfast"
