"""Asks a server for its health, as `grpc.health.v1` defines it."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moodline.client.endpoint import Endpoint, TlsOptions
from moodline.client.errors import error_of_call


def check_health(
    target: str, *, service: str = "", tls: TlsOptions | None = None, timeout_s: float = 2.0
) -> str:
    """Ask once, without a token and without retries.

    Args:
        target: `HOST:PORT`, or another name that gRPC resolves.
        service: E.g. `moodline.v1.AnalysisService`; empty for the server as a whole.
        tls: How to encrypt; None to send in the clear.
        timeout_s: How long to wait for the answer, in seconds.

    Returns:
        `SERVING`, `NOT_SERVING` or `UNKNOWN`.

    Raises:
        MoodlineRpcError: If there is no answer, or the server does not know the service.
        OSError: If a file of `tls` cannot be read.
    """
    with Endpoint(target, tls=tls).open_channel() as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(  # type: ignore[attr-defined] # Missing in its type stubs.
                health_pb2.HealthCheckRequest(service=service), timeout=timeout_s
            )
        except grpc.RpcError as rpc_error:
            raise error_of_call(rpc_error) from rpc_error
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
