"""Serving one application on several sockets: TCP, with TLS if there is a certificate, and a unix socket without."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from api.peer import PeerProtocol
from appliance.errors import SettingsError
from appliance.logs import facts

_LOG = facts(__name__)
_SHUTDOWN_SECONDS = 5
_RENEWAL_SECONDS = 60.0


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate with its chain and of its key, both in PEM."""

    chain: Path
    key: Path

    def changed(self) -> tuple[int, int]:
        """Return when the files were last changed. Raises OSError."""
        return os.stat(self.chain).st_mtime_ns, os.stat(self.key).st_mtime_ns


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs several."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture none."""
        yield


async def serve(
    app: FastAPI, tcp: Sequence[socket.socket], unix: socket.socket | None = None, tls: Certificate | None = None
) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError if the certificate is no use."""
    servers = [(_server(app, tls), list(tcp))]
    if unix is not None:
        servers.append((_Server(_config(app, http=PeerProtocol)), [unix]))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server, _ in servers:
            server.force_exit = server.should_exit  # the second time
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    renewing = asyncio.create_task(_renew(servers[0][0].config, tls)) if tls else None
    try:
        await asyncio.gather(*(server.serve(sockets) for server, sockets in servers))
    finally:
        if renewing:
            renewing.cancel()


def _server(app: FastAPI, tls: Certificate | None) -> _Server:
    config = _config(app)
    if tls is not None:
        config.ssl_certfile, config.ssl_keyfile = str(tls.chain), str(tls.key)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"the certificate cannot be used: {error}",
            "HOLDFAST_API_TLS_CERTIFICATE and HOLDFAST_API_TLS_KEY name PEM files that the API's user can read",
        ) from error
    return _Server(config)


def _config(app: FastAPI, http: type[asyncio.Protocol] | str = "h11") -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http,
        lifespan="off",
        ws="none",
        log_config=None,  # our own, with one form for all processes
        access_log=False,
        # What a client says of its own address is not believed: wrong tokens are counted by address.
        proxy_headers=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


async def _renew(config: uvicorn.Config, tls: Certificate) -> None:
    """Take a certificate into use when its files have changed: connections there are keep the old one."""
    assert config.ssl is not None  # noqa: S101 - loaded with the certificate
    known = None  # the first look loads them once more: they may have changed since they were
    while True:
        try:
            if (now := tls.changed()) != known:
                _take_into_use(config.ssl, tls)
                known = now
                _LOG.info("the certificate is in use", chain=tls.chain)
        except (OSError, ssl.SSLError) as error:
            _LOG.error("a new certificate cannot be used, the old one goes on", reason=error)
        await asyncio.sleep(_RENEWAL_SECONDS)


def _take_into_use(context: ssl.SSLContext, tls: Certificate) -> None:
    """Load a certificate and its key, both or neither. Raises OSError and SSLError.

    SSLContext.load_cert_chain replaces the certificate before it looks at the key, and leaves one without the other.
    """
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.chain, tls.key)
    context.load_cert_chain(tls.chain, tls.key)
