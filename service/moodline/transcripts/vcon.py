"""vCon: the conversation container of the IETF, voice and chat, from its first drafts to 0.4.

Source: draft-ietf-vcon-vcon-core and draft-ietf-vcon-cc-extension; transcripts after
draft-howe-vcon-wtf-extension.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import AliasChoices, Field

from moodline.errors import FieldViolation, InvalidRequestError
from moodline.json_lines import load_json
from moodline.transcripts.assembly import Said, assemble
from moodline.transcripts.markup import text_of_html
from moodline.transcripts.reading import Document, ReadOptions, json_format, refuse
from moodline.transcripts.records import EpochMs, Record, SecondsAsMs, Text, read_record
from moodline.transcripts.transcript import (
    SkippedTurn,
    SkipReason,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
)
from moodline.transcripts.vocabulary import role_of

KNOWN_EXTENSIONS: Final = frozenset({"CC"})
"""Extensions that may be critical: they change nothing that is read here."""

_SIGNATURE: Final = TranscriptWarning(
    TranscriptWarningCode.SIGNATURE_NOT_VERIFIED,
    "The vCon is signed; its signature was not verified.",
)


class _Party(Record):
    name: Text = ""
    type: Text = ""
    role: Text = ""
    uuid: Text = ""
    tel: Text = ""
    mailto: Text = ""

    @property
    def speaker_role(self) -> SpeakerRole:
        """The role: a bot is one, whomever it speaks for."""
        return SpeakerRole.BOT if self.type == "bot" else role_of(self.role)


class _Dialog(Record):
    type: Text = ""
    start: EpochMs | None = None
    parties: Any = None
    originator: int | None = None
    mediatype: Text = Field("", validation_alias=AliasChoices("mediatype", "mimetype"))
    encoding: Text = "none"
    body: Any = None
    message_id: Text = ""
    interaction_id: Text = ""

    @property
    def party_indexes(self) -> tuple[int, ...]:
        """All parties; where channels carry several each, they are nested."""
        return tuple(_numbers_in(self.parties))


class _Analysis(Record):
    type: Text = ""
    dialog: Any = None
    encoding: Text = "json"
    body: Any = None


class _Attachment(Record):
    purpose: Text = Field("", validation_alias=AliasChoices("purpose", "type"))
    body: Any = None


class _Vcon(Record):
    uuid: Text = ""
    subject: Text = ""
    parties: tuple[_Party, ...] = ()
    dialog: tuple[_Dialog, ...] = ()
    analysis: tuple[_Analysis, ...] = ()
    attachments: tuple[_Attachment, ...] = ()
    critical: tuple[Text, ...] = ()


class _Segment(Record):
    """A piece of a transcript, as the vendors of transcription write it."""

    start: SecondsAsMs | None = None
    end: SecondsAsMs | None = None
    text: Text = Field("", validation_alias=AliasChoices("text", "transcript", "message"))
    speaker: Text = Field("", validation_alias=AliasChoices("speaker", "party", "speaker_id"))


class _Speaker(Record):
    label: Text = ""


class _TranscriptInfo(Record):
    language: Text = ""


class _TranscriptBody(Record):
    transcript: Any = None
    segments: tuple[_Segment, ...] = Field(
        validation_alias=AliasChoices("segments", "utterances", "turns")
    )
    speakers: dict[str, _Speaker] = Field(default_factory=dict)
    language: Text = ""

    @property
    def spoken_language(self) -> str:
        nested = self.transcript if isinstance(self.transcript, dict) else {}
        return self.language or read_record(_TranscriptInfo, nested).language


def _read(document: Document, options: ReadOptions) -> Iterator[Transcript]:
    record, warnings = unsigned(document.record)
    whole = read_record(_Vcon, record)
    strange = [name for name in whole.critical if name not in KNOWN_EXTENSIONS]
    if strange:
        raise refuse(
            FieldViolation(
                "critical",
                f"requires {len(strange)} extensions that moodline does not know; a reader must "
                "not guess what they change",
            )
        )
    origin_ms = min((one.start for one in whole.dialog if one.start is not None), default=None)
    said = [*_messages(whole, origin_ms)]
    language = ""
    transcribed: set[int] = set()
    for index, analysis in enumerate(whole.analysis):
        dialog_indexes = tuple(_numbers_in(analysis.dialog)) or (0,)
        dialog_index = dialog_indexes[0]
        # A second transcript of the same dialog says the same again.
        if analysis.type != "transcript" or dialog_index in transcribed:
            continue
        transcribed.update(dialog_indexes)
        body = _transcript_body(analysis, f"analysis[{index}].body")
        said += _segments(whole, body, index, dialog_index, origin_ms)
        language = language or body.spoken_language
    said += [
        SkippedTurn(SkipReason.NOT_TEXT, _wordless(index))
        for index, dialog in enumerate(whole.dialog)
        if dialog.type in {"recording", "video"} and index not in transcribed
    ]
    if not any(isinstance(entry, TranscriptTurn) for entry in said):
        raise refuse(
            FieldViolation(
                "dialog",
                "holds no text and analysis no transcript; add the transcript of its recordings",
            )
        )
    interaction_id = next((one.interaction_id for one in whole.dialog if one.interaction_id), "")
    tags = [tag for one in whole.attachments if one.purpose == "tags" for tag in _tags(one.body)]
    attributes = {"subject": whole.subject, "interaction_id": interaction_id, "tags": tags}
    yield assemble(
        said,
        conversation_id=whole.uuid or document.name,
        format_name="vcon",
        options=options,
        begin_ms=origin_ms,
        channel="call" if transcribed else "chat",
        language=language,
        names={party_id(whole.parties, i): one.name for i, one in enumerate(whole.parties)},
        warnings=warnings,
        attributes={name: value for name, value in attributes.items() if value},
        document=document.record,
    )


def unsigned(
    record: Mapping[str, object],
) -> tuple[Mapping[str, object], list[TranscriptWarning]]:
    """Return the vCon in its JSON Web Signature, if it is in one; the signature is not verified.

    Raises:
        InvalidRequestError: If it is encrypted, or what is signed is no vCon.
    """
    if "ciphertext" in record:
        raise refuse(FieldViolation("ciphertext", "is encrypted; decrypt the vCon first"))
    if "payload" not in record:
        return record, []
    try:
        payload = load_json(_base64url(record["payload"]))
    except (InvalidRequestError, ValueError):
        payload = None
    if not isinstance(payload, dict):
        raise refuse(FieldViolation("payload", "should be a vCon as JSON in base64url"))
    return payload, [_SIGNATURE]


def party_id(parties: Sequence[_Party], index: int) -> str:
    """Return what names a party: others point at it by its index alone."""
    return parties[index].uuid or f"party-{index}"


def _messages(whole: _Vcon, origin_ms: int | None) -> Iterator[Said]:
    for index, dialog in enumerate(whole.dialog):
        if dialog.type != "text":
            if dialog.type in {"transfer", "incomplete"}:
                yield SkippedTurn(SkipReason.EVENT, _wordless(index))
            continue
        speaker = dialog.originator
        if speaker is None:
            speaker = next(iter(dialog.party_indexes), None)
        start_ms = None if dialog.start is None else dialog.start - (origin_ms or 0)
        turn = TranscriptTurn(
            role=SpeakerRole.UNKNOWN,
            text="",
            turn_id=dialog.message_id,
            start_ms=start_ms,
            attributes={"dialog": index},
            place=f"dialog[{index}]",
        )
        turn = _spoken_by(turn, whole.parties, speaker)
        kind = (dialog.mediatype or "text/plain").partition(";")[0].strip().casefold()
        if not kind.startswith("text/"):
            yield SkippedTurn(SkipReason.NOT_TEXT, turn)
            continue
        text = _dialog_text(dialog, f"dialog[{index}].body")
        yield replace(turn, text=text_of_html(text) if kind == "text/html" else text)


def _wordless(dialog_index: int) -> TranscriptTurn:
    place = f"dialog[{dialog_index}]"
    return TranscriptTurn(role=SpeakerRole.SYSTEM, text="", place=place)


def _segments(
    whole: _Vcon,
    body: _TranscriptBody,
    analysis_index: int,
    dialog_index: int,
    origin_ms: int | None,
) -> Iterator[TranscriptTurn]:
    dialog = whole.dialog[dialog_index] if dialog_index < len(whole.dialog) else _Dialog()
    shift_ms = 0 if dialog.start is None or origin_ms is None else dialog.start - origin_ms
    for index, segment in enumerate(body.segments):
        turn = TranscriptTurn(
            role=SpeakerRole.UNKNOWN,
            text=segment.text.strip(),
            participant_id=segment.speaker,
            start_ms=None if segment.start is None else segment.start + shift_ms,
            end_ms=None if segment.end is None else segment.end + shift_ms,
            attributes={"dialog": dialog_index, "segment": index},
            place=f"analysis[{analysis_index}].body.segments[{index}]",
        )
        speaker = _party_of_speaker(segment.speaker, body.speakers, whole.parties, dialog)
        yield _spoken_by(turn, whole.parties, speaker)


def _party_of_speaker(
    speaker: str, speakers: Mapping[str, _Speaker], parties: Sequence[_Party], dialog: _Dialog
) -> int | None:
    """Return the party that a transcript's speaker is: by name, else by index.

    A speaker's number is the index of a party only by habit, so it counts only where the party is
    in the dialog, and where no name contradicts it.
    """
    label = speakers[speaker].label if speaker in speakers else speaker
    named = [i for i, one in enumerate(parties) if one.name.casefold() == label.casefold() != ""]
    if len(named) == 1:
        return named[0]
    if not speaker.isdecimal():
        return None
    index = int(speaker)
    return index if index in (dialog.party_indexes or range(len(parties))) else None


def _spoken_by(
    turn: TranscriptTurn, parties: Sequence[_Party], index: int | None
) -> TranscriptTurn:
    if index is None or not 0 <= index < len(parties):
        return turn
    return replace(
        turn,
        role=parties[index].speaker_role,
        participant_id=party_id(parties, index),
        attributes={**turn.attributes, "party": index},
    )


def _dialog_text(dialog: _Dialog, place: str) -> str:
    body = dialog.body
    if dialog.encoding in {"base64url", "base64"}:
        try:
            body = _base64url(body).decode("utf-8")
        except ValueError:
            raise refuse(FieldViolation(place, "should be UTF-8 text in base64url")) from None
    if body is None:
        return ""
    if not isinstance(body, str):
        raise refuse(FieldViolation(place, "should be text"))
    return body


def _transcript_body(analysis: _Analysis, place: str) -> _TranscriptBody:
    body = analysis.body
    if isinstance(body, str):
        try:
            raw = _base64url(body) if analysis.encoding.startswith("base64") else body.encode()
            body = load_json(raw)
        except (InvalidRequestError, ValueError):
            raise refuse(
                FieldViolation(
                    place,
                    "holds no JSON; moodline reads transcripts with segments, not plain text",
                )
            ) from None
    if isinstance(body, list):
        body = {"segments": body}
    return read_record(_TranscriptBody, body, at=place)


def _base64url(value: object) -> bytes:
    """Decode base64url, also without padding or in the older alphabet.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(value, str):
        raise ValueError("should be text")  # noqa: TRY004 - told as a violation like the others
    text = value.strip().replace("+", "-").replace("/", "_").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("should be base64url") from error


def _numbers_in(value: object) -> Iterator[int]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _numbers_in(item)


def _tags(body: object) -> list[str]:
    if isinstance(body, str):
        try:
            body = load_json(body.encode())
        except InvalidRequestError:
            return []
    return [tag for tag in body if isinstance(tag, str)] if isinstance(body, list) else []


def _is_vcon(record: Mapping[str, object]) -> bool:
    is_plain = "vcon" in record and "parties" in record
    is_sealed = "signatures" in record or {"ciphertext", "recipients"} <= set(record)
    return is_plain or ("uuid" in record and {"parties", "dialog"} <= set(record)) or is_sealed


VCON: Final = json_format(
    "vcon",
    "vCon, voice and chat, plain or signed",
    "`vcon` with `parties`, or a JSON Web Signature around it (`payload`, `signatures`)",
    _is_vcon,
    _read,
)
