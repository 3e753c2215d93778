"""Who gets in, over the wire; the rules themselves are tested in tests/unit/rpc."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
import yaml
from grpc_health.v1 import health_pb2

from moodline.analyzer import ConversationAnalyzer
from moodline.settings import AuthSettings
from moodline.v1.analysis_service_pb2 import (
    BatchAnalyzeConversationsRequest,
    GetCapabilitiesRequest,
)
from moodline.v1.conversation_pb2 import Conversation
from tests.integration.harness import (
    Refusal,
    Served,
    configuration,
    converse,
    health_stub,
    refusal,
    request,
    serving,
    settings,
    streamed,
    turn,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

METHODS = [
    "AnalyzeConversation",
    "BatchAnalyzeConversations",
    "StreamConversation",
    "GetCapabilities",
]

Metadata = list[tuple[str, str]]


def token_entry(name: str, *scopes: str, **fields: str) -> dict[str, object]:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return {"name": name, "sha256": sha256, "tenant": "acme", "scopes": list(scopes), **fields}


@pytest.fixture(scope="module")
def tokens_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    tokens = [
        token_entry("good", "analysis"),
        token_entry("expired", "analysis", expires_at="2020-01-01T00:00:00Z"),
        token_entry("powerless"),
    ]
    path.write_text(yaml.safe_dump({"tokens": tokens}), encoding="utf-8")
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(analyzer: ConversationAnalyzer, tokens_file: Path) -> AsyncIterator[Served]:
    auth = AuthSettings(mode="token", tokens_file=tokens_file)
    async with serving(analyzer, with_settings=settings(auth=auth)) as served:
        yield served


async def call(served: Served, method: str, metadata: Metadata) -> None:
    stub = served.stub
    match method:
        case "AnalyzeConversation":
            await stub.AnalyzeConversation(request([turn()]), metadata=metadata)
        case "BatchAnalyzeConversations":
            await stub.BatchAnalyzeConversations(
                BatchAnalyzeConversationsRequest(
                    conversations=[Conversation(conversation_id="c1", turns=[turn()])]
                ),
                metadata=metadata,
            )
        case "StreamConversation":
            messages = [configuration(), streamed("t1")]
            await converse(stub.StreamConversation(metadata=metadata), messages)
        case _:
            await stub.GetCapabilities(GetCapabilitiesRequest(), metadata=metadata)


async def refused(served: Served, method: str, metadata: Metadata) -> Refusal:
    return await refusal(call(served, method, metadata))


@pytest.mark.parametrize("method", METHODS)
async def test_a_good_token_opens_every_method(guarded: Served, method: str) -> None:
    await call(guarded, method, [("authorization", "Bearer good"), ("moodline-tenant", "acme")])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "metadata", [[], [("authorization", "Bearer nobody")], [("authorization", "Bearer expired")]]
)
async def test_without_a_valid_token_every_method_is_closed(
    guarded: Served, method: str, metadata: Metadata
) -> None:
    answer = await refused(guarded, method, metadata)
    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert answer.reason == "UNAUTHENTICATED"
    assert "nobody" not in answer.raw


@pytest.mark.parametrize("method", METHODS)
async def test_a_token_without_the_scope_is_denied(guarded: Served, method: str) -> None:
    answer = await refused(guarded, method, [("authorization", "Bearer powerless")])
    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert answer.reason == "PERMISSION_DENIED"


@pytest.mark.parametrize("method", METHODS)
async def test_a_token_of_another_tenant_is_denied(guarded: Served, method: str) -> None:
    metadata = [("authorization", "Bearer good"), ("moodline-tenant", "rival")]
    answer = await refused(guarded, method, metadata)
    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert answer.reason == "TENANT_MISMATCH"


async def test_probes_need_no_token(guarded: Served) -> None:
    health = health_stub(guarded.channel)
    response = await health.Check(health_pb2.HealthCheckRequest())
    assert response.status == health_pb2.HealthCheckResponse.SERVING
