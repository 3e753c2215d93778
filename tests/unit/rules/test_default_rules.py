"""The rules that come with moodline, and what is published about the language."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from moodline.domain import TurnResult, TurnScores, UrgencyLevel
from moodline.errors import RuleSetError
from moodline.rules.history import CustomerPast
from moodline.rules.model import Reason, Rule, RuleSetDocument, Severity
from moodline.rules.rule_set import RuleSet
from moodline.rules.vocabulary import STAGES, TAGS
from moodline.signals.domain import SignalEventKind
from moodline.signals.engine import SignalEngine
from scripts import rules_doc
from tests.unit.rules.results import agent, customer, scores

DEFAULT = RuleSet.default()
ENGINE = SignalEngine(DEFAULT, model_version="m", configuration_digest="c")
HIGH, CRITICAL = UrgencyLevel.HIGH, UrgencyLevel.CRITICAL


def raised(turns: Sequence[TurnResult], **known: object) -> dict[str, Severity]:
    """Rules that spoke for a signal, with the severity."""
    session = ENGINE.open("c", **known)  # type: ignore[arg-type]
    return {
        event.signal.rule_id: event.signal.severity
        for turn in turns
        for event in session.add(turn)
        if event.kind in (SignalEventKind.RAISED, SignalEventKind.UPDATED)
    }


def test_there_is_a_rule_for_every_reason() -> None:
    given = {compiled.rule.reason for compiled in DEFAULT.rules}
    assert given == set(Reason) - {Reason.OTHER}


@pytest.mark.parametrize("rule", DEFAULT.content.rules, ids=lambda rule: rule.id)
def test_a_rule_speaks_three_languages_and_says_what_to_do(rule: Rule) -> None:
    assert set(rule.explanation) == {"en", "tr", "ar"}
    if rule.severity is not Severity.INFO:
        assert rule.route is not None
        assert set(rule.next_best_action or {}) == {"en", "tr", "ar"}
    same = [other for other in DEFAULT.content.rules if other.cause_key == rule.cause_key]
    assert {other.reason for other in same} == {rule.reason}


@pytest.mark.parametrize("name", DEFAULT.content.phrases)
def test_phrases_stand_in_three_languages(name: str) -> None:
    assert set(DEFAULT.content.phrases[name]) == {"en", "tr", "ar"}
    for phrases in DEFAULT.content.phrases[name].values():
        assert len(set(phrases)) == len(phrases)


@pytest.mark.parametrize(
    ("rule_id", "given", "text"),
    [
        ("fraud_under_way", scores(urgency=CRITICAL, tags={"fraud": 0.8}), "x"),
        ("fraud", scores(urgency=HIGH, tags={"fraud": 0.8}), "x"),
        ("fraud_words", scores(urgency=HIGH), "Kartım çalındı"),
        ("safety", scores(urgency=HIGH), "في ريحة غاز بالبيت"),
        ("safety", scores(sentiment=-0.5), "The plug is smoking"),
        ("vulnerable", scores(urgency=HIGH, tags={"vulnerable": 0.7}), "x"),
        ("vulnerable_words", scores(urgency=HIGH), "Annem oksijen cihazına bağlı"),
        ("critical_urgency", scores(urgency=CRITICAL), "x"),
        ("incident", scores(urgency=HIGH, tags={"incident": 0.7}), "x"),
        ("legal_threat", scores(urgency=HIGH, tags={"legal_threat": 0.7}), "x"),
        ("legal_words", scores(sentiment=-0.5), "Tüketici hakem heyetine gideceğim"),
        ("legal_words", scores(urgency=HIGH), "سأرفع دعوى، المحكمة بيننا"),
        ("human_request", scores(tags={"human_request": 0.8}), "x"),
        ("human_words", scores(), "I want to speak to your manager"),
        ("human_words", scores(), "Beni yetkili birine bağlayın"),
        ("human_words", scores(), "عايز أكلم المدير"),
        ("abuse", scores(sentiment=-1.0, tags={"abuse": 0.8}), "x"),
        ("abuse_words", scores(sentiment=-0.5), "Hepiniz gerizekalısınız"),
        ("abuse_words", scores(sentiment=-0.5), "تفو عليكم يا حيوانات"),
        ("agent_conduct", scores(sentiment=-0.5), "She hung up on me"),
        ("repeat_contact", scores(urgency=HIGH, tags={"repeat_contact": 0.8}), "x"),
        (
            "repeat_contact_worse",
            scores(sentiment=-1.0, urgency=HIGH, tags={"repeat_contact": 0.8}),
            "x",
        ),
        ("sentiment_collapse", scores(sentiment=-1.0), "x"),
        ("escalation", scores(escalation=0.9), "x"),
        ("churn_risk", scores(sentiment=-0.5, tags={"churn_risk": 0.7}), "x"),
        ("leaving", scores(urgency=HIGH, stage="renewal", tags={"churn_risk": 0.7}), "x"),
        ("leaving_words", scores(urgency=HIGH), "Hattımı iptal edin"),
        ("hot_lead", scores(stage="purchase", tags={"sales_lead": 0.9}), "We are ready to sign"),
        ("lead", scores(stage="evaluation", tags={"sales_lead": 0.9}), "x"),
        ("advocacy_moment", scores(sentiment=1.0, stage="advocacy"), "x"),
    ],
)
def test_a_rule_holds_where_it_should(rule_id: str, given: TurnScores, text: str) -> None:
    assert rule_id in raised([customer(0, given, text=text)])


def test_rules_over_several_turns_hold_where_they_should() -> None:
    bad = scores(sentiment=-0.5)
    assert set(raised([customer(index, bad) for index in range(3)])) == {"sentiment_low"}
    human = scores(tags={"human_request": 0.8})
    assert "human_request_again" in raised([customer(0, human), agent(1), customer(2, human)])
    path = [customer(index, scores(stage=s)) for index, s in enumerate(("usage", "renewal"))]
    assert set(raised(path)) == {"stage_change"}
    path = [customer(index, scores(stage=s)) for index, s in enumerate(("usage", "evaluation"))]
    assert set(raised(path)) == {"stage_regression"}
    lead = [customer(0, scores(stage="purchase", tags={"sales_lead": 0.9})), agent(1)]
    assert "lead_unserved" in raised([*lead, customer(2, scores(sentiment=-0.5, urgency=HIGH))])
    assert "lead_unserved" not in raised([*lead, customer(2, scores(urgency=HIGH))])
    rude = [customer(0, bad), agent(1, text="Calm down, please")]
    assert set(raised(rude)) == {"agent_rude"}
    slow = [customer(0, start_s=0, end_s=1), agent(1, start_s=700)]
    assert set(raised(slow, channel="chat")) == {"agent_slow"}
    assert not raised(slow, channel="email")
    third = CustomerPast((1.0, 2.0), last_outcome="unresolved")
    pressing = [customer(0, scores(urgency=HIGH))]
    assert set(raised(pressing, customer=third)) == {"third_contact"}
    assert not raised(pressing)


@pytest.mark.parametrize(
    "tag",
    [
        "fraud",
        "legal_threat",
        "vulnerable",
        "incident",
        "human_request",
        "repeat_contact",
        "churn_risk",
        "abuse",
    ],
)
def test_what_is_too_weak_for_its_own_rule_does_not_hide_an_escalation(tag: str) -> None:
    limits = {rule.id: rule.min_probability for rule in DEFAULT.content.rules}
    limit = limits[tag]
    doubtful = scores(escalation=0.9, urgency=HIGH, tags={tag: limit - 0.01})
    assert set(raised([customer(0, doubtful)])) == {"escalation"}
    certain = scores(escalation=0.9, sentiment=-0.5, urgency=HIGH, tags={tag: max(limit, 0.5)})
    told = set(raised([customer(0, certain)]))
    assert "escalation" not in told
    assert told


@pytest.mark.parametrize("urgency", [UrgencyLevel.LOW, UrgencyLevel.NORMAL, HIGH])
@pytest.mark.parametrize("stage", STAGES)
def test_neutral_turns_raise_nothing(stage: str, urgency: UrgencyLevel) -> None:
    quiet = scores(stage=stage, urgency=urgency, tags={**dict.fromkeys(TAGS, 0.3), "billing": 0.9})
    turns = [
        customer(0, quiet, text="Hello, I have a question about my bill of March."),
        agent(1, text="What is your number?"),
        customer(2, quiet, text="4412. Merhaba, adım Ali. مرحبا"),
    ]
    assert not raised(turns)


def test_a_solved_problem_clears_its_signal() -> None:
    session = ENGINE.open("c")
    session.add(customer(0, scores(urgency=CRITICAL, tags={"fraud": 0.8})))
    assert {signal.cause for signal in session.open_signals} == {"fraud", "critical_urgency"}
    solved = scores(sentiment=0.5, urgency=UrgencyLevel.LOW, tags={"resolved": 0.9})
    for index in (1, 2):
        session.add(customer(index, solved))
    assert session.open_signals == ()


def test_the_schema_and_the_tables_are_current() -> None:
    assert rules_doc.SCHEMA.read_text(encoding="utf-8") == rules_doc.schema()
    text = rules_doc.DOC.read_text(encoding="utf-8")
    assert text == rules_doc.page(text)
    # Editors understand it.
    assert json.loads(rules_doc.schema())["$defs"]["Rule"]["additionalProperties"] is False
    assert (
        RuleSetDocument.model_fields.keys() == json.loads(rules_doc.schema())["properties"].keys()
    )


def test_the_example_of_the_page_is_a_rule_set_and_its_error_is_told_so() -> None:
    text = rules_doc.DOC.read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert RuleSet.parse(example).name == "my_shop"
    (shown,) = re.findall(r"^    (my\.yaml:.*)$", text, re.MULTILINE)
    wrong = example.replace("all(t, t.sentiment.score", "all(t, turn.sentiment.scor")
    with pytest.raises(RuleSetError) as caught:
        RuleSet.parse(wrong, source="my.yaml")
    assert str(caught.value.problems[0]) == shown
