"""Typed clients of the analysis service, sync and asyncio.

    with MoodlineClient("127.0.0.1:50051", token=token) as client:
        conversation = Conversation(conversation_id="c-1")
        conversation.turns.add(role="customer", text="This is the third time I call!")
        print(client.analyze(conversation).turns[0].sentiment.label)

Requests and results are the messages of `moodline.v1`. The part of moodline that knows gRPC, with
`moodline.rpc`.
"""

from moodline.client.aio_client import AsyncConversationStream, AsyncMoodlineClient
from moodline.client.aio_signals import AsyncSignalWatch
from moodline.client.batch import BatchOutcome
from moodline.client.endpoint import TlsOptions
from moodline.client.errors import MoodlineRpcError
from moodline.client.health import check_health
from moodline.client.retry import RetryPolicy
from moodline.client.signals import SignalWatch
from moodline.client.streams import StreamAnswer
from moodline.client.sync_client import ConversationStream, MoodlineClient
from moodline.v1.analysis_pb2 import (
    AnalysisOptions,
    ConversationAnalysis,
    ConversationState,
    TurnResult,
)
from moodline.v1.analysis_service_pb2 import (
    Capabilities,
    DuplicateTurn,
    StreamSignals,
    StreamTurnResult,
)
from moodline.v1.conversation_pb2 import Conversation, Turn
from moodline.v1.scoring_job_pb2 import ScoringJob, ScoringResult
from moodline.v1.signal_pb2 import Signal, SignalEvent
from moodline.v1.signal_service_pb2 import SignalFilter

__all__ = [
    "AnalysisOptions",
    "AsyncConversationStream",
    "AsyncMoodlineClient",
    "AsyncSignalWatch",
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
    "ScoringJob",
    "ScoringResult",
    "Signal",
    "SignalEvent",
    "SignalFilter",
    "SignalWatch",
    "StreamAnswer",
    "StreamSignals",
    "StreamTurnResult",
    "TlsOptions",
    "Turn",
    "TurnResult",
    "check_health",
]
