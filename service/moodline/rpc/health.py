"""The standard health service: readiness and liveness, told apart by service name."""

from __future__ import annotations

from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

LIVENESS: Final = "liveness"
"""SERVING as long as the process can do its work, also while it starts and drains. What restarts
the process should ask for this one."""
WHOLE_SERVER: Final = ""
"""Readiness of the server as a whole; what routes calls should ask for this or a service's name."""

_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """What the health service answers. Needs no token, since probes have none."""

    def __init__(self, service_names: tuple[str, ...]) -> None:
        """Know the services.

        Args:
            service_names: Full names of the services that become ready together.
        """
        self._readiness_names = (WHOLE_SERVER, *service_names)
        self._servicer = HealthServicer()

    async def start(self, server: grpc.aio.Server) -> None:
        """Register with a server: alive, but not ready.

        Before the port opens, or the first probe would be told that all is well.
        """
        await self.set_ready(False)
        await self._servicer.set(LIVENESS, _SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_ready(self, is_ready: bool) -> None:
        """Say whether calls are served."""
        for name in self._readiness_names:
            await self._servicer.set(name, _SERVING if is_ready else _NOT_SERVING)

    async def set_dead(self) -> None:
        """Say that only a restart helps."""
        await self.set_ready(False)
        await self._servicer.set(LIVENESS, _NOT_SERVING)
