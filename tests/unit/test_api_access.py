"""Who is let in: tokens and their roles, guesses, the unix socket, TLS, and what is open."""

from __future__ import annotations

import asyncio
import http.client
import logging
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import healthcheck, serving
from api.app import create_app
from api.authenticator import Openness
from api.control_client import ControlClient
from api.failures import Failures
from api.peer import PeerProtocol
from api.serving import Certificate, serve
from appliance.control.peer import Peer, credentials
from appliance.errors import SettingsError
from appliance.state.tokens import PREFIX, Role
from tests.support.played_supervisor import Supervisor
from tests.unit.test_api import ROUTES, SHARE, TOKEN, anonymous, client, error, supervisor

__all__ = ["anonymous", "client", "supervisor"]  # fixtures

# What each role may do beyond the one before it.
OPERATE = {
    ("DELETE", "/v1/clients/1"),
    ("POST", "/v1/shares/a/handle-checks"),
    ("DELETE", "/v1/shares/a/handle-checks/1"),
}
ADMIN = {
    ("POST", "/v1/shares"),
    ("PATCH", "/v1/shares/a"),
    ("DELETE", "/v1/shares/a"),
    ("POST", "/v1/shares/a/rotate-key"),
    ("POST", "/v1/shares/a/accept-source"),
    ("PUT", "/v1/config"),
    ("PATCH", "/v1/server"),
    ("GET", "/v1/tokens"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens/a"),
}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(("role", "may"), [("read", set()), ("operate", OPERATE), ("admin", OPERATE | ADMIN)])
def test_a_role_may_what_it_may_and_no_more(
    anonymous: TestClient, supervisor: Supervisor, role: Role, may: set[tuple[str, str]]
) -> None:
    supervisor.tokens["t"] = (f"{PREFIX}t", role)
    for method, path in sorted(set(ROUTES) - {("GET", "/v1/events/stream")}):  # which does not end
        answer = anonymous.request(method, path, headers=bearer(f"{PREFIX}t"), json={})
        if (method, path) in OPERATE | ADMIN - may and (method, path) not in may:
            refused = error(answer, 403)
            assert (refused["code"], refused["hint"], refused["field"]) == ("forbidden", "", None), path
        else:
            assert answer.status_code not in (401, 403), path


def test_a_token_from_its_making_to_its_end(client: TestClient, supervisor: Supervisor) -> None:
    made = client.post("/v1/tokens", json={"name": "backup", "role": "admin"})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    token = made.json()["token"]
    assert client.get("/v1/shares", headers=bearer(token)).status_code == 200
    listed = client.get("/v1/tokens")
    assert [each["name"] for each in listed.json()["tokens"]] == ["backup"]
    assert token not in listed.text
    client.post("/v1/shares", json=SHARE, headers=bearer(token))
    assert supervisor.asked_by[-1] == "token backup"
    assert error(client.post("/v1/tokens", json={"name": "backup", "role": "read"}), 409)["code"] == "token-exists"
    assert client.delete("/v1/tokens/backup").status_code == 204
    assert error(client.get("/v1/shares", headers=bearer(token)), 401)["code"] == "unauthorized"
    assert error(client.delete("/v1/tokens/backup"), 404)["code"] == "token-not-found"


@pytest.mark.parametrize("wanted", [{"name": "a b"}, {"name": ""}, {"name": "x" * 64}, {"role": "root"}, {"more": 1}])
def test_a_token_that_cannot_be(client: TestClient, supervisor: Supervisor, wanted: dict[str, object]) -> None:
    error(client.post("/v1/tokens", json={"name": "a", "role": "read", **wanted}), 422)
    assert supervisor.requests == []


def test_a_refusal_tells_nothing(anonymous: TestClient) -> None:
    answers = {
        anonymous.get("/v1/shares", headers=headers).text
        for headers in ({}, bearer("x"), bearer(f"{PREFIX}x"), {"Authorization": "Basic eA=="})
    }
    assert len(answers) == 1
    assert error(anonymous.get("/v1/shares"), 401)["hint"] == ""


def test_no_log_line_has_a_secret(
    anonymous: TestClient, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    supervisor.tokens["t"] = (f"{PREFIX}t-secret", "admin")
    for shown in (f"{PREFIX}t-secret", f"{PREFIX}guess-secret", TOKEN):
        anonymous.get("/v1/shares", headers=bearer(shown))
        anonymous.post("/v1/tokens", headers=bearer(shown), json={"name": "made-secret", "role": "read"})
    anonymous.app.state.control = None  # type: ignore[attr-defined]
    error(anonymous.get("/v1/shares", headers=bearer(TOKEN)), 500)  # a defect is logged with its traceback
    assert "a request failed" in caplog.text
    whole = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    secrets = (f"{PREFIX}t-secret", "guess-secret", TOKEN, f"{PREFIX}made-secret")
    assert [word for word in secrets if word in whole] == []


def test_whoever_guesses_has_to_wait_and_locks_nobody_out(supervisor: Supervisor) -> None:
    supervisor.tokens["t"] = (f"{PREFIX}t", "read")
    supervisor.tokens["new"] = (f"{PREFIX}new", "read")
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN, failures_per_minute=1)  # the next in a minute
    with TestClient(app) as guest:
        assert guest.get("/v1/shares", headers=bearer(f"{PREFIX}t")).status_code == 200
        error(guest.get("/v1/shares", headers=bearer(f"{PREFIX}guess")), 401)
        refused = guest.get("/v1/shares", headers=bearer(f"{PREFIX}new"))  # right, by luck for all the server knows
        assert error(refused, 429)["code"] == "too-many-failures"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        # Who has shown a good token before goes on, from the same address; so does the owner of the file.
        assert guest.get("/v1/shares", headers=bearer(f"{PREFIX}t")).status_code == 200
        assert guest.get("/v1/shares", headers=bearer(TOKEN)).status_code == 200
        assert guest.get("/healthz").status_code == 200


def test_wrong_tokens_are_forgiven_with_time_and_counted_by_network() -> None:
    failures = Failures(6)
    for _ in range(6):
        assert failures.wait("192.0.2.1", 0) == 0
        failures.count("192.0.2.1", 0)
    assert failures.wait("192.0.2.1", 0) == pytest.approx(10)
    assert failures.wait("::ffff:192.0.2.1", 0) > 0
    assert failures.wait("192.0.2.2", 0) == 0
    assert failures.wait("192.0.2.1", 10.1) == 0
    for _ in range(6):
        failures.count("2001:db8::1", 0)
    assert failures.wait("2001:db8::ffff", 0) > 0
    assert failures.wait("2001:db8:0:1::1", 0) == 0


def test_wrong_tokens_from_everywhere_are_no_memory() -> None:
    failures = Failures(6)
    for number in range(20_000):
        failures.count(f"10.0.{number // 256}.{number % 256}", 0)
    assert len(failures._buckets) == 10_000


def test_what_a_setting_opens_is_open_and_nothing_else(supervisor: Supervisor) -> None:
    def opened(openness: Openness) -> set[str]:
        app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN, openness=openness)
        with TestClient(app) as guest:
            paths = {path for _, path in ROUTES}
            return {p for p in (*paths, "/docs", "/openapi.json", "/redoc") if guest.get(p).status_code == 200}

    assert opened(Openness()) == set()
    assert opened(Openness(metrics=True)) == {"/metrics"}
    assert opened(Openness(docs=True)) == {"/docs", "/openapi.json"}


