"""The unit for Podman gives what compose.yaml gives; tests/vm/test_podman.py runs what Podman makes of it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from ruamel.yaml import YAML

from deploy.paths import CHECKOUT

_COMPOSE: dict[str, Any] = YAML(typ="safe").load(CHECKOUT / "compose.yaml")["services"]["holdfast"]


def _container() -> dict[str, list[str]]:
    """Return the values of the unit's section [Container], by name."""
    text = (CHECKOUT / "deploy/podman/holdfast.container").read_text()
    section = text.split("\n[Container]\n")[1].split("\n[")[0]
    values = defaultdict(list)
    for line in section.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values[name].append(value)
    return values


def test_the_unit_gives_the_same_rights_and_places() -> None:
    unit = _container()
    assert unit["DropCapability"] == ["all"]
    assert unit["AddCapability"][0].split() == _COMPOSE["cap_add"]
    assert unit["AddDevice"] == _COMPOSE["devices"]
    assert unit["Tmpfs"] == _COMPOSE["tmpfs"]
    assert unit["ReadOnly"] == ["true"]
    assert unit["ReadOnlyTmpfs"] == ["false"]  # else Podman would give it a /tmp and a /var/tmp besides
    assert unit["NoNewPrivileges"] == ["true"]
    options = {*_COMPOSE["security_opt"]}
    assert options == {"no-new-privileges:true", "apparmor:unconfined", "seccomp=deploy/seccomp.json"}
    assert unit["PodmanArgs"] == ["--security-opt=apparmor=unconfined"]
    assert unit["StopTimeout"] == [_COMPOSE["stop_grace_period"].removesuffix("s")]


def test_the_unit_mounts_and_lets_in_the_same() -> None:
    unit = _container()
    assert unit["Volume"] == [
        "holdfast-state:/var/lib/holdfast", "/srv:/srv:rslave", "/etc/holdfast:/etc/holdfast:ro",
    ]
    assert {mount if isinstance(mount, str) else mount["target"] for mount in _COMPOSE["volumes"]} == {
        "state:/var/lib/holdfast", "/srv", "/etc/holdfast",
    }
    # At ports that Podman publishes a client may be caught: so they are the host's, that of the API for itself alone.
    assert unit["Network"] == ["host"]
    assert unit["Environment"] == ["HOLDFAST_API_ADDRESS=127.0.0.1"]
    assert "127.0.0.1:8080" in _COMPOSE["ports"][1]


def test_the_unit_has_the_image_s_health_check() -> None:
    unit = _container()
    found = re.search(r"^HEALTHCHECK (.*) \\\n +CMD (.*)$", (CHECKOUT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    options = {"interval": "HealthInterval", "timeout": "HealthTimeout", "start-period": "HealthStartPeriod",
               "retries": "HealthRetries"}
    assert {options[name]: [value] for name, value in re.findall(r"--([\w-]+)=(\S+)", found[1])} == {
        name: unit[name] for name in options.values()}
    command = found[2].replace('"${HOLDFAST_RUN_DIR:-/run/holdfast}/api.sock"', "/run/holdfast/api.sock")
    assert unit["HealthCmd"] == unit["HealthStartupCmd"] == [command]


def test_docker_s_image_is_given_the_name_that_the_unit_has() -> None:
    (image,) = _container()["Image"]
    assert image == "localhost/holdfast:latest"  # as `podman build --tag holdfast` names it
    # A name without a registry is Docker's own registry's when an archive is loaded.
    assert f"podman tag docker.io/library/holdfast:latest {image}\n" in (CHECKOUT / "docs/deployment.md").read_text()
