"""vCon: the containers that were read, with our analysis in them.

An unsigned vCon gets it appended. A signed one may not be changed: what it holds is copied into a
new instance, whose `amended` names the old one; it is unsigned, for the signature was of others.

Source: draft-ietf-vcon-vcon-core, "Analysis Objects", "Amended vCon"; RFC 9562, "UUID Version 8".
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from moodline.jobs.answers import Scored
from moodline.jobs.outcomes import Outcome
from moodline.transcripts import Transcript, TranscriptTurn
from moodline.transcripts.vcon import unsigned

VENDOR: Final = "moodline"
PRODUCT: Final = "moodline"
SENTIMENT_SCHEMA: Final = "moodline-sentiment-v1"
JOURNEY_SCHEMA: Final = "moodline-journey-v1"
ESCALATION_SCHEMA: Final = "moodline-escalation-v1"

_ENDING: Final = ".vcon.json"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME_CHARS: Final = 80


def _now() -> datetime:
    return datetime.now(UTC)


class VconOutput:
    """Writes a folder of vCons, one file each, named by their place in the job and their id."""

    def __init__(self, *, clock: Callable[[], datetime] = _now) -> None:
        """Take the clock of `updated_at`; of results, it tells when they were written."""
        self._clock = clock

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes; see `Output`."""
        for number, outcome in enumerate(outcomes, first_number):
            answer, transcript = outcome.answer, outcome.item.transcript
            if not isinstance(answer, Scored) or transcript is None:
                continue
            document = analyzed_vcon(transcript, answer.record(), now=self._clock())
            safe_id = _UNSAFE.sub("_", transcript.conversation_id)[:_MAX_NAME_CHARS]
            file = folder / f"{number:07d}-{safe_id}{_ENDING}"
            file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Move all files into one folder; see `Output`."""
        out.mkdir(exist_ok=True)
        for part in parts:
            for file in sorted(part.glob(f"*{_ENDING}")):
                file.replace(out / file.name)


def analyzed_vcon(
    transcript: Transcript, analysis: Mapping[str, Any], *, now: datetime
) -> dict[str, Any]:
    """Return the vCon of a transcript with the results of its analysis.

    Nothing in it is moved or removed, since other objects point at its parts by their index. What
    it already says by the same model and configuration is not said again.

    Args:
        transcript: Read from a vCon.
        analysis: The JSON of its `ConversationAnalysis`.
        now: When the results were made.

    Raises:
        ValueError: If the transcript was not read from a vCon.
    """
    if transcript.document is None:
        raise ValueError("The transcript was not read from a vCon.")
    content, _ = unsigned(transcript.document)
    document: dict[str, Any] = copy.deepcopy(dict(content))
    provenance = {
        "model_version": analysis["model_version"],
        "configuration_digest": analysis["configuration_digest"],
    }
    present = document.get("analysis")
    objects = list(present) if isinstance(present, list) else []
    new = [
        one
        for one in _analysis_objects(transcript, analysis, provenance, now)
        if not any(_says_the_same(one, other) for other in objects)
    ]
    if not new:
        return document
    document["analysis"] = [*objects, *new]
    if content is transcript.document:
        document["updated_at"] = _stamp(now)
        return document
    old_uuid = document.get("uuid")
    document["uuid"] = _derived_uuid(f"{old_uuid} {json.dumps(provenance, sort_keys=True)}")
    document["created_at"] = _stamp(now)
    document.pop("updated_at", None)
    document["amended"] = {"uuid": old_uuid} if isinstance(old_uuid, str) else {}
    return document


def _analysis_objects(
    transcript: Transcript,
    analysis: Mapping[str, Any],
    provenance: Mapping[str, Any],
    now: datetime,
) -> list[dict[str, Any]]:
    turns = list(zip(transcript.turns, analysis["turns"], strict=True))
    dialogs = sorted({index for said, _ in turns if (index := _index(said, "dialog")) is not None})
    common = {
        "dialog": dialogs[0] if len(dialogs) == 1 else dialogs,
        "mediatype": "application/json",
        "vendor": VENDOR,
        "product": PRODUCT,
        "encoding": "json",
    }
    made = {"provenance": {**provenance, "generated_at": _stamp(now)}}
    scored = [(said, result) for said, result in turns if "sentiment" in result]

    def of_turns(*keys: str) -> list[dict[str, Any]]:
        return [{**_place(said), **_present(result, keys)} for said, result in scored]

    rollup_keys = ("language", "absence", "expected_csat")
    rollup = _present(analysis, rollup_keys)
    return [
        {
            "type": "sentiment",
            **common,
            "schema": SENTIMENT_SCHEMA,
            "body": {
                "scale": "[-1,1]",
                **rollup,
                **_present(analysis, ("sentiment",)),
                "turns": of_turns("sentiment", "expected_csat"),
                **made,
            },
        },
        {
            "type": "report",
            **common,
            "schema": JOURNEY_SCHEMA,
            "body": {
                **_present(analysis, ("stage", "tags")),
                "turns": of_turns("stage", "tags"),
                **made,
            },
        },
        {
            "type": "report",
            **common,
            "schema": ESCALATION_SCHEMA,
            "body": {
                **_present(analysis, ("urgency", "escalation")),
                "turns": of_turns("urgency", "escalation", "evidence"),
                **made,
            },
        },
    ]


def _place(said: TranscriptTurn) -> dict[str, Any]:
    """Say which turn it is: by indexes of the vCon, and by time where it is known."""
    indexes = {name: _index(said, name) for name in ("dialog", "segment", "party")}
    times = {"start_ms": said.start_ms, "end_ms": said.end_ms}
    return {name: value for name, value in (indexes | times).items() if value is not None}


def _index(said: TranscriptTurn, name: str) -> int | None:
    value = said.attributes.get(name)
    return value if isinstance(value, int) else None


def _present(record: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: record[key] for key in keys if record.get(key) not in (None, "", [])}


def _says_the_same(new: Mapping[str, Any], present: object) -> bool:
    """Tell whether an analysis is there by the same schema, model and configuration."""
    if not isinstance(present, Mapping):
        return False
    names = ("type", "vendor", "product", "schema", "dialog")
    if any(present.get(name) != new[name] for name in names):
        return False
    body = present.get("body")
    old = body.get("provenance") if isinstance(body, Mapping) else None
    own = new["body"]["provenance"]
    return isinstance(old, Mapping) and all(
        old.get(name) == own[name] for name in ("model_version", "configuration_digest")
    )


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _derived_uuid(content: str) -> str:
    """Return a UUID of version 8 that is the same for the same content, run after run."""
    number = int.from_bytes(hashlib.sha256(content.encode()).digest()[:16], "big")
    number = number & ~(0xF << 76) | 0x8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=number))
