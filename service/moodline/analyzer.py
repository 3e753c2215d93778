"""Analyses conversations: encode each turn once, read the turns in order, roll up.

The unary call, a batch item and a stream run through the same `_Reading`, so they give the same
numbers for the same turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from moodline.artifact import Artifact
from moodline.batching.planner import Priority
from moodline.batching.runner import BatchRunner
from moodline.domain import (
    Absence,
    AnalysisWarning,
    Conversation,
    ConversationAnalysis,
    DuplicateTurn,
    Evidence,
    Role,
    StreamedTurn,
    Turn,
    TurnResult,
    TurnScores,
    WarningCode,
)
from moodline.encoding import EncodedTurn, TurnEncoder
from moodline.engine import HeadOutput, OnnxConversationHead
from moodline.errors import FieldViolation, InputTooLongError, InvalidRequestError
from moodline.evidence import evidence_weights, explained_aspects, find_evidence
from moodline.inference import WindowEncoding
from moodline.language import LanguageDetector, LanguageSupport, LanguageTracker, TurnLanguage
from moodline.limits import Limits
from moodline.pacing import Pacer
from moodline.rollup import RollupAccumulator
from moodline.scoring import TurnLogits, score_turn
from moodline.telemetry.logging import current_record
from moodline.telemetry.metrics import Metrics, Stage

_T = TypeVar("_T")

CHARS_PER_TOKEN: Final = 3
"""Code points that a token covers; admission reserves by it before tokenizing, and the estimate is
settled after. Measured on models/data: en 3.9, tr 3.9, ar 3.0."""
ONE_SIDED_TURNS: Final = 8
"""From so many turns on, a conversation of one role alone is probably labelled wrongly."""


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """What a result should hold."""

    is_evidence_wanted: bool = True


@dataclass(frozen=True, slots=True)
class _VectorTurn:
    """A turn with what the encoder says of it."""

    turn: Turn
    vector: NDArray[np.float32]
    encoded: EncodedTurn
    window_logits: tuple[NDArray[np.float32], ...]


class ConversationAnalyzer:
    """Analyses conversations; one per process, shared by all callers."""

    def __init__(
        self,
        *,
        artifact: Artifact,
        turn_encoder: TurnEncoder,
        runner: BatchRunner,
        head: OnnxConversationHead,
        language_detector: LanguageDetector,
        executor: Executor,
        metrics: Metrics,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed; nothing is started here.

        Args:
            artifact: Labels, calibration and versions.
            turn_encoder: Text to windows.
            runner: Windows to vectors, in batches with other callers.
            head: Vectors to logits.
            language_detector: Tells the language of customer turns.
            executor: Where tokenizing and head steps run, so that the event loop stays free.
            metrics: Where durations and counts go.
            limits: What a stream may hold.
            clock: Monotonic time in seconds.
        """
        self.artifact = artifact
        self.limits = limits
        self.pacer = Pacer()
        self._turn_encoder = turn_encoder
        self._runner = runner
        self._head = head
        self._language_detector = language_detector
        self._executor = executor
        self._metrics = metrics
        self._clock = clock

    async def analyze(
        self,
        conversation: Conversation,
        *,
        priority: Priority = Priority.LIVE,
        deadline_s: float | None = None,
        options: AnalysisOptions = AnalysisOptions(),
        mode: str = "unary",
    ) -> ConversationAnalysis:
        """Analyse one whole, validated conversation.

        Args:
            conversation: At least one turn; texts hold something to read.
            priority: LIVE for somebody who waits, BULK for jobs.
            deadline_s: When nobody waits any longer, on `clock`.
            options: What the result should hold.
            mode: `unary` or `batch`, for the metrics.

        Raises:
            OverloadedError: If too much work is pending.
            InputTooLongError: If the conversation alone exceeds what may be pending.
            DeadlineExpiredError: If the deadline passed first.
            InferenceError: If the engine fails on it.
            NotReadyError: If the engine is not running.
            DrainingError: If the service shuts down.
        """
        reading = self._start_reading(conversation.language, options)
        turns = await self._encode(conversation.turns, priority=priority, deadline_s=deadline_s)
        output = await self._step(turns, reading.head_state)
        results = await self.pacer.map(
            lambda pair: reading.read(pair[1], _logits_of(output, pair[0])), list(enumerate(turns))
        )
        reading.head_state = output.state
        self._count_turns(conversation.turns, mode)
        return self._conclude(reading, conversation.conversation_id, tuple(results))

    def open_session(
        self,
        *,
        conversation_id: str,
        language: str = "",
        options: AnalysisOptions = AnalysisOptions(),
    ) -> ConversationSession:
        """Begin a live conversation."""
        return ConversationSession(self, conversation_id, self._start_reading(language, options))

    def _start_reading(self, language: str, options: AnalysisOptions) -> _Reading:
        return _Reading(
            artifact=self.artifact,
            head_state=self._head.initial_state(),
            language=LanguageTracker(self._language_detector, declared=language),
            options=options,
        )

    async def _encode(
        self, turns: Sequence[Turn], *, priority: Priority, deadline_s: float | None
    ) -> list[_VectorTurn]:
        texts = [turn.text for turn in turns]
        estimate = sum(len(text) // CHARS_PER_TOKEN + 2 for text in texts)
        with self._runner.admit(estimate, priority) as reservation:
            started_s = self._clock()
            encoded = await self._in_executor(lambda: self._turn_encoder.encode(texts))
            self._observe(Stage.TOKENIZE, started_s)
            windows = [window for turn in encoded for window in turn.windows]
            encodings = iter(
                await self._runner.encode(
                    windows, priority=priority, deadline_s=deadline_s, reservation=reservation
                )
            )
        return [
            _join(turn, encoded_turn, [next(encodings) for _ in encoded_turn.windows])
            for turn, encoded_turn in zip(turns, encoded, strict=True)
        ]

    async def _step(self, turns: Sequence[_VectorTurn], state: NDArray[np.float32]) -> HeadOutput:
        vectors = np.stack([turn.vector for turn in turns])
        roles = np.array([int(turn.turn.role is not Role.CUSTOMER) for turn in turns])
        started_s = self._clock()
        output = await self._in_executor(lambda: self._head.step(vectors, roles, state))
        self._observe(Stage.HEAD, started_s)
        return output

    async def _in_executor(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _observe(self, stage: Stage, started_s: float) -> None:
        duration_s = self._clock() - started_s
        self._metrics.observe_stage(stage, duration_s)
        current_record().add_stage(stage, duration_s)

    def _count_turns(self, turns: Sequence[Turn], mode: str) -> None:
        current_record().turn_count += len(turns)
        current_record().model_version = self.artifact.model_version
        for turn in turns:
            self._metrics.turns_total.labels(mode=mode, role=turn.role.value).inc()

    def _conclude(
        self, reading: _Reading, conversation_id: str, results: tuple[TurnResult, ...]
    ) -> ConversationAnalysis:
        started_s = self._clock()
        rollup = reading.rollup.rollup()
        self._observe(Stage.ROLLUP, started_s)
        warnings = list(reading.warnings)
        if rollup.absence is Absence.INSUFFICIENT_TURNS:
            warnings.append(
                AnalysisWarning(
                    WarningCode.INSUFFICIENT_TURNS, "No customer turn: there is nothing to score."
                )
            )
        if reading.turn_count >= ONE_SIDED_TURNS and len(reading.roles) == 1:
            warnings.append(
                AnalysisWarning(
                    WarningCode.ROLE_UNCERTAIN,
                    f"All {reading.turn_count} turns are given as {next(iter(reading.roles))}; if "
                    "one channel carries both speakers, give each turn its own role.",
                )
            )
        return ConversationAnalysis(
            conversation_id=conversation_id,
            turns=results,
            rollup=rollup,
            model_version=self.artifact.model_version,
            configuration_digest=self.artifact.digest,
            language=reading.language.language,
            is_language_measured=reading.language.support is LanguageSupport.MEASURED,
            warnings=tuple(warnings),
        )


class ConversationSession:
    """A live conversation. Its turns come one at a time, in order, from one caller.

    What it keeps grows by a hash per final turn and a number per customer turn; nothing else.
    """

    def __init__(
        self, analyzer: ConversationAnalyzer, conversation_id: str, reading: _Reading
    ) -> None:
        """Made by `ConversationAnalyzer.open_session` alone."""
        self._analyzer = analyzer
        self._conversation_id = conversation_id
        self._reading = reading
        self._final_turns: dict[bytes, tuple[int, bytes]] = {}
        self._open_partials: set[str] = set()

    async def add_turn(
        self, turn: Turn, *, is_final: bool, deadline_s: float | None = None
    ) -> StreamedTurn | DuplicateTurn:
        """Read the next turn, or a provisional form of it.

        A partial turn is answered from the final turns before it and changes nothing.

        Args:
            turn: A validated turn with an id.
            is_final: Whether these are its final words.
            deadline_s: When nobody waits any longer, on the analyzer's clock.

        Raises:
            InvalidRequestError: If a final turn would be replaced.
            InputTooLongError: If a limit of the stream is exceeded.
            MoodlineError: As `ConversationAnalyzer.analyze`.
        """
        key, content = _digest(turn.turn_id), _digest(repr(turn))
        if key in self._final_turns:
            index, known = self._final_turns[key]
            if is_final and known == content:
                return DuplicateTurn(turn.turn_id, index)
            raise InvalidRequestError(
                [
                    FieldViolation(
                        "turn.turn_id",
                        f"names turn {index}, which is final and cannot be replaced; give a new "
                        "turn an id of its own",
                    )
                ]
            )
        self._check_limits(turn, is_final)
        analyzer, reading = self._analyzer, self._reading
        (vector_turn,) = await analyzer._encode(
            (turn,), priority=Priority.LIVE, deadline_s=deadline_s
        )
        output = await analyzer._step((vector_turn,), reading.head_state)
        logits = _logits_of(output, 0)
        if not is_final:
            self._open_partials.add(turn.turn_id)
            result = reading.preview(vector_turn, logits)
            return StreamedTurn(result, False, reading.rollup.state_with(result), ())
        known_warnings = len(reading.warnings)
        result = reading.read(vector_turn, logits)
        reading.head_state = output.state
        self._open_partials.discard(turn.turn_id)
        self._final_turns[key] = (result.turn_index, content)
        analyzer._count_turns((turn,), "stream")
        return StreamedTurn(
            result, True, reading.rollup.state(), tuple(reading.warnings[known_warnings:])
        )

    def finish(self) -> ConversationAnalysis:
        """The roll-up over the final turns; `turns` is empty, they were answered one by one."""
        return self._analyzer._conclude(self._reading, self._conversation_id, ())

    def _check_limits(self, turn: Turn, is_final: bool) -> None:
        limits = self._analyzer.limits
        if len(self._final_turns) >= limits.max_stream_turns:
            raise InputTooLongError(
                [
                    FieldViolation(
                        "turn",
                        f"is past the {limits.max_stream_turns} final turns of one stream; open "
                        "another stream for what follows",
                    )
                ]
            )
        opens = not is_final and turn.turn_id not in self._open_partials
        if opens and len(self._open_partials) >= limits.max_partial_turns_open:
            raise InputTooLongError(
                [
                    FieldViolation(
                        "turn.is_final",
                        f"would open a partial turn besides {len(self._open_partials)} others, the "
                        "most that may be open; send final words for some of them",
                    )
                ]
            )


class _Reading:
    """How far one conversation has been read: everything that later turns depend on."""

    def __init__(
        self,
        *,
        artifact: Artifact,
        head_state: NDArray[np.float32],
        language: LanguageTracker,
        options: AnalysisOptions,
    ) -> None:
        self.head_state = head_state
        self.language = language
        self.rollup = RollupAccumulator()
        self.warnings: list[AnalysisWarning] = []
        self.turn_count = 0
        self.roles: set[Role] = set()
        self._artifact = artifact
        self._options = options
        self._warned: set[WarningCode] = set()
        self._latest_start_ms = 0

    def preview(self, turn: _VectorTurn, logits: TurnLogits) -> TurnResult:
        """The result of a turn that may still change; nothing is remembered."""
        return self._result(turn, logits, self._language_of(turn.turn, self.language.preview))

    def read(self, turn: _VectorTurn, logits: TurnLogits) -> TurnResult:
        """The result of the next final turn."""
        language = self._language_of(turn.turn, self.language.add)
        result = self._result(turn, logits, language)
        self._warn(turn.turn, language)
        self.rollup.add(result)
        self.turn_count += 1
        self.roles.add(turn.turn.role)
        return result

    @staticmethod
    def _language_of(turn: Turn, look: Callable[[str], TurnLanguage]) -> TurnLanguage | None:
        # Agents may use another language than the customer; only the customer's is followed.
        return look(turn.text) if turn.role is Role.CUSTOMER else None

    def _result(
        self, turn: _VectorTurn, logits: TurnLogits, language: TurnLanguage | None
    ) -> TurnResult:
        # An agent's turn leaves the language as it was.
        tag = self.language.language if language is None else language.language
        absence = Absence.NOT_CUSTOMER if language is None else language.absence
        if absence is not None:
            return TurnResult(self.turn_count, turn.turn, None, absence, tag)
        manifest = self._artifact.manifest
        scores = score_turn(logits, labels=manifest.labels, calibration=manifest.calibration)
        if self._options.is_evidence_wanted:
            scores = replace(scores, evidence=self._evidence(turn, scores))
        return TurnResult(self.turn_count, turn.turn, scores, None, tag)

    def _evidence(self, turn: _VectorTurn, scores: TurnScores) -> tuple[Evidence, ...]:
        return find_evidence(
            turn.turn.text,
            turn.encoded.offsets,
            evidence_weights(turn.encoded, turn.window_logits),
            aspects=self._artifact.manifest.encoder.aspects,
            wanted=explained_aspects(scores),
        )

    def _warn(self, turn: Turn, language: TurnLanguage | None) -> None:
        if language is not None:
            unsupported = WarningCode.UNSUPPORTED_LANGUAGE if language.absence else None
            code = unsupported or language.warning
            if code is not None:
                self._warn_once(code, _LANGUAGE_MESSAGES[code])
        if turn.start_ms is not None:
            if turn.start_ms < self._latest_start_ms:
                self._warn_once(
                    WarningCode.TURNS_OUT_OF_TIME_ORDER,
                    f"Starts at {turn.start_ms} ms, before an earlier turn "
                    f"({self._latest_start_ms} ms); turns are read in the order given.",
                )
            self._latest_start_ms = max(self._latest_start_ms, turn.start_ms)

    def _warn_once(self, code: WarningCode, message: str) -> None:
        if code not in self._warned:
            self._warned.add(code)
            self.warnings.append(AnalysisWarning(code, message, self.turn_count))


_LANGUAGE_MESSAGES: Final = {
    WarningCode.UNMEASURED_LANGUAGE: (
        "The model reads this language, but its quality in it has not been measured."
    ),
    WarningCode.UNSUPPORTED_LANGUAGE: (
        "The model cannot read this language or script; turns in it have no scores."
    ),
}


def _join(turn: Turn, encoded: EncodedTurn, encodings: Sequence[WindowEncoding]) -> _VectorTurn:
    """The turn's vector: the mean of its windows' by the content that each adds."""
    if len(encodings) == 1:
        vector = encodings[0].vector
    else:
        weights = np.array([window.weight for window in encoded.windows], dtype=np.float32)
        vectors = np.stack([encoding.vector for encoding in encodings])
        vector = (weights / weights.sum()) @ vectors
    return _VectorTurn(turn, vector, encoded, tuple(e.evidence for e in encodings))


def _logits_of(output: HeadOutput, index: int) -> TurnLogits:
    return {name: values[index] for name, values in output.logits.items()}


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
