"""Other systems' words become ours."""

from __future__ import annotations

import pytest

from moodline.transcripts.markup import text_of_html
from moodline.transcripts.transcript import SpeakerRole, VendorSentiment
from moodline.transcripts.vocabulary import (
    channel_of,
    redactions_in,
    role_of,
    scaled,
    vendor_sentiment,
)


@pytest.mark.parametrize(
    ("words", "role"),
    [
        (
            "CUSTOMER, END_USER, external, Customer, Caller, end-user, user, lead, contact",
            "customer",
        ),
        ("Müşteri, MÜŞTERİ, العميل, Caller 2, customer:", "customer"),
        (
            "AGENT, HUMAN_AGENT, internal, Agent, admin, Agent 1, agent #3, Müşteri Temsilcisi",
            "agent",
        ),
        ("SUPERVISOR, Team Lead, yönetici, المشرف", "supervisor"),
        ("AUTOMATED_AGENT, CUSTOM_BOT, bot, AgentBot, ivr, Virtual-Assistant", "bot"),
        ("SYSTEM, acd, voicemail", "system"),
        ("Speaker 0, spk_1, Dana, , 7, agentic", "unknown"),
    ],
)
def test_a_word_names_its_role(words: str, role: str) -> None:
    assert {role_of(word) for word in words.split(", ")} == {SpeakerRole(role)}


def test_channels_have_our_words() -> None:
    words = ["VOICE", "call", "CHAT", "native_messaging", "WebWidget", "Email", "Fax", ""]
    assert [channel_of(word) for word in words] == [
        *("call", "call", "chat", "chat", "chat", "email", "fax", "")
    ]


def test_sentiment_is_on_one_scale() -> None:
    assert vendor_sentiment("negative") == VendorSentiment("NEGATIVE", -1.0)
    assert vendor_sentiment("MIXED") == VendorSentiment("MIXED", 0.0)
    assert vendor_sentiment("Angry") == VendorSentiment("ANGRY", None)
    assert vendor_sentiment("") is None
    assert [scaled(score, span=5.0) for score in (-5.0, 2.5, 9.0)] == [-1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("It is [PII].", ["[PII]"]),
        (
            "Ali [CREDIT_DEBIT_NUMBER] ve <EMAIL_ADDRESS>",
            ["[CREDIT_DEBIT_NUMBER]", "<EMAIL_ADDRESS>"],
        ),
        ("رقمي **** شكرا", ["****"]),
        ("▇▇▇▇ is my name", ["▇▇▇▇"]),
        ("[LAUGHTER] no [OK] [see below] f***", []),
    ],
)
def test_marks_of_removed_words_are_found(text: str, marks: list[str]) -> None:
    assert [text[start:end] for start, end in redactions_in(text)] == marks


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>Petal &amp; Pine</p>", "Petal & Pine"),
        ("<p>one<br>two</p><p></p><p>three</p>", "one\ntwo\nthree"),
        ("<ul><li>a</li><li>b <b>c</b></li></ul>", "a\nb c"),
        ("<style>p {color: red}</style><p>5 &lt; 6 &nbsp;and\n7</p>", "5 < 6 and 7"),
        ("plain, 3 < 4", "plain, 3 < 4"),
        ("<p>\N{POUTING FACE} مرحبا</p>", "\N{POUTING FACE} مرحبا"),
        ("", ""),
    ],
)
def test_html_becomes_what_people_see(markup: str, text: str) -> None:
    assert text_of_html(markup) == text
