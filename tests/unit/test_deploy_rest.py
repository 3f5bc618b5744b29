"""The launcher's calls to the API, against a real HTTP server that plays the appliance's part."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deploy import demo
from deploy.demo import RoundTripError, try_port
from deploy.rest import ApiError, Rest

SHARE = {"name": "demo", "source": "/srv/demo", "clients": []}


class Played(BaseHTTPRequestHandler):
    """Knows shares by name, asks for a token, and is ready after as many questions as its server says."""

    server: "PlayedServer"

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self.server.questions -= 1
            self._answer(200 if self.server.questions < 0 else 503, {})
        elif self.headers["Authorization"] != "Bearer right":
            self._answer(401, {"error": {"code": "token"}})
        else:
            found = self.server.shares.get(self.path.removeprefix("/v1/shares/"))
            self._answer(200 if found else 404, found or {})

    def do_POST(self) -> None:
        share = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.shares[share["name"]] = share
        self._answer(201, share)

    def do_PATCH(self) -> None:
        name = self.path.removeprefix("/v1/shares/")
        if self.headers["If-Match"] != "*" or name not in self.server.shares:
            return self._answer(412, {})
        change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.shares[name] = {**self.server.shares[name], **change}
        return self._answer(200, self.server.shares[name])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class PlayedServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Played)
        self.shares: dict[str, dict[str, object]] = {}
        self.questions = 0


@pytest.fixture
def server() -> Iterator[PlayedServer]:
    with PlayedServer() as played:
        thread = threading.Thread(target=played.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield played
        played.shutdown()
        thread.join()


def test_a_share_is_created_once(server: PlayedServer) -> None:
    rest = Rest(server.server_port, "right")
    assert rest.create_share(SHARE) == SHARE
    server.shares["demo"] = {**SHARE, "workers": 3}
    assert rest.create_share(SHARE) == {**SHARE, "workers": 3}


def test_the_demo_follows_the_network_that_docker_makes_anew(server: PlayedServer) -> None:
    rest = Rest(server.server_port, "right")
    for network in ("172.18.0.0/16", "172.19.0.0/16"):
        demo.make_share(rest, [{"network": network}])
        assert server.shares["demo"]["clients"] == [{"network": network}]
    with pytest.raises(ApiError, match="412 to the clients of share none"):
        rest.set_clients("none", [])


def test_a_refusal_is_told_with_its_answer(server: PlayedServer) -> None:
    with pytest.raises(ApiError, match=r"401 to a share demo.*token"):
        Rest(server.server_port, "wrong").create_share(SHARE)


def test_waiting_ends_when_it_is_ready(server: PlayedServer) -> None:
    server.questions = 2
    Rest(server.server_port).wait_until_ready(30, lambda: False)
    assert server.questions == -1


def test_waiting_ends_when_it_is_hopeless_or_too_late(server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.questions = 1_000_000
    with pytest.raises(ApiError, match="did not say ready"):
        Rest(server.server_port).wait_until_ready(0.1, lambda: False)
    monkeypatch.setattr("deploy.rest.LOOK_SECONDS", 0.1)
    with pytest.raises(ApiError, match="ended"):
        Rest(server.server_port).wait_until_ready(30, lambda: True)


def test_nobody_at_the_port_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert not Rest(port).ready()


@pytest.mark.parametrize(("reply", "right"), [
    (lambda xid: struct.pack(">7I", 1 << 31 | 24, xid, 1, 0, 0, 0, 0), True),
    (lambda _: b"SSH-2.0-OpenSSH_10.0 and then some", False),
])
def test_a_port_must_answer_as_an_nfs_server(reply: Callable[[int], bytes], right: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                (xid,) = struct.unpack_from(">4xI", connection.recv(1000))
                connection.sendall(reply(xid))

        thread = threading.Thread(target=answer)
        thread.start()
        if right:
            try_port(listener.getsockname()[1])
        else:
            with pytest.raises(RoundTripError):
                try_port(listener.getsockname()[1])
        thread.join()
