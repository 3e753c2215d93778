"""Formats are told by content, and what is in none is told so without being quoted."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from moodline.errors import InvalidRequestError, SettingsError
from moodline.transcripts import (
    ReadOptions,
    SpeakerRole,
    Transcript,
    TranscriptFormat,
    TranscriptSource,
    load_formats,
    open_source,
    read_transcripts,
)
from moodline.transcripts.assembly import assemble
from moodline.transcripts.reading import ReadItem, take_sample
from moodline.transcripts.registry import ENTRY_POINT_GROUP, OWN_FORMATS, format_named
from moodline.transcripts.transcript import TranscriptTurn
from tests.unit.transcripts.harness import SAMPLES, read, transcript, unreadable

SECRET = "my card number is 4111"
FILES = sorted(path for path in SAMPLES.iterdir() if path.is_file())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_one_format_alone_recognises_a_sample(path: Path) -> None:
    with open_source(path) as source:
        sample = take_sample(source, ReadOptions())
    assert len([one.name for one in OWN_FORMATS if one.detect(sample)]) == 1


def test_names_and_endings_decide_nothing() -> None:
    content = (SAMPLES / "webvtt.vtt").read_bytes()
    assert transcript(content, name="calls.json").format_name == "webvtt"


def test_every_format_has_a_sample() -> None:
    found = set()
    for path in FILES:
        with open_source(path) as source:
            sample = take_sample(source, ReadOptions())
        found |= {one.name for one in OWN_FORMATS if one.detect(sample)}
    # A Parquet file is made by its own test.
    assert found == {one.name for one in OWN_FORMATS} - {"parquet"}


def test_an_unknown_shape_is_told_what_was_looked_for() -> None:
    message = str(unreadable({"messages": [{"says": SECRET}], SECRET: 1}, name="export.json"))
    assert message.startswith(
        "export.json: is in no known format. Found a JSON object with messages."
    )
    for one in OWN_FORMATS:
        assert f"{one.name}: {one.identified_by}" in message
    assert SECRET not in message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty; there is nothing to read"),
        (b" \n\n", "is empty; there is nothing to read"),
        (b'{"turns": [{"text": "my card', "is not JSON from column"),
        (b'{"turns": [{"text": "my card"}\n', "is not JSON, for it ends too early; complete it"),
        (b'{\n "turns": [\n  my card', "is not JSON from line 3, column 3 on"),
        (b"my card number is 4111\n", "Found text, but no JSON object with keys"),
        (b"\x00\x01\x02\xff\xfe", "Found bytes that are no text"),
        (b"[]", "Found text, but no JSON object with keys"),
        (b"[1, 2]", "Found text, but no JSON object with keys"),
        (b"\xef\xbb\xbf\n", "is empty; there is nothing to read"),
        (gzip.compress(b"Agent: my card"), "is compressed by gzip; unpack it"),
        (b"PK\x03\x04my card", "is a ZIP archive or an Office document; unpack it"),
    ],
)
def test_what_is_no_transcript_is_told_and_not_quoted(content: bytes, told: str) -> None:
    message = str(unreadable(content))
    assert told in message
    assert "my card" not in message


def test_what_users_say_of_columns_and_labels_counts_when_a_format_is_detected() -> None:
    columns = {"Konuşan": "role", "Mesaj": "text"}
    table = "Konuşan,Mesaj\nmüşteri,merhaba\n"
    assert transcript(table, options=ReadOptions(columns=columns)).format_name == "csv"
    assert "is in no known format" in str(unreadable(table))
    roles = {"dana of the front desk": SpeakerRole.AGENT, "sam who calls in": SpeakerRole.CUSTOMER}
    text = "Dana of the front desk: hello\nSam who calls in: hi\n"
    item = transcript(text, options=ReadOptions(roles=roles))
    assert [turn.role for turn in item.turns] == list(roles.values())
    assert "is in no known format" in str(unreadable(text))


def test_a_named_format_is_read_without_detection() -> None:
    item = transcript("Anyone: hello", format_name="speaker-prefixed")
    assert item.format_name == "speaker-prefixed"
    with pytest.raises(InvalidRequestError, match="format: is none of jsonl, parquet"):
        read("x", format_name="speaker")


def read_acme(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
    with source.open() as stream:
        for number, line in enumerate(stream):
            turn = TranscriptTurn(role=SpeakerRole.CUSTOMER, text=line.decode().strip())
            yield assemble(
                [turn], conversation_id=f"acme-{number}", format_name="acme", options=options
            )


ACME = TranscriptFormat(
    name="acme-json",
    title="Acme",
    identified_by="`acme`",
    detect=lambda sample: sample.record is not None and "acme" in sample.record,
    read=read_acme,
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        metadata.EntryPoint("acme", f"{__name__}:read_acme", ENTRY_POINT_GROUP),
        metadata.EntryPoint("acme-json", f"{__name__}:ACME", ENTRY_POINT_GROUP),
    ]
    loaded = {"read_acme": read_acme, "ACME": ACME}
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)
    monkeypatch.setattr(
        metadata.EntryPoint, "load", lambda self: loaded[self.value.rpartition(":")[2]]
    )


@pytest.mark.usefixtures("installed")
def test_an_installed_function_is_a_format_that_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "calls").write_text("one\ntwo\n")
    with open_source(tmp_path / "calls") as source:
        items = list(read_transcripts(source, formats=load_formats(), format_name="acme"))
    assert [i.conversation_id for i in items] == ["acme-0", "acme-1"]


@pytest.mark.usefixtures("installed")
def test_an_installed_format_is_detected_before_ours(tmp_path: Path) -> None:
    record = {"acme": 1, "turns": [{"role": "agent", "text": "hi"}]}
    (tmp_path / "calls").write_text(json.dumps(record))
    with open_source(tmp_path / "calls") as source:
        (item,) = read_transcripts(source, formats=load_formats())
    assert isinstance(item, Transcript)
    assert item.format_name == "acme"
    assert format_named("jsonl", load_formats()).name == "jsonl"


def test_a_reader_that_fails_ends_nothing_and_quotes_nothing() -> None:
    def fail(source: TranscriptSource, options: ReadOptions) -> Iterator[ReadItem]:
        yield transcript("Agent: hi\nCustomer: hello")
        raise KeyError(SECRET)

    broken = TranscriptFormat("broken", "", "", lambda sample: True, fail)
    with open_source(SAMPLES / "azure.json") as source:
        first, second = read_transcripts(source, formats=[broken])
    assert isinstance(first, Transcript)
    assert "made the reader of broken fail with KeyError" in str(second)
    assert SECRET not in str(second)


def test_a_file_that_cannot_be_read_is_an_item() -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    stream: Any = Broken()
    (item,) = read_transcripts(TranscriptSource("disk", stream))
    assert str(item) == "disk: cannot be read: Input/output error"


@pytest.mark.parametrize(
    ("value", "problem"),
    [("acme_missing:read", "No module named 'acme_missing'"), ("moodline:__name__", "neither")],
)
def test_an_installed_format_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, problem: str
) -> None:
    point = metadata.EntryPoint("acme", value, ENTRY_POINT_GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    with pytest.raises(SettingsError, match=f"format acme of {value} .*{problem}"):
        load_formats()
