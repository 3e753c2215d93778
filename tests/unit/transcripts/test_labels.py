"""Labels at the beginning of lines, and colons that make none."""

from __future__ import annotations

import pytest

from moodline.transcripts import ReadOptions, SkipReason, SpeakerRole
from moodline.transcripts.labels import LabelRule
from tests.unit.transcripts.harness import transcript


def split(text: str, options: ReadOptions | None = None) -> list[tuple[str, str]]:
    rule = LabelRule.of(text, options or ReadOptions())
    found = [rule.split(line) for line in text.splitlines()]
    return [(line.label, line.text) if line else ("", "") for line in found]


@pytest.mark.parametrize(
    ("line", "label", "text"),
    [
        ("Agent: hello", "Agent", "hello"),
        ("**Customer:** it is 10:30", "Customer", "it is 10:30"),
        ("**Customer**: yes", "Customer", "yes"),
        ("__Agent__: yes", "Agent", "yes"),
        ("- Agent: hello", "Agent", "hello"),
        ("Müşteri : Alo", "Müşteri", "Alo"),
        ("العميل： مرحبا", "العميل", "مرحبا"),
        ("Speaker 1: hi", "Speaker 1", "hi"),
        ("SPEAKER_00: hi", "SPEAKER_00", "hi"),
        ("Agent (Kim): hi", "Agent (Kim)", "hi"),
        ("https://example.com: see", "", ""),
        ("Address: 12 High Street", "", ""),
        ("well: no", "", ""),
        ("10:30 is fine", "", ""),
    ],
)
def test_a_line_has_a_label_or_none(line: str, label: str, text: str) -> None:
    # A bold or repeated label counts whatever it says; the one with brackets is repeated here.
    repeated = f"{line}\n{line}" if "(" in line else line
    assert split(repeated)[0] == (label, text)


@pytest.mark.parametrize(
    ("line", "start_ms"),
    [
        ("[00:12] Agent: hi", 12_000),
        ("00:01:02.500 Agent: hi", 62_500),
        ("(1:02) - Agent: hi", 62_000),
        ("Agent [00:12]: hi", 12_000),
        ("Agent: hi", None),
    ],
)
def test_a_time_beside_a_label_is_the_start(line: str, start_ms: int | None) -> None:
    found = LabelRule.of(line, ReadOptions()).split(line)
    assert found is not None
    assert (found.label, found.text, found.start_ms) == ("Agent", "hi", start_ms)


def test_names_count_where_they_come_twice() -> None:
    text = "Dana Roy: hi\nNote: one\nTom: hello\nDana Roy: ok\nTom: bye\nhe said: no\nhe said: no"
    assert [label for label, _ in split(text)] == ["Dana Roy", "", "Tom", "Dana Roy", "Tom", "", ""]


def test_a_name_counts_once_where_the_user_gives_its_role() -> None:
    options = ReadOptions(roles={"dana": SpeakerRole.CUSTOMER})
    text = "Agent: hi\nDana: hello: you\n"
    item = transcript(text, options=options, format_name="speaker-prefixed")
    assert [(turn.role, turn.text) for turn in item.turns] == [
        (SpeakerRole.AGENT, "hi"),
        (SpeakerRole.CUSTOMER, "hello: you"),
    ]


def test_lines_without_label_go_on_with_the_turn() -> None:
    item = transcript("Call 7\n\nAgent: one\ntwo\n\nCustomer: three\nAddress: four\nAgent:\n")
    assert [(turn.text, turn.place) for turn in item.turns] == [
        ("one\ntwo", "line 3"),
        ("three\nAddress: four", "line 6"),
    ]
    assert [(s.reason, s.turn.text) for s in item.skipped] == [
        (SkipReason.NO_SPEAKER, "Call 7"),
        (SkipReason.EMPTY_TEXT, ""),
    ]
