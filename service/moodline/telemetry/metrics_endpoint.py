"""The Prometheus endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from moodline.errors import SettingsError


@contextmanager
def serve_metrics(registry: CollectorRegistry, *, host: str, port: int) -> Iterator[int]:
    """Expose a registry over HTTP for as long as the block runs.

    Args:
        registry: What to expose.
        host: Address to listen on.
        port: Port to listen on; 0 lets the system choose.

    Yields:
        The port.

    Raises:
        SettingsError: If the address is not free.
    """
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise SettingsError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}; choose another "
            "MOODLINE_SERVER__METRICS_PORT."
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
