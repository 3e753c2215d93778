"""Typed clients of the analysis service, sync and asyncio.

    with MoodlineClient("127.0.0.1:50051", token=token) as client:
        conversation = Conversation(conversation_id="c-1")
        conversation.turns.add(role="customer", text="This is the third time I call!")
        print(client.analyze(conversation).turns[0].sentiment.label)

Requests and results are the messages of `moodline.v1`. The part of moodline that knows gRPC, with
`moodline.rpc`.
"""

from moodline.client.aio_client import AsyncConversationStream, AsyncMoodlineClient
from moodline.client.batch import BatchOutcome
from moodline.client.endpoint import TlsOptions
from moodline.client.errors import MoodlineRpcError
from moodline.client.health import check_health
from moodline.client.retry import RetryPolicy
from moodline.client.streams import StreamAnswer
from moodline.client.sync_client import ConversationStream, MoodlineClient
from moodline.v1.analysis_pb2 import (
    AnalysisOptions,
    ConversationAnalysis,
    ConversationState,
    TurnResult,
)
from moodline.v1.analysis_service_pb2 import Capabilities, DuplicateTurn, StreamTurnResult
from moodline.v1.conversation_pb2 import Conversation, Turn

__all__ = [
    "AnalysisOptions",
    "AsyncConversationStream",
    "AsyncMoodlineClient",
    "BatchOutcome",
    "Capabilities",
    "Conversation",
    "ConversationAnalysis",
    "ConversationState",
    "ConversationStream",
    "DuplicateTurn",
    "MoodlineClient",
    "MoodlineRpcError",
    "RetryPolicy",
    "StreamAnswer",
    "StreamTurnResult",
    "TlsOptions",
    "Turn",
    "TurnResult",
    "check_health",
]
