"""What signals quote is masked, and where it is from stays known."""

from __future__ import annotations

import dataclasses

import pytest

from moodline.masking.policy import Kind, MaskingPolicy
from moodline.masking.signals import mask_signal
from moodline.rules.evaluation import Quote
from moodline.signals.domain import Signal
from tests.unit.signals.test_engine import TURNS, run

SIGNAL = run(TURNS)[0].signal


def quoting(*texts: str) -> Signal:
    quotes = tuple(
        Quote(index, f"t{index}", 10, 10 + len(text), text, "urgency")
        for index, text in enumerate(texts)
    )
    return dataclasses.replace(SIGNAL, quotes=quotes)


def test_quotes_are_masked_and_keep_their_place() -> None:
    signal = quoting("charged 4111 1111 1111 1111 twice", "so angry")
    masked = mask_signal(signal)
    assert [quote.text for quote in masked.quotes] == ["charged [CARD] twice", "so angry"]
    assert (masked.quotes[0].start, masked.quotes[0].end) == (10, 43)
    assert dataclasses.replace(masked, quotes=signal.quotes) == signal
    assert mask_signal(masked) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("1111 1111 1111 is gone", "[NUMBER] is gone"),
        ("my card 4111 1111", "my card [NUMBER]"),
        ("٤١١١ ١١١١ من بطاقتي", "[NUMBER] من بطاقتي"),
        ("in 1111 1111 days", "in 1111 1111 days"),
        ("ends with 1111", "ends with 1111"),
        ("order 48213901", "order 48213901"),
        ("since 12.05.2024", "since 12.05.2024"),
    ],
)
def test_grouped_digits_that_the_quote_cuts_are_masked(text: str, masked: str) -> None:
    assert mask_signal(quoting(text)).quotes[0].text == masked


def test_the_policy_decides() -> None:
    signal = quoting("my card 4111 1111", "4111111111111111 ada@example.com")
    masked = mask_signal(signal, MaskingPolicy(kinds=frozenset({Kind.EMAIL})))
    assert [quote.text for quote in masked.quotes] == [
        "my card 4111 1111",
        "4111111111111111 [EMAIL]",
    ]
