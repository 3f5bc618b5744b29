"""The appliance's container in a place: brought up by the project's compose file, spoken to by its REST API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from deploy.console import step
from deploy.errors import CommandError
from deploy.places import Place
from deploy.rest import ApiError, Rest

SERVICE = "holdfast"
TOKEN_FILE = "/var/lib/holdfast/api-token"  # noqa: S105 - its place, not the token
START_SECONDS = 600.0  # on a busy machine; a container that has ended is noticed long before


@dataclass(frozen=True)
class Compose:
    """The project's compose file in a place, what is added to it there, and the variables that they take."""

    place: Place
    files: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str) -> str:
        """Run `docker compose` with these files. Raises CommandError."""
        return self.place.execute(self.argv(*arguments))

    def argv(self, *arguments: str) -> Sequence[str]:
        """Return such a command, in a form that can be pasted there."""
        variables = [f"{name}={value}" for name, value in sorted(self.variables.items())]
        files = [option for file in self.files for option in ("--file", file)]
        return ["env", *variables, "docker", "compose", *files, *arguments]


def start(compose: Compose, api_port: int) -> Rest:
    """Start the container if it does not run, wait until it is ready, and return its API with the token.

    Raises CommandError if Docker refuses, ApiError with the container's log if it does not become ready.
    """
    with step("Starting the container"):
        compose.run("up", "--detach", "--no-build")
    return connect(compose, api_port)


def connect(compose: Compose, api_port: int, token: str = "") -> Rest:
    """Wait until the container is ready and return its API, with its token if none is known yet.

    Raises ApiError with the container's log.
    """
    rest = Rest(api_port, token)
    with step("Waiting until the appliance is ready"):
        try:
            rest.wait_until_ready(START_SECONDS, lambda: _has_ended(compose))
        except ApiError as error:
            raise ApiError(f"{error.message}; its log ends:\n{_log(compose)}") from None
        return rest if token else replace(rest, token=compose.run("exec", "-T", SERVICE, "cat", TOKEN_FILE).strip())


def _has_ended(compose: Compose) -> bool:
    container = compose.run("ps", "--all", "--quiet", SERVICE).strip()
    state = compose.place.execute(("docker", "inspect", "--format", "{{.RestartCount}} {{.State.Status}}", container))
    return state.split() != ["0", "running"]


def _log(compose: Compose) -> str:
    try:
        return compose.run("logs", "--no-color", "--tail", "50")
    except CommandError as error:
        return str(error)
