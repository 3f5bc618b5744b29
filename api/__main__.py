"""`python -m api`: serve the REST API. The supervisor starts it with listening sockets; by hand it opens its own."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys

from api.app import create_app
from api.authenticator import Openness
from api.control_client import ControlClient
from api.serving import Certificate, serve
from appliance import logs, settings
from appliance.errors import HoldfastError, StateError


def main() -> int:
    """Serve until told to stop and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m api", description="Serve Holdfast's REST API.")
    parser.add_argument("--fd", type=int, help="descriptor of the TCP socket to serve, already listening")
    parser.add_argument("--unix-fd", type=int, help="descriptor of a unix socket to serve as well, already listening")
    arguments = parser.parse_args()
    try:
        loaded = settings.load()
        logs.configure(loaded.log_format, loaded.log_level)
        # A change may have to wait for one program after another.
        control = ControlClient(loaded.control_socket, timeout=4 * loaded.command_timeout)
        app = create_app(
            control,
            _token(loaded),
            openness=Openness(metrics=loaded.metrics_open, docs=loaded.docs_open),
            failures_per_minute=loaded.api_failures,
            require_match=loaded.api_require_match,
        )
        if arguments.fd is None:
            listener = socket.create_server((str(loaded.api_address), loaded.api_port))
        else:
            listener = socket.socket(fileno=arguments.fd)
        unix = None if arguments.unix_fd is None else socket.socket(fileno=arguments.unix_fd)
        asyncio.run(serve(app, [listener], unix, _certificate(loaded)))
    except HoldfastError as error:
        logs.facts("holdfast").error("the API cannot run", reason=error.message, hint=error.hint)
        return error.exit_code
    return 0


def _certificate(loaded: settings.Settings) -> Certificate | None:
    if loaded.api_tls_certificate is None or loaded.api_tls_key is None:
        return None
    return Certificate(loaded.api_tls_certificate, loaded.api_tls_key)


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
