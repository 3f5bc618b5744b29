"""The REST API over its real application, against a supervisor that is played by a real control server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.body_limit import MOST
from api.control_client import ControlClient
from api.problems import MEANINGS, STATUS
from tests.support.played_supervisor import Supervisor

TOKEN = "correct-horse"  # noqa: S105 - made up
SHARE = {"name": "a", "source": "/srv/a", "clients": [{"network": "10.0.0.0/8", "access": "rw"}]}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor(tmp_path / "control.sock") as played:
        yield played


@pytest.fixture
def anonymous(supervisor: Supervisor) -> Iterator[TestClient]:
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(anonymous: TestClient) -> TestClient:
    anonymous.headers["Authorization"] = f"Bearer {TOKEN}"
    return anonymous


def error(response: Any, status: int) -> dict[str, Any]:
    """See that a response is an error of the one shape, and return it."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "field", "hint"}
    found: dict[str, Any] = body["error"]
    return found


def test_a_share_from_its_making_to_its_end(client: TestClient) -> None:
    made = client.post("/v1/shares", json=SHARE)
    assert made.status_code == 201
    assert made.headers["location"] == "/v1/shares/a"
    assert made.json()["nfs_paths"]["v4"] == "/a"
    assert client.get("/v1/shares/a").json() == made.json()
    assert client.get("/v1/shares").json() == {"shares": [made.json()]}
    changed = client.patch("/v1/shares/a", json={"workers": 4})
    assert changed.status_code == 200
    assert changed.json() == {**made.json(), "workers": 4, "revision": changed.json()["revision"]}
    assert changed.json()["revision"] != made.json()["revision"]
    assert client.patch("/v1/shares/a", json={"workers": None}).json() == made.json()
    rotated = client.post("/v1/shares/a/rotate-key")
    assert (rotated.status_code, rotated.json()) == (200, made.json())
    accepted = client.post("/v1/shares/a/accept-source")
    assert (accepted.status_code, accepted.json()) == (200, made.json())
    gone = client.delete("/v1/shares/a")
    assert (gone.status_code, gone.content) == (204, b"")
    assert error(client.get("/v1/shares/a"), 404)["code"] == "share-not-found"
    assert error(client.delete("/v1/shares/a"), 404)["code"] == "share-not-found"
    for action in ("rotate-key", "accept-source"):
        assert error(client.post(f"/v1/shares/a/{action}"), 404)["code"] == "share-not-found"
    assert error(client.patch("/v1/shares/a", json={}), 404)["code"] == "share-not-found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": "srv/a"}, "source"),
        ({"source": "/srv/../etc"}, "source"),
        ({"name": "../a"}, "name"),
        ({"name": None}, "name"),
        ({"clients": [{"network": "10.0.0.1/8"}]}, "clients.0.network"),
        ({"clients": [{"host": "a b"}]}, "clients.0.host"),
        ({"clients": [{"host": "a", "squash": "some"}]}, "clients.0.squash"),
        ({"clients": [{"host": "a"}, {"host": "A"}]}, "clients"),
        ({"workers": 0}, "workers"),
        ({"wdelay": False}, "wdelay"),
    ],
)
def test_bad_input_is_refused_by_its_field(
    client: TestClient, supervisor: Supervisor, change: dict[str, object], field: str
) -> None:
    assert error(client.post("/v1/shares", json={**SHARE, **change}), 422)["field"] == field
    assert supervisor.requests == []


@pytest.mark.parametrize("source", [r"/srv/\udcff", r"/srv/\ud800"])
def test_a_source_that_is_no_text_is_refused(client: TestClient, supervisor: Supervisor, source: str) -> None:
    # Written by hand: no client would encode it.
    headers = {"Content-Type": "application/json"}
    made = client.post("/v1/shares", content=f'{{"name": "a", "source": "{source}"}}', headers=headers)
    assert error(made, 422)["field"] == "source"
    changed = client.patch("/v1/shares/a", content=f'{{"source": "{source}"}}', headers=headers)
    assert error(changed, 422)["field"] == "source"
    assert supervisor.requests == []


def test_a_missing_field_is_named(client: TestClient) -> None:
    assert error(client.post("/v1/shares", json={"name": "a"}), 422)["field"] == "source"


def test_a_name_is_not_to_be_changed(client: TestClient, supervisor: Supervisor) -> None:
    client.post("/v1/shares", json=SHARE)
    assert error(client.patch("/v1/shares/a", json={"name": "b"}), 422)["field"] == "name"
    assert list(supervisor.shares) == ["a"]


def test_the_result_of_a_change_is_checked_by_the_supervisor(client: TestClient, supervisor: Supervisor) -> None:
    client.post("/v1/shares", json=SHARE)
    assert error(client.patch("/v1/shares/a", json={"source": None}), 422)["field"] == "source"
    assert supervisor.shares["a"].source == "/srv/a"


def test_a_name_that_is_taken(client: TestClient) -> None:
    client.post("/v1/shares", json=SHARE)
    refused = error(client.post("/v1/shares", json=SHARE), 409)
    assert (refused["code"], refused["field"]) == ("share-exists", "name")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b"[]", b'"a"'])
def test_a_body_that_is_no_share(client: TestClient, body: bytes) -> None:
    response = client.post("/v1/shares", content=body, headers={"Content-Type": "application/json"})
    assert error(response, response.status_code)["code"] in ("not-json", "invalid")
    assert response.status_code in (400, 422)


