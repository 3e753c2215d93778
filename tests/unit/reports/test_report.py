"""The page of a report says what was found, of whom and from how many."""

from pathlib import Path

import pytest

from moodline.jobs.result_format import ResultFormat
from moodline.reports.errors import ReportError
from moodline.reports.report import ReportRequest, make_report
from tests.unit.reports.harness import CONVERSATION_COUNT, HOSTILE_ID, Html, records

SECTIONS = [
    "Overview",
    "Mood over the conversation",
    "Urgency and escalation",
    "Journey",
    "Pain points",
    "Channels and languages",
    "Worst and best conversations",
    "Errors and warnings",
]


def page_of(*paths: Path, **asked: object) -> Html:
    return Html(make_report(ReportRequest(paths, **asked)).html)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pages(results: dict[ResultFormat, Path]) -> dict[ResultFormat, Html]:
    """A page of every form, with all conversations."""
    return {form: page_of(path, max_listed=CONVERSATION_COUNT) for form, path in results.items()}


def test_every_form_makes_the_same_sections(pages: dict[ResultFormat, Html]) -> None:
    for page in pages.values():
        links = [one["href"] for one in page.all("a")]
        assert links == [f"#section-{number}" for number in range(1, len(links) + 1)]
        for heading in SECTIONS:
            assert heading in page.text
        assert len(page.all("svg")) == 5


def test_headlines_are_those_of_the_file(
    results: dict[ResultFormat, Path], pages: dict[ResultFormat, Html]
) -> None:
    path = results[ResultFormat.JSONL]
    scored = [one for one in records(path) if "sentiment" in one]
    escalated = sum(one["escalation"]["peak_level"] == "ESCALATE" for one in scored)
    mood = sum(one["sentiment"]["score"] for one in scored) / len(scored)
    for text in (pages[form].text for form in ResultFormat):
        assert f"Conversations {CONVERSATION_COUNT - 1} {len(scored)} with scores" in text
        share = f"{escalated / len(scored):.1%} {escalated} of {len(scored)}"
        assert f"Escalated at some time {share}" in text
        assert f"{abs(mood):.2f} n = {len(scored)}" in text
        assert f"Failed 1.7% 1 of {CONVERSATION_COUNT}" in text


def test_a_page_holds_nothing_that_was_said(pages: dict[ResultFormat, Html]) -> None:
    for page in pages.values():
        assert "SECRET" not in page.source


def test_ids_stand_in_the_page_as_text(pages: dict[ResultFormat, Html]) -> None:
    page = pages[ResultFormat.JSONL]
    assert page.text.count(HOSTILE_ID) == 2, "among the worst and the best"
    assert "شكوى-2" in page.text
    assert not page.all("script")


def test_what_failed_is_told_with_its_cause(pages: dict[ResultFormat, Html]) -> None:
    for page in pages.values():
        assert "Failed: 1" in page.text
        assert "INVALID_REQUEST 1" in page.text
        assert "turns has <too> many; split it" in page.text


def test_a_language_that_is_not_measured_is_marked(pages: dict[ResultFormat, Html]) -> None:
    text = pages[ResultFormat.JSONL].text
    assert text.count("not measured") == 1
    assert "de not measured" in text


def test_a_page_is_as_it_was_asked_for(results: dict[ResultFormat, Path]) -> None:
    page = page_of(
        results[ResultFormat.JSONL],
        title="<Ocak>",
        languages=("TR",),
        channels=("Chat",),
        max_listed=2,
    )
    assert "Top 2 of 6 tags" in page.text
    assert page.text.count("<Ocak>") == 2
    assert "r.jsonl · only language TR, channel Chat" in page.text
    assert "are left out by the filters" in page.text


def test_a_filter_that_leaves_nothing_says_what_there_is(
    results: dict[ResultFormat, Path],
) -> None:
    asked = ReportRequest((results[ResultFormat.JSONL],), languages=("fr",))
    with pytest.raises(ReportError, match=r"None of 59 .* languages ar, de, en, tr .* chat"):
        make_report(asked)


def test_results_without_any_score_still_make_a_page(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(
        '{"status": "scored", "source": "s", "number": 1, "conversation_id": "a", "language": '
        '"und", "is_language_measured": false, "absence": "INSUFFICIENT_TURNS", "turns": [], '
        '"model_version": "m", "configuration_digest": "d"}\n'
    )
    text = page_of(path).text
    assert "INSUFFICIENT_TURNS 100.0% † 1 of 1" in text
    assert "Journey" not in text


def test_signals_are_told_by_reason_and_severity(
    results: dict[ResultFormat, Path], tmp_path: Path
) -> None:
    lines = results[ResultFormat.JSONL].read_text(encoding="utf-8")
    assert lines.count('"signals": []') == CONVERSATION_COUNT - 1
    signal = '{"reason": "churn_risk", "severity": "high"}'
    path = tmp_path / "r.jsonl"
    path.write_text(
        lines.replace('"signals": []', f'"signals": [{signal}, {signal}]', 30), encoding="utf-8"
    )
    text = page_of(path).text
    assert "60 signals of 30 conversations Reason high All churn risk 60 100.0% 60 of 60" in text
