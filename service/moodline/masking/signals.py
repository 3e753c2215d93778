"""Masks what signals quote, before they are stored or sent."""

from __future__ import annotations

import dataclasses
from typing import Final

from moodline.masking.folding import fold
from moodline.masking.numbers import blank_dates, chains
from moodline.masking.policy import Kind, MaskingPolicy
from moodline.masking.text import DEFAULT_POLICY, mask_text
from moodline.rules.evaluation import Quote
from moodline.signals.domain import Signal

_MIN_CUT_DIGITS: Final = 6
"""Fewer digits of a number that a quote cuts give nobody away."""
_EDGE_SIGNS: Final = " .,-(+)"


def mask_signal(signal: Signal, policy: MaskingPolicy = DEFAULT_POLICY) -> Signal:
    """Return the signal with masked quotes; masking it again changes nothing.

    `start` and `end` of a quote go on counting in the turn's text as the caller sent it: moodline
    keeps no other.
    """
    return dataclasses.replace(
        signal, quotes=tuple(_mask_quote(quote, policy) for quote in signal.quotes)
    )


def _mask_quote(quote: Quote, policy: MaskingPolicy) -> Quote:
    text = mask_text(quote.text, policy).text
    if Kind.NUMBER in policy.kinds:
        text = _mask_cut_numbers(text)
    return quote if text == quote.text else dataclasses.replace(quote, text=text)


def _mask_cut_numbers(text: str) -> str:
    """Mask grouped digits at the edges, which may go on outside of the quote."""
    folded = fold(text)
    searched = blank_dates(folded.text)
    for chain in reversed(tuple(chains(searched))):
        start, end = chain[0].start, chain[-1].end
        is_at_edge = not searched[:start].strip(_EDGE_SIGNS) or not searched[end:].strip(
            _EDGE_SIGNS
        )
        digit_count = sum(len(group.digits) for group in chain)
        if len(chain) > 1 and digit_count >= _MIN_CUT_DIGITS and is_at_edge:
            first, last = folded.original_span(start, end)
            text = text[:first] + Kind.NUMBER.placeholder + text[last:]
    return text
