"""Three-way sentiment by the two lexicons that people use most, for English."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

NEGATIVE, NEUTRAL, POSITIVE = range(3)

VADER_THRESHOLD: Final = 0.05
"""Least compound score that is not neutral. Source: README of vaderSentiment, "About the Scoring".
"""

Classifier = Callable[[str], int]


def vader() -> Classifier:
    """VADER by the thresholds of its authors."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    return lambda text: coarse(analyzer.polarity_scores(text)["compound"], VADER_THRESHOLD)


def textblob() -> Classifier:
    """TextBlob's default analyzer, by the sign of the polarity: it names no thresholds."""
    from textblob import TextBlob

    return lambda text: coarse(TextBlob(text).sentiment.polarity, 0.0)


LEXICONS: Final[dict[str, Callable[[], Classifier]]] = {"VADER": vader, "TextBlob": textblob}


def coarse(score: float, threshold: float) -> int:
    """Negative, neutral or positive of a score in [-1, 1]; 0 is always neutral."""
    if score == 0.0 or abs(score) < threshold:
        return NEUTRAL
    return POSITIVE if score > 0 else NEGATIVE
