"""WebVTT: voices, cues that hold several, and cues that cannot be read."""

from __future__ import annotations

import pytest

from moodline.transcripts import SkipReason, SpeakerRole
from moodline.transcripts.transcript import TranscriptWarningCode
from tests.unit.transcripts.harness import transcript, unreadable

SECRET = "my card number is 4111"


def cues(*payloads: str) -> str:
    blocks = (
        f"00:{number:02d}.000 --> 00:{number + 2:02d}.500\n{payload}\n"
        for number, payload in enumerate(payloads)
    )
    return "WEBVTT\n\n" + "\n".join(blocks)


@pytest.mark.parametrize(
    ("payload", "role", "participant_id", "text"),
    [
        ("<v.agent Imani>Hi", "agent", "Imani", "Hi"),
        ("<v.loud.customer Dana Roy>Hi</v>", "customer", "Dana Roy", "Hi"),
        ("<v.supervisor>Hi</v>", "supervisor", "supervisor", "Hi"),
        ("<v Agent 1>Hi</v>", "agent", "Agent 1", "Hi"),
        ("<v Dana &amp; Co>Hi</v>", "unknown", "Dana & Co", "Hi"),
        (
            "<v.agent Imani>2 &lt; 3 <c.red>and</c>\n<00:01.000>more</v>",
            "agent",
            "Imani",
            "2 < 3 and more",
        ),
        ("Agent: Hi: you", "agent", "Agent", "Hi: you"),
        ("Hi", "unknown", "", "Hi"),
    ],
)
def test_a_cue_says_who_speaks(payload: str, role: str, participant_id: str, text: str) -> None:
    (turn,) = transcript(cues(payload)).turns
    assert (turn.role, turn.participant_id, turn.text) == (role, participant_id, text)
    assert (turn.start_ms, turn.end_ms) == (0, 2500)


def test_a_cue_with_two_voices_is_two_turns() -> None:
    item = transcript(cues("hm <v.agent A>One moment.</v>\n<v.customer B>Yes.</v>"))
    assert [(turn.role, turn.text, turn.end_ms) for turn in item.turns] == [
        (SpeakerRole.UNKNOWN, "hm", 2500),
        (SpeakerRole.AGENT, "One moment.", 2500),
        (SpeakerRole.CUSTOMER, "Yes.", 2500),
    ]


def test_a_cue_without_words_is_counted() -> None:
    item = transcript(cues("<v.agent A></v>", "<v.customer B>Yes</v>"))
    assert [skipped.reason for skipped in item.skipped] == [SkipReason.EMPTY_TEXT]


def test_cues_that_cannot_be_read_are_counted() -> None:
    text = cues("<v.agent A>Hi</v>") + f"\n00:09.000 -> 00:10.000\n{SECRET}\n"
    (warning,) = transcript(text).warnings
    assert warning.code is TranscriptWarningCode.CUES_NOT_READ
    assert warning.message.startswith("1 cues were not read")


def test_a_time_beyond_the_clock_is_counted() -> None:
    text = cues("<v.agent A>Hi</v>") + f"\n00:75.000 --> 00:80.000\n{SECRET}\n"
    (warning,) = transcript(text).warnings
    assert warning.code is TranscriptWarningCode.CUES_NOT_READ


def test_what_only_begins_like_webvtt_is_refused() -> None:
    assert "is no WebVTT" in str(unreadable("hello", format_name="webvtt"))