def test_a_body_is_not_read_to_its_end_if_it_has_none(client: TestClient) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 4 * MOST:  # else all of it would be in memory by now
            sent += 1 << 20
            yield b" " * (1 << 20)

    response = client.post("/v1/handles/decode", content=endless(), headers={"Content-Type": "application/json"})
    assert error(response, 413)["code"] == "too-large"


ROUTES = [
    ("GET", "/v1/shares"),
    ("POST", "/v1/shares"),
    ("GET", "/v1/shares/a"),
    ("PATCH", "/v1/shares/a"),
    ("DELETE", "/v1/shares/a"),
    ("POST", "/v1/shares/a/rotate-key"),
    ("POST", "/v1/shares/a/accept-source"),
    ("POST", "/v1/shares/a/handle-checks"),
    ("GET", "/v1/shares/a/handle-checks"),
    ("GET", "/v1/shares/a/handle-checks/1"),
    ("DELETE", "/v1/shares/a/handle-checks/1"),
    ("POST", "/v1/handles/decode"),
    ("GET", "/v1/server"),
    ("PATCH", "/v1/server"),
    ("GET", "/v1/config"),
    ("PUT", "/v1/config"),
    ("GET", "/v1/config/file"),
    ("GET", "/v1/events"),
    ("GET", "/metrics"),
    ("GET", "/v1/events/stream"),
    ("GET", "/v1/health"),
    ("GET", "/v1/tokens"),
    ("GET", "/v1/clients"),
    ("GET", "/v1/clients/1"),
    ("DELETE", "/v1/clients/1"),
    ("POST", "/v1/tokens"),
    ("DELETE", "/v1/tokens/a"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic " + TOKEN, TOKEN, f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_under_v1_answers(
    anonymous: TestClient, supervisor: Supervisor, method: str, path: str, header: str | None
) -> None:
    response = anonymous.request(method, path, headers={"Authorization": header} if header else {}, json={})
    assert error(response, 401)["code"] == "unauthorized"
    assert response.headers["www-authenticate"] == "Bearer"
    assert TOKEN not in response.text
    assert supervisor.requests == []


def test_without_the_token_no_body_is_read(anonymous: TestClient) -> None:
    scope = {"type": "http", "method": "POST", "path": "/v1/shares", "query_string": b"", "headers": []}
    answers: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("it reads what a stranger sends")

    async def send(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    async def ask() -> None:
        await anonymous.app(scope, receive, send)

    asyncio.run(ask())
    assert answers[0]["status"] == 401


def test_the_routes_that_need_a_token_are_all_there_are(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    open_to_all = {("GET", "/healthz"), ("GET", "/readyz")}
    named = {path.replace("{name}", "a").replace("{number}", "1"): methods for path, methods in paths.items()}
    listed = {(method.upper(), path) for path, methods in named.items() for method in methods}
    assert listed - open_to_all == set(ROUTES)
    assert open_to_all <= listed


def test_what_is_not_there(client: TestClient) -> None:
    assert error(client.get("/v1/nothing"), 404)["code"] == "not-found"
    assert error(client.put("/v1/shares/a", json={}), 405)["code"] == "method-not-allowed"


def test_the_methods_of_a_path_are_told(client: TestClient) -> None:
    assert client.put("/v1/shares/a", json={}).headers["allow"] == "DELETE, GET, PATCH"


def test_every_code_has_an_example() -> None:
    assert MEANINGS.keys() == STATUS.keys()


def test_every_route_tells_its_failures_by_example(client: TestClient) -> None:
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                assert response["description"], (method, path, status)
                if status >= "400" and path != "/readyz":
                    examples = response["content"]["application/json"]["examples"]
                    assert all(STATUS[code] == int(status) for code in examples), (method, path)
                    assert examples, (method, path, status)


def test_health_is_this_process_alone(anonymous: TestClient, supervisor: Supervisor) -> None:
    assert anonymous.get("/healthz").json() == {"status": "ok"}
    assert supervisor.requests == []


def test_readiness_is_the_supervisors_to_tell(anonymous: TestClient, supervisor: Supervisor) -> None:
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (200, True)
    supervisor.ready = False
    answer = anonymous.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)
    assert "secret" not in answer.text


def test_without_a_supervisor_nothing_is_ready(tmp_path: Path) -> None:
    app = create_app(ControlClient(tmp_path / "none", timeout=1), TOKEN)
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        assert error(client.get("/readyz"), 503)["code"] == "supervisor-unavailable"
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert error(client.get("/v1/shares", headers=headers), 503)["code"] == "supervisor-unavailable"


def test_a_defect_has_the_one_shape_too(anonymous: TestClient) -> None:
    anonymous.app.state.control = None  # type: ignore[attr-defined]
    assert error(anonymous.get("/readyz"), 500)["code"] == "internal"


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="everybody"):
        create_app(ControlClient(Path("/none"), timeout=1), "")


def test_every_field_of_the_api_is_described(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    own = {name: schema for name, schema in document["components"]["schemas"].items() if "Validation" not in name}
    fields = [
        f"{model}.{name}"
        for model, schema in own.items()
        for name, field in schema.get("properties", {}).items()
        if "description" not in field
    ]
    assert fields == []
    assert {"ShareView", "ShareChanges", "Problem", "Ready"} <= set(own)


def test_every_refusal_of_a_source_is_the_callers_fault() -> None:
    assert {code: status for code, status in STATUS.items() if code.startswith("source") and status >= 500} == {}
