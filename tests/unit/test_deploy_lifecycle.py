"""The care of a running appliance, as far as it does without an engine: configurations, reports, what is removed."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound, NotFound

from deploy import renewal, sdk, status
from deploy.errors import DeployError
from deploy.helper import state_volume
from deploy.remove import uninstall

_OLD_IMAGE: dict[str, Any] = {"Config": {"Env": ["PATH=/old", "SAME=1"], "Cmd": ["old"], "Labels": {"version": "1"},
                         "Healthcheck": {"Test": ["CMD", "old"]}, "Entrypoint": None,
                                         "Volumes": {"/var/lib/holdfast": {}}}}
_CONTAINER: dict[str, Any] = {
    "Id": "0123456789abcdef",
    "Name": "/holdfast-holdfast-1",
    "Image": "sha256:0123456789abcdef0123",
    "RestartCount": 0,
    "Config": {"Image": "holdfast:latest", "Env": ["HOLDFAST_NFS_GRACE=30", "PATH=/old", "SAME=1"], "Cmd": ["old"],
               "Labels": {"version": "1", "com.docker.compose.project": "holdfast", renewal.IMAGE_LABEL: "sha256:old"},
               "Healthcheck": {"Test": ["CMD", "old"]}, "Entrypoint": None, "Volumes": {"/var/lib/holdfast": {}},
               "Hostname": "0123456789ab"},
    "HostConfig": {"Binds": ["holdfast_state:/var/lib/holdfast:rw"], "CapAdd": ["SYS_ADMIN"],
                   "NetworkMode": "holdfast_default", "ReadonlyRootfs": True,
                   "RestartPolicy": {"Name": "unless-stopped"}, "PortBindings": {"2049/tcp": [{}]}},
    "NetworkSettings": {
        "Networks": {"holdfast_default": {"Aliases": ["holdfast", "0123456789ab"], "IPAMConfig": None}},
        "Ports": {"2049/tcp": [{"HostIp": "192.0.2.1", "HostPort": "2049"}], "8080/tcp": None},
    },
    "Mounts": [{"Destination": "/srv", "Source": "/srv"},
               {"Destination": "/var/lib/holdfast", "Name": "holdfast_state"}],
    "State": {"Running": True, "Status": "running", "StartedAt": "2026-01-01T00:00:00.1Z", "ExitCode": 0},
}


def test_what_was_asked_for_stays_and_what_was_the_images_goes() -> None:
    config = renewal.renewed(_CONTAINER, _OLD_IMAGE, "sha256:new")
    assert config["Env"] == ["HOLDFAST_NFS_GRACE=30"]
    assert config["Image"] == config["Labels"][renewal.IMAGE_LABEL] == "sha256:new"
    assert "version" not in config["Labels"]
    assert config["Labels"]["com.docker.compose.project"] == "holdfast"
    assert not {"Cmd", "Healthcheck", "Entrypoint"} & set(config)
    assert config["HostConfig"] == _CONTAINER["HostConfig"]
    assert config["NetworkingConfig"]["EndpointsConfig"]["holdfast_default"]["Aliases"] == ["holdfast"]


def test_a_trial_has_the_same_rights_and_is_seen_by_nobody() -> None:
    config = renewal.trial(renewal.renewed(_CONTAINER, _OLD_IMAGE, "sha256:new"), ["try"])
    host = config["HostConfig"]
    assert (host["CapAdd"], host["ReadonlyRootfs"]) == (["SYS_ADMIN"], True)
    assert (host["NetworkMode"], host["PortBindings"], host["RestartPolicy"]) == ("none", {}, {"Name": "no"})
    assert config["Cmd"] == ["try"]
    # Nobody who looks for the appliance's container by its labels finds this one.
    assert not [name for name in config["Labels"] if name.startswith("com.docker.compose.")]
    assert _CONTAINER["HostConfig"]["NetworkMode"] == "holdfast_default"


def test_the_state_volume_is_found() -> None:
    class Found:
        attrs = _CONTAINER

    assert state_volume(Found()) == "holdfast_state"  # type: ignore[arg-type]
    Found.attrs = {**_CONTAINER, "Mounts": []}
    with pytest.raises(DeployError, match="no volume"):
        state_volume(Found())  # type: ignore[arg-type]


def test_status_of_a_container() -> None:
    text = "\n".join(status.about(_CONTAINER, ready=True))
    assert "holdfast-holdfast-1, running" in text
    assert "192.0.2.1:2049 -> 2049/tcp" in text
    ended = {**_CONTAINER, "State": {"Running": False, "Status": "exited", "ExitCode": 77,
                                     "StartedAt": "", "FinishedAt": "2026-01-01T00:00:01Z"}}
    assert "exited, status 77" in status.about(ended, ready=False)[0]


def test_status_of_shares_tells_what_is_wrong() -> None:
    state = {"status": "failed", "reason": "the source is gone", "hint": "mount it"}
    lines = status.shares([{"name": "media", "source": "/srv/media", "state": state}])
    assert lines[0].endswith("1")
    assert "the source is gone (mount it)" in lines[1]


@pytest.mark.parametrize(("error", "says"), [
    (NotFound("x", explanation="No such container: abc"), "does not have it: No such container: abc"),
    (ImageNotFound("x", explanation="No such image: y"), "no such image: No such image: y"),
    (APIError("x", explanation="port is already allocated"), "preflight tells who has the port"),
    (OSError("odd"), "cannot be used: odd"),
])
def test_what_the_engine_refuses_is_a_sentence(error: Exception, says: str) -> None:
    assert says in str(sdk.sentence(error))


def test_uninstall_without_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(sdk.NoEngineError):
        uninstall(state=False, sure=True)
