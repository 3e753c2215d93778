"""Readers of the sets that nothing is ever trained or fitted on.

Rows are split `report` (figures are told of them) or `spare`: without labels, or the training parts
of sets whose published figures rest on their test part. Both are held out: texts that stand in
them are taken out of the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from models.recipe.examples import Example, ExampleTurn, TurnLabels
from models.recipe.rows import COARSE, Reader, Row, read_rows, tag_labels, text_example

_GRADES: Final = {
    "very negative": 0,
    "negative": 1,
    "neutral": 2,
    "positive": 3,
    "very positive": 4,
}
_APP_REVIEW_TAGS: Final = {
    "bug_report": "technical_problem",
    "improvement_request": "feature_request",
}
_BILLING_WORDS: Final = frozenset(
    {"Billing", "Payment", "Invoice", "Refund", "Billing and Payments"}
)


def _published_test(row: Row) -> str:
    return "report" if row["split"] == "test" else "spare"


def _texts(
    source: str,
    label: Callable[[Row], TurnLabels | None],
    *,
    language: str | None = None,
    split: Callable[[Row], str] = lambda _: "report",
) -> Reader:
    """A reader of single texts; a row whose label is None is held out and not evaluated."""

    def read(root: Path) -> Iterator[Example]:
        for row in read_rows(root / source):
            yield text_example(
                row,
                source=source,
                language=language or row["lang"],
                split=split(row),
                labels=label(row),
            )

    return read


def _sentiment(key: str) -> Callable[[Row], TurnLabels | None]:
    def label(row: Row) -> TurnLabels | None:
        return TurnLabels(coarse_sentiment=COARSE[row[key]]) if row.get(key) else None

    return label


def _five_grades(row: Row) -> TurnLabels:
    return TurnLabels(sentiment=_GRADES[row["label"]])


def _yes_or_no(tag: str, is_present: bool) -> TurnLabels:
    return TurnLabels(tags=tag_labels([tag]) if is_present else tag_labels([], [tag]))


def _complaint(row: Row) -> TurnLabels:
    """An expectation that was not met, which is wider than the tag.

    Of 77 complaints of this set that were read by the guide, 33 say that the company did wrong; of
    173 others, 10.
    """
    return _yes_or_no("complaint", row["label"] == "complaint")


def _suggestion(row: Row) -> TurnLabels:
    return _yes_or_no("feature_request", row["labels"]["suggestion"] == 1)


def _app_review_en(row: Row) -> TurnLabels:
    """One type a review: a request may tell of a fault besides, a rating or report seldom asks."""
    kind = row["labels"]["review_type"]
    if kind == "bug report":
        tags = tag_labels(["technical_problem"])
    elif kind == "feature request":
        tags = tag_labels(["feature_request"])
    else:
        tags = tag_labels([], ["technical_problem", "feature_request"])
    return TurnLabels(tags=tags)


def _app_review_ar(row: Row) -> TurnLabels:
    """Graded types: High and Medium hold, No does not, Low is left open."""
    grades = {tag: row["labels"][key] for key, tag in _APP_REVIEW_TAGS.items()}
    present = [tag for tag, grade in grades.items() if grade in {"High", "Medium"}]
    return TurnLabels(tags=tag_labels(present, [t for t, grade in grades.items() if grade == "No"]))


def _ticket(row: Row) -> TurnLabels:
    """The type of a ticket follows from its text; of queue and tags only billing is used."""
    labels = row["labels"]
    is_problem = labels["type"] in {"Incident", "Problem"}
    is_billing = not _BILLING_WORDS.isdisjoint([labels["queue"], *labels["tags"]])
    present = ["technical_problem"] * is_problem + ["billing"] * is_billing
    absent = ["technical_problem"] * (not is_problem) + ["billing"] * (not is_billing)
    return TurnLabels(tags=tag_labels(present, absent))


def _read_twcs_threads(root: Path) -> Iterator[Example]:
    """Real support threads without labels: their licence allows no training."""
    for row in read_rows(root / "twcs_threads"):
        turns = row.get("turns") or [{"speaker": "customer", "text": row["text"]}]
        yield Example(
            row["id"],
            "twcs_threads",
            "en",
            "spare",
            tuple(ExampleTurn(t["speaker"] == "customer", t["text"]) for t in turns),
        )


EVALUATION_READERS: Final[dict[str, Reader]] = {
    "airline_tweets": _texts("airline_tweets", _sentiment("label"), language="en"),
    "amazonhelp_sentiment": _texts("amazonhelp_sentiment", _sentiment("label"), language="en"),
    "app_review_types_ar": _texts("app_review_types_ar", _app_review_ar),
    "app_review_types_en": _texts("app_review_types_en", _app_review_en),
    "ar_emotone": _texts("ar_emotone", _sentiment("sentiment")),
    "ar_reviews_elsahar": _texts("ar_reviews_elsahar", _sentiment("sentiment")),
    "astd": _texts("astd", _sentiment("sentiment"), split=_published_test),
    # The same tweets with more labels: trained on beside complaints_tweets they would be a leak.
    "complaint_severity_xci": _texts(
        "complaint_severity_xci", lambda _: None, split=lambda _: "spare"
    ),
    "complaints_tweets": _texts("complaints_tweets", _complaint, language="en"),
    "customer_reviews_cr": _texts("customer_reviews_cr", _sentiment("label"), language="en"),
    "marsa": _texts("marsa", _sentiment("sentiment"), split=_published_test),
    "sst5": _texts("sst5", _five_grades, language="en", split=_published_test),
    "suggestions_semeval19": _texts("suggestions_semeval19", _suggestion, split=_published_test),
    "support_tickets_multilang_synthetic": _texts("support_tickets_multilang_synthetic", _ticket),
    "tr_ecommerce_reviews": _texts("tr_ecommerce_reviews", _sentiment("sentiment")),
    "tr_emotion_tweets": _texts("tr_emotion_tweets", _sentiment("sentiment")),
    "tr_store_reviews": _texts("tr_store_reviews", _sentiment("sentiment")),
    "twcs_threads": _read_twcs_threads,
}
