"""The configuration of a container with another image: what was asked for stays, what was the old image's own goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
IMAGE_LABEL = "com.docker.compose.image"
_DICTS = ("Labels", "ExposedPorts", "Volumes")


def renewed(container: Mapping[str, Any], old_image: Mapping[str, Any], new_image_id: str) -> Json:
    """Return what the engine's `POST /containers/create` takes.

    `container` and `old_image` are what the engine's inspections tell. An engine adds its image's settings to a
    container's; taken over, they would hide the new image's.
    """
    config = dict(container["Config"])
    defaults = old_image.get("Config") or {}
    for key, value in list(config.items()):
        default = defaults.get(key)
        if key == "Env":
            config[key] = [each for each in value or () if each not in (default or ())]
        elif key in _DICTS:
            config[key] = {name: each for name, each in (value or {}).items() if (default or {}).get(name) != each}
        elif value == default and key != "Image":
            del config[key]
    # The label by which `docker compose up` knows that the image has not changed since.
    labels = {**config.get("Labels", {}), IMAGE_LABEL: new_image_id}
    return {
        **config,
        "Image": new_image_id,
        "Labels": labels,
        "HostConfig": container["HostConfig"],
        "NetworkingConfig": {"EndpointsConfig": _endpoints(container)},
    }


def trial(config: Mapping[str, Any], command: list[str]) -> Json:
    """Return such a configuration for a container that runs one command, seen by nobody, and is not started again."""
    host = {**config["HostConfig"], "RestartPolicy": {"Name": "no"}, "PortBindings": {}, "NetworkMode": "none"}
    labels = {name: value for name, value in config["Labels"].items() if not name.startswith("com.docker.compose.")}
    return {**config, "Cmd": command, "Labels": labels, "HostConfig": host, "NetworkingConfig": {},
            "Healthcheck": {"Test": ["NONE"]}}


def _endpoints(container: Mapping[str, Any]) -> Json:
    identifier = str(container["Id"])
    return {
        name: {
            "IPAMConfig": endpoint.get("IPAMConfig"),
            "Aliases": [alias for alias in endpoint.get("Aliases") or () if not identifier.startswith(alias)],
        }
        for name, endpoint in container["NetworkSettings"]["Networks"].items()
        if name not in ("none", "host")
    }