@contextmanager
def served(app: FastAPI, unix: socket.socket | None, tls: Certificate | None = None) -> Iterator[int]:
    """Serve from a thread, as the API's process does, and give the TCP port."""
    listener = socket.create_server(("127.0.0.1", 0))
    loop = asyncio.new_event_loop()
    loop.add_signal_handler = lambda *_: None  # type: ignore[method-assign]
    task = loop.create_task(serve(app, [listener], unix, tls))
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(30)
        assert not thread.is_alive()
        loop.close()


class OverUnix(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def status(connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> int:
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    response.read()
    return response.status


@pytest.mark.parametrize("uid", [0, 1000])
def test_the_unix_socket_knows_its_peers(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int
) -> None:
    real = PeerProtocol.peer
    monkeypatch.setattr(PeerProtocol, "peer", lambda self: Peer(real(self).pid, uid, 0))
    supervisor.tokens["t"] = (f"{PREFIX}t", "read")
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with served(app, listener) as port:
            local = OverUnix(path)
            assert status(local, "/healthz") == 200
            assert healthcheck.main(str(path)) == 0
            supervisor.ready = False
            assert healthcheck.main(str(path)) == 1
            supervisor.asked_by.clear()
            assert status(local, "/v1/tokens") == (200 if uid == 0 else 401)
            assert supervisor.asked_by == ([] if uid else ["uid 0"])
            # A token that is shown counts, also root's.
            assert status(local, "/v1/shares", bearer(f"{PREFIX}t")) == 200
            assert status(local, "/v1/tokens", bearer(f"{PREFIX}t")) == 403
            assert status(local, "/v1/tokens", bearer(f"{PREFIX}x")) == 401
            # Over TCP nobody is root, whatever he says of himself.
            forged: dict[str, str]
            for forged in ({}, {"X-Forwarded-For": "unix"}, {"holdfast.peer": "0"}):
                assert status(http.client.HTTPConnection("127.0.0.1", port, timeout=30), "/v1/tokens", forged) == 401


def test_without_an_api_nothing_is_healthy(tmp_path: Path) -> None:
    assert healthcheck.main(str(tmp_path / "none")) == 1


def test_the_kernel_says_who_connects(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert credentials(theirs) == Peer(os.getpid(), os.getuid(), os.getgid())


def made(directory: Path) -> Certificate:
    """Have a certificate made, another one each time."""
    new = Certificate(directory / "chain.pem", directory / "key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", new.key, "-out", new.chain],
        check=True, capture_output=True,
    )  # fmt: skip
    return new


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made(tmp_path_factory.mktemp("tls"))


def test_with_a_certificate_tcp_is_tls_and_the_unix_socket_is_not(
    supervisor: Supervisor, certificate: Certificate, tmp_path: Path
) -> None:
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with served(app, listener, certificate) as port:
            context = ssl.create_default_context(cafile=str(certificate.chain))
            secure = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
            assert status(secure, "/v1/shares", bearer(TOKEN)) == 200
            with pytest.raises((http.client.HTTPException, OSError)):
                status(http.client.HTTPConnection("127.0.0.1", port, timeout=30), "/healthz")
            assert status(OverUnix(path), "/healthz") == 200


def test_a_certificate_that_is_none_is_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no certificate")
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    for name in ("x", "missing"):
        bad = Certificate(tmp_path / name, tmp_path / name)
        with pytest.raises(SettingsError, match="certificate"):
            asyncio.run(serve(app, [], None, bad))


def shown(port: int) -> bytes | None:
    """Return the certificate that the server shows in a handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 30) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True)


def der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.chain.read_text())


def become(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_certificate_is_renewed_with_its_key_or_not_at_all(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_RENEWAL_SECONDS", 0.02)
    for name in ("in use", "new"):
        (tmp_path / name).mkdir()
    in_use, new = made(tmp_path / "in use"), made(tmp_path / "new")
    first = der(in_use)
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    with served(app, None, in_use) as port:
        become(lambda: shown(port) == first)
        in_use.chain.write_bytes(new.chain.read_bytes())
        for step in (lambda: None, lambda: in_use.key.write_text("no key"), in_use.key.unlink):
            step()
            caplog.clear()
            become(lambda: caplog.text.count("the old one goes on") > 1)
            assert shown(port) == first
        in_use.key.write_bytes(new.key.read_bytes())
        become(lambda: shown(port) == der(new))


def test_a_certificate_that_cannot_be_looked_at_for_a_moment_is_renewed_later(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_RENEWAL_SECONDS", 0.02)
    look, looks = Certificate.changed, iter([OSError("stale")])

    def changed(self: Certificate) -> tuple[int, int]:
        if failure := next(looks, None):
            raise failure
        return look(self)

    monkeypatch.setattr(Certificate, "changed", changed)
    certificate = made(tmp_path)
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    with served(app, None, certificate) as port:
        become(lambda: shown(port) == der(certificate))
        made(tmp_path)
        become(lambda: shown(port) == der(certificate))
