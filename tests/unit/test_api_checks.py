"""The routes of handle checks, handles, events and numbers."""

from __future__ import annotations

from fastapi.testclient import TestClient

from tests.unit.test_api import SHARE, anonymous, client, error, supervisor

__all__ = ["anonymous", "client", "supervisor"]  # fixtures


def test_a_check_is_begun_listed_told_and_cancelled(client: TestClient) -> None:
    client.post("/v1/shares", json=SHARE)
    begun = client.post("/v1/shares/a/handle-checks", json={"mode": "evict"})
    assert (begun.status_code, begun.json()["mode"]) == (202, "evict")
    assert begun.headers["location"] == "/v1/shares/a/handle-checks/1"
    assert [check["id"] for check in client.get("/v1/shares/a/handle-checks").json()["checks"]] == [1]
    report = client.get("/v1/shares/a/handle-checks/1").json()
    assert (report["counts"], report["findings"][0]["drift"]) == ({"same": 2, "drift": 1}, "node-reused")
    assert client.delete("/v1/shares/a/handle-checks/1").status_code == 204


def test_what_is_wrong_about_a_check_is_the_callers_fault(client: TestClient) -> None:
    client.post("/v1/shares", json=SHARE)
    assert error(client.post("/v1/shares/b/handle-checks", json={}), 404)["code"] == "share-not-found"
    assert error(client.post("/v1/shares/a/handle-checks", json={"mode": "thorough"}), 422)["field"] == "mode"
    assert error(client.get("/v1/shares/a/handle-checks/2"), 404)["code"] == "check-not-found"
    assert error(client.get("/v1/shares/a/handle-checks/x"), 422)["field"] == "number"


def test_a_handle_is_decoded(client: TestClient) -> None:
    assert client.post("/v1/handles/decode", json={"hex": "00 11 22 33"}).json()["verdict"] == "freed-inode"
    assert error(client.post("/v1/handles/decode", json={"hex": "zz"}), 422)["code"] == "handle-invalid"


def test_events_are_listed(client: TestClient) -> None:
    assert [event["kind"] for event in client.get("/v1/events").json()["events"]] == ["handle-drift"]
    assert client.get("/v1/events", params={"kind": "other"}).json() == {"events": []}
    assert error(client.get("/v1/events", params={"limit": 0}), 422)["field"] == "limit"


def test_numbers_are_in_prometheus_form(client: TestClient) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'holdfast_handles_healthy{share="a"} 0.0' in lines
    assert 'holdfast_handle_check_outcomes{mode="passive",outcome="drift",share="a"} 1.0' in lines
    assert 'holdfast_handle_drifts_total{share="a"} 1.0' in lines
    assert 'holdfast_handle_check_timestamp_seconds{mode="passive",share="a"} 2.0' in lines
