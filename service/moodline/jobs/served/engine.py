"""The server itself as the engine of a job: behind live work, stopped at any moment."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Final

import structlog

from moodline.errors import FieldViolation, MoodlineError
from moodline.jobs.answers import Answer, Refused, Scored, analysis_line
from moodline.jobs.model import Analyze, ConversationError, ModelIdentity, patiently
from moodline.v1.conversation_pb2 import Conversation

IN_FLIGHT_PER_JOB: Final = 24
"""Conversations of a job that are analysed at a time, as many as of a batch call: enough to fill
engine calls, few enough to leave the ledger room for the batches of callers."""

_log = structlog.get_logger(__name__)


class ServerEngine:
    """Analyses conversations on the server's event loop, for a job that runs in a thread.

    Attributes:
        identity: The model that answers.
        max_in_flight: Conversations that may be submitted and not yet answered.
    """

    max_in_flight = IN_FLIGHT_PER_JOB

    def __init__(
        self, analyze: Analyze, identity: ModelIdentity, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Take what is needed.

        Args:
            analyze: Validates and analyses a conversation behind live work.
            identity: The model behind it.
            loop: Where it is called.
        """
        self.identity = identity
        self._analyze = analyze
        self._loop = loop
        self._lock = threading.Lock()
        self._is_stopped = False
        self._pending: set[Future[Answer]] = set()

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is analysed any more."""
        return self._is_stopped

    def submit(self, message: bytes) -> Future[Answer]:
        """Begin to analyse a conversation; see `ScoringEngine.submit`.

        Returns:
            Its answer; cancelled once the engine is stopped.
        """
        with self._lock:
            if self._is_stopped:
                stopped: Future[Answer] = Future()
                stopped.cancel()
                return stopped
            future = asyncio.run_coroutine_threadsafe(self._answer(message), self._loop)
            self._pending.add(future)
        future.add_done_callback(self._forget)
        return future

    def stop(self) -> None:
        """Analyse nothing any more; what is under way is given up."""
        with self._lock:
            self._is_stopped = True
            pending = list(self._pending)
        for future in pending:
            future.cancel()

    def _forget(self, future: Future[Answer]) -> None:
        with self._lock:
            self._pending.discard(future)

    async def _answer(self, message: bytes) -> Answer:
        conversation = Conversation.FromString(message)
        try:
            analysis = await patiently(lambda: self._analyze(conversation))
            # In a thread: a long result takes many milliseconds, in which live turns are due.
            return Scored(await asyncio.to_thread(analysis_line, analysis))
        except ConversationError as error:
            return Refused(error.code, error.violations)
        except MoodlineError:
            raise
        # Our bug; the other conversations are scored all the same.
        except Exception as error:  # noqa: BLE001
            _log.exception("scoring_job_item_failed")
            problem = f"made moodline fail with {type(error).__name__}; report it"
            return Refused("INTERNAL", (FieldViolation("", problem),))
