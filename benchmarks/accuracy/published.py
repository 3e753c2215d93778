"""What others published on the sets that we evaluate on, and what we aim at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALL: Final = "all"
LANGUAGE_MEAN: Final = "mean of languages"

XLM_T: Final = "Barbieri et al. 2022, XLM-T (LREC), table of github.com/cardiffnlp/xlm-t"
TWEETEVAL: Final = (
    "Barbieri et al. 2020, TweetEval (EMNLP Findings), table of github.com/cardiffnlp/tweeteval"
)


@dataclass(frozen=True, slots=True)
class Published:
    """A published figure.

    Attributes:
        source: Set that it was measured on.
        part: Language, `ALL` or `LANGUAGE_MEAN`.
        figure: The same figure in our results.
        model: What reached it.
        value: In [0, 1].
        origin: Where it is published.
        note: What keeps it from comparing exactly.
    """

    source: str
    part: str
    figure: str
    model: str
    value: float
    origin: str
    note: str = ""


def _umsab(model: str, *values: float) -> list[Published]:
    parts = ("ar", "en", "fr", "de", "hi", "it", "pt", "es", LANGUAGE_MEAN)
    return [
        Published("umsab", part, "sentiment3_macro_f1", model, value, XLM_T)
        for part, value in zip(parts, values, strict=True)
    ]


def _tweeteval(model: str, value: float) -> Published:
    return Published("tweet_sentiment", ALL, "sentiment3_macro_recall", model, value, TWEETEVAL)


PUBLISHED: Final = (
    *_umsab("XLM-T, 278M", 0.669, 0.706, 0.712, 0.773, 0.564, 0.691, 0.754, 0.679, 0.694),
    *_umsab("XLM-R, 278M", 0.643, 0.685, 0.705, 0.728, 0.534, 0.686, 0.698, 0.660, 0.668),
    *_umsab("fastText", 0.460, 0.509, 0.548, 0.596, 0.371, 0.547, 0.551, 0.501, 0.510),
    _tweeteval("RoBERTa, more tweets, 125M", 0.726),
    _tweeteval("RoBERTa, 125M", 0.713),
    _tweeteval("fastText", 0.629),
    Published(
        "trbrain_telecom",
        ALL,
        "sentiment3_macro_f1",
        "BERTurk, 110M",
        0.818,
        "README of github.com/tr-brain-com/Acikhack2024TDDI",
        "another split of an earlier file",
    ),
)


@dataclass(frozen=True, slots=True)
class Aim:
    """A figure to reach.

    Attributes:
        what: In words.
        source: Set.
        part: Language, `ALL` or `LANGUAGE_MEAN`.
        figure: As `evaluate.measure` names it.
        first: To reach at first.
        then: To pass after that.
    """

    what: str
    source: str
    part: str
    figure: str
    first: float
    then: float | None = None


AIMS: Final = (
    Aim("UMSAB, 8 languages, macro-F1", "umsab", LANGUAGE_MEAN, "sentiment3_macro_f1", 0.65, 0.694),
    Aim("UMSAB, Arabic, macro-F1", "umsab", "ar", "sentiment3_macro_f1", 0.63, 0.669),
    Aim("UMSAB, English, macro-F1", "umsab", "en", "sentiment3_macro_f1", 0.70, 0.706),
    Aim(
        "TweetEval sentiment, macro-recall", "tweet_sentiment", ALL, "sentiment3_macro_recall", 0.70
    ),
    Aim("Turkish telecom posts, macro-F1", "trbrain_telecom", ALL, "sentiment3_macro_f1", 0.76),
    Aim(
        "AmazonHelp, never trained on, macro-F1",
        "amazonhelp_sentiment",
        ALL,
        "sentiment3_macro_f1",
        0.78,
    ),
    Aim(
        "airline tweets, never trained on, macro-F1",
        "airline_tweets",
        ALL,
        "sentiment3_macro_f1",
        0.68,
    ),
    Aim("real contacts, sentiment QWK", "annotated_dev", ALL, "sentiment_qwk", 0.75),
    Aim(
        "real contacts, sentiment 3-way macro-F1",
        "annotated_dev",
        ALL,
        "sentiment3_macro_f1",
        0.77,
    ),
    Aim("real contacts, urgency QWK", "annotated_dev", ALL, "urgency_qwk", 0.60),
    Aim("real contacts, tags micro-F1", "annotated_dev", ALL, "tags_micro_f1", 0.55),
    Aim("written, sentiment QWK", "written", ALL, "sentiment_qwk", 0.55),
    Aim("written, urgency QWK", "written", ALL, "urgency_qwk", 0.55),
    Aim("written, stage macro-F1", "written", ALL, "stage_macro_f1", 0.55),
    Aim("written, tags micro-F1", "written", ALL, "tags_micro_f1", 0.50),
    Aim(
        "written, escalation average precision",
        "written",
        ALL,
        "escalate_average_precision",
        0.70,
    ),
)

MAX_LANGUAGE_GAP: Final = 0.08
MAX_QUANTIZATION_CHANGE: Final = 0.005
MAX_CALIBRATION_ERROR: Final = 0.05
MAX_ARTIFACT_MB: Final = 60
MIN_TURNS_PER_S: Final = 400
