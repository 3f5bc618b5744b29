"""`python -m api`: serve the REST API. The supervisor starts it with a listening socket; by hand it opens its own."""

from __future__ import annotations

import argparse
import socket
import sys

import uvicorn

from api.app import create_app
from api.control_client import ControlClient
from appliance import logs, settings
from appliance.errors import HoldfastError, StateError


def main() -> int:
    """Serve until told to stop and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Serve Holdfast's REST API.")
    parser.add_argument("--fd", type=int, help="descriptor of the socket to serve, already listening")
    arguments = parser.parse_args()
    try:
        loaded = settings.load()
        logs.configure(loaded.log_format, loaded.log_level)
        # A change may have to wait for one program after another.
        control = ControlClient(loaded.control_socket, timeout=4 * loaded.command_timeout)
        app = create_app(control, _token(loaded))
    except HoldfastError as error:
        logs.facts("holdfast").error("the API cannot run", reason=error.message, hint=error.hint)
        return error.exit_code
    config = uvicorn.Config(
        app,
        host=str(loaded.api_address),
        port=loaded.api_port,
        log_config=None,  # our own, with one form for all processes
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    listener = None if arguments.fd is None else [socket.socket(fileno=arguments.fd)]
    uvicorn.Server(config).run(listener)
    return 0


def _token(loaded: settings.Settings) -> str:
    try:
        token = loaded.token_file.read_text().strip()
    except OSError as error:
        raise StateError(
            f"the API token cannot be read: {error}", "it is made when the appliance is started", code="no-token"
        ) from error
    if not token:
        raise StateError(f"{loaded.token_file} is empty", "remove it and restart the appliance", code="no-token")
    return token


if __name__ == "__main__":
    sys.exit(main())
