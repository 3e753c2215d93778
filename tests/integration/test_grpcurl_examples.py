"""The calls that the documentation makes with grpcurl, made as grpcurl does: over reflection."""

from __future__ import annotations

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from moodline.analyzer import ConversationAnalyzer
from tests.integration.job_server import serving_jobs

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[2] / "docs"


def examples() -> list[tuple[str, str]]:
    """Method and request of every call whose request stands in the documentation."""
    text = "".join((DOCS / name).read_text(encoding="utf-8") for name in ("signals.md", "jobs.md"))
    found = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[0] == "grpcurl" and "-d" in words:
                found.append((words[-1], words[words.index("-d") + 1]))
    return found


def call(target: str, method: str, request: str) -> grpc.StatusCode:
    """Make a call knowing nothing but what the server tells, and return how it ends."""
    service, _, name = method.partition("/")
    with grpc.insecure_channel(target) as channel:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        described = pool.FindServiceByName(service).FindMethodByName(name)
        response_class = GetMessageClass(described.output_type)
        stub: Any = channel.unary_stream(
            f"/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        message = json_format.Parse(request, GetMessageClass(described.input_type)())
        try:
            list(stub(message, timeout=60))
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        return grpc.StatusCode.OK


async def test_every_call_with_grpcurl_is_one_that_the_server_takes(
    analyzer: ConversationAnalyzer, tmp_path: Path
) -> None:
    """This server has no signals, files and jobs, which it says only of valid requests."""
    made = examples()
    assert len(made) >= 7
    taken = {
        grpc.StatusCode.OK,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
    }
    async with serving_jobs(analyzer, tmp_path) as server:
        target = f"127.0.0.1:{server.served.rpc.port}"
        for method, request in made:
            code = await asyncio.to_thread(call, target, method, request)
            assert code in taken, (method, request, code)
