"""A job without a model: conversations written to files, and an engine that only pretends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from moodline.errors import EngineDiedError, FieldViolation
from moodline.jobs.answers import Answer, Refused, Scored, analysis_line
from moodline.jobs.folder import JobTerms, StartMode, open_job_folder, prepare_output
from moodline.jobs.inputs import find_inputs
from moodline.jobs.items import Item, Reading, SourceEnd, read_items
from moodline.jobs.model import ModelIdentity
from moodline.jobs.outputs.output import ERRORS_FILE, Output
from moodline.jobs.run import OutcomeListener, run_job
from moodline.transcripts import load_formats
from moodline.v1.analysis_pb2 import ConversationAnalysis
from moodline.v1.conversation_pb2 import Conversation

IDENTITY = ModelIdentity("pretended 1", "d1", "r1")
TERMS = JobTerms("pretended 1", "d1", "r1", "jsonl", "")
READING = Reading(load_formats())
REFUSED_ID = "refused"


def conversation(name: str, *texts: str) -> dict[str, Any]:
    roles = ("customer", "agent")
    turns = [
        {"role": roles[index % 2], "text": text, "start_ms": index * 1000}
        for index, text in enumerate(texts or (f"I am {name}", "Hello"))
    ]
    return {"conversation_id": name, "channel": "chat", "turns": turns}


def write_lines(path: Path, records: Iterable[object]) -> Path:
    lines = (one if isinstance(one, str) else json.dumps(one) for one in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def items_of(*paths: Path, reading: Reading = READING, known: Any = None) -> list[Item | SourceEnd]:
    return list(read_items(find_inputs([str(path) for path in paths]), reading, known or {}))


def pretended_answer(message: bytes) -> Answer:
    """Every customer turn is a bit negative; one conversation is refused."""
    request = Conversation.FromString(message)
    if request.conversation_id == REFUSED_ID:
        return Refused("INVALID_REQUEST", (FieldViolation("turns[0].text", "is too long"),))
    analysis = ConversationAnalysis(
        conversation_id=request.conversation_id,
        model_version=IDENTITY.model_version,
        configuration_digest=IDENTITY.configuration_digest,
        language="en",
        expected_csat=2.5,
    )
    analysis.sentiment.label, analysis.sentiment.score = "NEGATIVE", -0.25
    analysis.sentiment.customer_turn_count = 1
    analysis.stage.name = "problem"
    analysis.stage.stage_path.add(name="problem", turn_index=0)
    analysis.tags.add(name="billing", probability=0.75)
    for index, turn in enumerate(request.turns):
        result = analysis.turns.add(turn_index=index, role=turn.role)
        if turn.role != "customer":
            result.absence = "NOT_CUSTOMER"
            continue
        result.sentiment.label, result.sentiment.score = "NEGATIVE", -0.25
        result.sentiment.probabilities["NEGATIVE"] = 1.0
        result.stage.name = "problem"
        result.tags.add(name="billing", probability=0.75)
        result.evidence.add(start=0, end=1, text=turn.text[:1], aspect="sentiment", weight=0.5)
    return Scored(analysis_line(analysis))


class PretendedEngine:
    """Answers when it is told to, in any order."""

    identity = IDENTITY

    def __init__(
        self,
        *,
        max_in_flight: int = 4,
        pick: Callable[[int], int] | None = None,
        dies_after: int | None = None,
    ) -> None:
        """Take how it behaves.

        Args:
            max_in_flight: As of engines.
            pick: Of so many unanswered ones, which is answered when one more comes; None answers
                each at once.
            dies_after: How many are answered at all.
        """
        self.max_in_flight = max_in_flight
        self.max_seen_in_flight = 0
        self.submitted_count = 0
        self._pick = pick
        self._dies_after = dies_after
        self._open: list[tuple[bytes, Future[Answer]]] = []

    def submit(self, message: bytes) -> Future[Answer]:
        future: Future[Answer] = Future()
        self.submitted_count += 1
        if self._dies_after is not None and self.submitted_count > self._dies_after:
            future.set_exception(EngineDiedError("it died"))
            return future
        self._open.append((message, future))
        self.max_seen_in_flight = max(self.max_seen_in_flight, len(self._open))
        if self._pick is None:
            self._answer(0)
        elif len(self._open) >= self.max_in_flight:
            while self._open:
                self._answer(self._pick(len(self._open)))
        return future

    def finish(self) -> None:
        while self._open:
            self._answer(0)

    def _answer(self, index: int) -> None:
        message, future = self._open.pop(index)
        future.set_result(pretended_answer(message))


def run(
    out: Path,
    *inputs: Path,
    output: Output,
    engine: PretendedEngine | None = None,
    mode: StartMode = StartMode.NEW,
    terms: JobTerms = TERMS,
    reading: Reading = READING,
    max_part_items: int = 3,
    listener: OutcomeListener = OutcomeListener(),
) -> bool:
    """Run a job; tells whether there was something to do."""
    if not prepare_output(out, mode):
        return False
    with open_job_folder(out, terms) as folder:
        run_job(
            read_items(find_inputs([str(one) for one in inputs]), reading, folder.sources),
            engine or PretendedEngine(),
            output,
            folder,
            max_part_items=max_part_items,
            listener=listener,
        )
        errors_file = out.with_name(ERRORS_FILE)
        folder.finish(output.assemble, out, side_files={ERRORS_FILE: errors_file})
    return True


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
