"""Changes by REST that say what they are made to, that only tell what they would do, or that are about all shares."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.control_client import ControlClient
from appliance import config_text
from appliance.model import Share
from tests.support.played_supervisor import PREVIEW, Supervisor
from tests.unit.test_api import SHARE, TOKEN, anonymous, client, error, supervisor

__all__ = ["anonymous", "client", "supervisor"]  # fixtures


def test_a_change_to_what_has_been_changed_since_is_refused(client: TestClient, supervisor: Supervisor) -> None:
    tag = client.post("/v1/shares", json=SHARE).headers["etag"]
    assert client.get("/v1/shares/a").headers["etag"] == tag == f'"{client.get("/v1/shares/a").json()["revision"]}"'
    newer = client.patch("/v1/shares/a", json={"workers": 4}, headers={"If-Match": tag})
    assert newer.status_code == 200
    for attempt in (
        client.patch("/v1/shares/a", json={"workers": 5}, headers={"If-Match": tag}),
        client.post("/v1/shares/a/rotate-key", headers={"If-Match": tag}),
        client.delete("/v1/shares/a", headers={"If-Match": tag}),
        client.delete("/v1/shares/a", headers={"If-Match": f"W/{newer.headers['etag']}"}),
        client.delete("/v1/shares/a", headers={"If-Match": "no tag"}),
    ):
        assert error(attempt, 412)["code"] == "revision-changed"
    assert supervisor.shares["a"].workers == 4
    both = {"If-Match": f'"other", {newer.headers["etag"]}'}
    assert client.patch("/v1/shares/a", json={"workers": 5}, headers=both).status_code == 200
    assert client.delete("/v1/shares/a", headers={"If-Match": "*"}).status_code == 204


def test_a_change_without_a_revision_may_be_refused(supervisor: Supervisor) -> None:
    app = create_app(ControlClient(supervisor.path, timeout=10), TOKEN, require_match=True)
    supervisor.shares["a"] = Share.model_validate(SHARE)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, headers=headers) as client:
        for attempt in (
            client.patch("/v1/shares/a", json={"workers": 5}),
            client.delete("/v1/shares/a"),
            client.post("/v1/shares/a/rotate-key"),
        ):
            assert error(attempt, 428)["code"] == "match-required"
        tag = client.get("/v1/shares/a").headers["etag"]
        assert client.delete("/v1/shares/a", headers={"If-Match": tag}).status_code == 204


def test_a_dry_run_tells_and_changes_nothing(client: TestClient, supervisor: Supervisor) -> None:
    client.post("/v1/shares", json=SHARE)
    before = dict(supervisor.shares)
    for attempt in (
        client.post("/v1/shares?dry_run=true", json={**SHARE, "name": "b"}),
        client.patch("/v1/shares/a?dry_run=true", json={"sync": False}),
        client.delete("/v1/shares/a?dry_run=true"),
        client.put("/v1/config?dry_run=true", json={"shares": []}, headers={"If-Match": "*"}),
    ):
        assert attempt.status_code == 200, attempt.text
        assert attempt.json() == PREVIEW.model_dump(mode="json")
    assert supervisor.shares == before
    assert error(client.post("/v1/shares?dry_run=true", json=SHARE), 409)["code"] == "share-exists"
    assert error(client.delete("/v1/shares/b?dry_run=true"), 404)["code"] == "share-not-found"


def test_the_configuration_goes_round(client: TestClient, supervisor: Supervisor) -> None:
    client.post("/v1/shares", json=SHARE)
    whole = client.get("/v1/config")
    assert error(client.put("/v1/config", json=whole.json()), 428)["code"] == "match-required"
    again = client.put("/v1/config", json=whole.json(), headers={"If-Match": whole.headers["etag"]})
    assert (again.status_code, again.json()) == (200, whole.json())
    assert again.headers["etag"] == whole.headers["etag"]
    other = client.put("/v1/config", json={"shares": []}, headers={"If-Match": whole.headers["etag"]})
    assert other.json()["shares"] == []
    stale = client.put("/v1/config", json=whole.json(), headers={"If-Match": whole.headers["etag"]})
    assert error(stale, 412)["code"] == "revision-changed"
    assert supervisor.shares == {}


def test_the_configuration_is_a_file_as_well(client: TestClient, supervisor: Supervisor) -> None:
    client.post("/v1/shares", json=SHARE)
    written = client.get("/v1/config", params={"format": "yaml"})
    assert written.headers["content-type"].startswith("application/yaml")
    assert config_text.parse(written.content).shares == tuple(supervisor.shares.values())
    assert client.get("/v1/config/file").json()["state"] == "absent"


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_share_is_in_a_configuration_once(client: TestClient, name: str) -> None:
    refused = client.put("/v1/config", json={"shares": [SHARE, {**SHARE, "name": name}]}, headers={"If-Match": "*"})
    assert refused.status_code == (422 if name == "a" else 200)
