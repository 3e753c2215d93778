"""Where the server is and how to reach it: address, encryption, token."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import grpc.aio

_KEEPALIVE_TIME_MS: Final = 60_000
"""Silence after which the server is asked whether it still lives, so that a stream does not wait
for ever. Moodline's server permits it every 10 s."""
_KEEPALIVE_TIMEOUT_MS: Final = 20_000
_RECONNECT_BACKOFF_MS: Final = (100, 2_000)
"""Shortest and longest wait of the channel before it dials again; below the calls' own back-off, so
that a retry meets a connection that was tried anew."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How to encrypt.

    Attributes:
        ca_file: PEM of the authority that signed the server's certificate; None for those that
            gRPC trusts by itself.
        certificate_file: PEM chain of the client's own certificate, for mutual TLS.
        private_key_file: PEM private key of it; set both or neither.
        server_name: Name in the server's certificate, where it is not that of the address.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.private_key_file is None):
            raise ValueError(
                "certificate_file and private_key_file belong together; set both or neither"
            )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server as one caller sees it.

    Attributes:
        target: `HOST:PORT`, or another name that gRPC resolves.
        token: Bearer token; sent in the clear unless `tls` is set. Never shown.
        tenant: Tenant that the token is meant to be of; the server refuses a token of another.
        tls: How to encrypt; None to send in the clear.
    """

    target: str
    token: str | None = field(default=None, repr=False)
    tenant: str | None = None
    tls: TlsOptions | None = None

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What travels with each call."""
        entries = []
        if self.token is not None:
            entries.append(("authorization", f"Bearer {self.token}"))
        if self.tenant is not None:
            entries.append(("moodline-tenant", self.tenant))
        return tuple(entries)

    def open_channel(self) -> grpc.Channel:
        """Return a channel for the sync client; it connects with the first call.

        Raises:
            OSError: If a file of `tls` cannot be read.
        """
        options = self._channel_options()
        if self.tls is None:
            return grpc.insecure_channel(self.target, options)
        return grpc.secure_channel(self.target, _credentials(self.tls), options)

    def open_aio_channel(self) -> grpc.aio.Channel:
        """As `open_channel`, for asyncio."""
        options = self._channel_options()
        if self.tls is None:
            return grpc.aio.insecure_channel(self.target, options)
        return grpc.aio.secure_channel(self.target, _credentials(self.tls), options)

    def _channel_options(self) -> list[tuple[str, str | int]]:
        shortest_ms, longest_ms = _RECONNECT_BACKOFF_MS
        options: list[tuple[str, str | int]] = [
            # The server bounds what it takes and gives; the default of 4 MiB would cut batches off.
            ("grpc.max_receive_message_length", -1),
            ("grpc.keepalive_time_ms", _KEEPALIVE_TIME_MS),
            ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.initial_reconnect_backoff_ms", shortest_ms),
            ("grpc.max_reconnect_backoff_ms", longest_ms),
        ]
        if _is_loopback(self.target):
            # A proxy of the environment reaches its own loopback, not ours.
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def _credentials(tls: TlsOptions) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        root_certificates=_read(tls.ca_file),
        private_key=_read(tls.private_key_file),
        certificate_chain=_read(tls.certificate_file),
    )


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _is_loopback(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
