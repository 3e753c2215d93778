"""Server reflection in both versions that clients ask for, v1 and v1alpha.

Open to everybody: it tells the public protos and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

SERVICE_V1: Final = "grpc.reflection.v1.ServerReflection"
SERVICE_V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"


def add_reflection(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Register both versions.

    grpcio-reflection knows v1alpha alone. The messages of v1 are the same byte by byte, so the same
    servicer answers under the other name. The list leaves v1 out, as there is no descriptor of it
    to describe.

    Args:
        server: Not yet started.
        service_names: Full names of the services to list.
    """
    servicer = ReflectionServicer([*service_names, SERVICE_V1ALPHA])
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
        servicer, server
    )
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_V1, handlers),))
