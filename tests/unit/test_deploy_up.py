"""What `make up` starts on this machine's own engine."""

from __future__ import annotations

from pathlib import Path

from deploy.appliance import Compose
from deploy.paths import CHECKOUT
from deploy.places import Here
from deploy.up import compose_files, local_compose


def test_it_is_reached_from_this_machine_only() -> None:
    compose = local_compose(2049, 8080)
    assert "HOLDFAST_NFS_BIND=127.0.0.1:2049" in compose.argv("up")
    assert "HOLDFAST_API_BIND=127.0.0.1:8080" in compose.argv("up")


def test_the_compose_file_takes_all_that_it_is_given() -> None:
    text = (CHECKOUT / "compose.yaml").read_text()
    assert [name for name in local_compose(2049, 8080).variables if f"${{{name}:-" not in text] == []


def test_a_user_s_additions_are_read_as_docker_compose_does(tmp_path: Path) -> None:
    assert compose_files(tmp_path) == [tmp_path / "compose.yaml"]
    (tmp_path / "compose.override.yaml").touch()
    assert compose_files(tmp_path) == [tmp_path / "compose.yaml", tmp_path / "compose.override.yaml"]
    assert Compose(Here(), ("one", "two")).argv("ps") == [
        "env", "docker", "compose", "--file", "one", "--file", "two", "ps"]
