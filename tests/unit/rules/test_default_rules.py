"""The rules that come with moodline, and what is published about the language."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

import pytest

from moodline.domain import Role, TurnResult, TurnScores, UrgencyLevel
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
        ("fraud_words", scores(urgency=HIGH, tags={"fraud": 0.1}), "Kartım çalındı"),
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


_ANGRY: Final = scores(sentiment=-0.5)
_PRESSING: Final = scores(urgency=HIGH)
_DOUBTFUL_FRAUD: Final = scores(urgency=HIGH, tags={"fraud": 0.2})
_BROKEN: Final = scores(urgency=HIGH, tags={"technical_problem": 0.4})


@pytest.mark.parametrize(
    ("rule_id", "given", "text"),
    [
        ("safety", _PRESSING, "The charger blew up and my hand is burnt"),
        ("safety", _PRESSING, "The charger blew up while it was plugged in"),
        ("safety", _PRESSING, "Frenler boşaldı, aracı zor durdurdum"),
        ("safety", _ANGRY, "Yemekten cam parçası çıktı"),
        ("safety", _PRESSING, "لقيت زجاج في علبة الحليب"),
        ("safety", _PRESSING, "السواق كان يهددني طول الطريق"),
        ("fraud_words", _DOUBTFUL_FRAUD, "Somebody keeps logging into my account"),
        ("fraud_words", _DOUBTFUL_FRAUD, "Adıma bir hat açılmış, ben başvurmadım"),
        ("fraud_words", _DOUBTFUL_FRAUD, "Hesabımdan dün gece para çekilmiş"),
        ("fraud_words", _DOUBTFUL_FRAUD, "عطيته الكود وبعدها انسحب من حسابي"),
        ("vulnerable_words", _PRESSING, "I am eight months pregnant and have no water"),
        ("vulnerable_words", _PRESSING, "Annem kanser hastası, telefon tek bağımız"),
        ("vulnerable_words", _PRESSING, "الوالدة مشلولة وما تقدر تراجعكم"),
        ("incident_words", _BROKEN, "Is it just me or is there an outage?"),
        ("incident_words", _BROKEN, "Bütün mahalle sabahtan beri internetsiz"),
        ("incident_words", _BROKEN, "النت فاصل عن المنطقة كلها من الصبح"),
        ("legal_words", _ANGRY, "Consider this a legal notice"),
        ("legal_words", _ANGRY, "Düzelmezse şikayetçi olacağım"),
        ("legal_words", _ANGRY, "كلمت مكتب المحاماة اليوم"),
        ("human_words", scores(), "Is there anyone I can phone about this?"),
        ("human_words", scores(), "Representative!"),
        ("human_words", scores(), "Beni müdürünüze aktarın, bir insanla konuşayım"),
        ("human_words", scores(), "müşteri temsilcisi"),
        ("human_words", scores(), "عايزة أكلم حد فاهم"),
        ("human_words", scores(), "موظف"),
        ("agent_conduct", _ANGRY, "I was treated in a condescending way"),
        ("agent_conduct", _ANGRY, "Your driver yelled at my mother"),
        ("agent_conduct", _ANGRY, "Temsilciniz umursamaz bir sesle beni geçiştirdi"),
        ("agent_conduct", _ANGRY, "Kuryeniz kapıda bağırdı"),
        ("agent_conduct", _ANGRY, "الموظف رفع صوته علي"),
        ("agent_conduct", _ANGRY, "مندوبكم شتم الحارس"),
    ],
)
def test_words_that_customers_use_raise_it(rule_id: str, given: TurnScores, text: str) -> None:
    assert rule_id in raised([customer(0, given, text=text)])


@pytest.mark.parametrize(
    ("rule_id", "given", "text"),
    [
        ("safety", _PRESSING, "The machine swallowed my card"),
        ("safety", _PRESSING, "Kartımı makine yuttu, kargoyu da takip ediyorum"),
        ("safety", _PRESSING, "الكهرباء مقطوعة وموقّع على العقد"),
        ("fraud_words", _PRESSING, "Scammers, that is what you are"),
        ("fraud_words", _PRESSING, "Siz dolandırıcısınız"),
        ("fraud_words", _PRESSING, "شركة نصابين"),
        ("fraud_words", _DOUBTFUL_FRAUD, "Hesabıma giriş yapamıyorum"),
        ("vulnerable_words", _PRESSING, "The battery has died"),
        ("vulnerable_words", _PRESSING, "Engelliyorsunuz numaramı, hat sahibi babam oldu"),
        ("vulnerable_words", _PRESSING, "السلام عليكم ورحمة الله، أنا حامل البطاقة"),
        ("vulnerable_words", scores(), "My mother is in a wheelchair"),
        ("incident_words", _PRESSING, "I think everyone else pays less"),
        ("incident_words", _BROKEN, "My router lost its settings"),
        ("incident_words", _BROKEN, "Modemim ışık vermiyor"),
        ("incident_words", _BROKEN, "الراوتر عندي ما يشتغل"),
        ("human_words", scores(), "I am the manager of a small shop"),
        ("human_words", scores(), "Hangi operatöre geçtiğimi sordular"),
        ("human_words", scores(), "أنا موظف في شركة كبيرة"),
        ("legal_words", scores(), "Consider this a legal notice"),
        ("agent_conduct", scores(), "Your driver yelled, no harm done"),
        ("agent_conduct", _ANGRY, "Your driver told me to wait in the hall"),
        ("agent_conduct", _ANGRY, "Telefonu kapatıp açtım, kurye gelmedi"),
        ("agent_conduct", _ANGRY, "المندوب ما وصل"),
    ],
)
def test_words_that_mean_something_else_do_not(rule_id: str, given: TurnScores, text: str) -> None:
    assert rule_id not in raised([customer(0, given, text=text)])


def test_a_long_report_that_only_mentions_a_manager_is_no_request_for_one() -> None:
    told = f"{'We waited for a while. ' * 6}At last I could speak to the manager of the shop."
    assert "human_words" not in raised([customer(0, text=told)])
    assert "human_words" in raised([customer(0, scores(tags={"human_request": 0.2}), text=told)])


def test_people_at_risk_in_an_incident_are_in_danger_whatever_the_words() -> None:
    tags = {"vulnerable": 0.7, "incident": 0.4}
    assert "safety" in raised([customer(0, scores(urgency=CRITICAL, tags=tags))])
    assert "safety" not in raised([customer(0, scores(urgency=HIGH, tags=tags))])


@pytest.mark.parametrize(
    "answer",
    [
        "There is nothing I can do, that is our policy.",
        "Thanks for your feedback! Please rate us.",
        "Yapabileceğim bir şey yok maalesef.",
        "Talebiniz değerlendirme sürecindedir.",
        "هذا خارج اختصاصنا، يرجى الرجوع إلى العقد.",
        "شكرا لتقييمك!",
    ],
)
@pytest.mark.parametrize("role", [Role.AGENT, Role.BOT])
def test_putting_off_somebody_in_trouble_is_told(answer: str, role: Role) -> None:
    def after(given: TurnScores) -> set[str]:
        return set(raised([customer(0, given), agent(1, text=answer, role=role)]))

    assert "agent_unhelpful" in after(scores(sentiment=-0.5, urgency=HIGH))
    assert "agent_unhelpful" not in after(_PRESSING)
    assert "agent_unhelpful" not in after(_ANGRY)


@pytest.mark.parametrize(
    "answer",
    [
        "A crew is on its way and I will stay on the line.",
        "Ekip yola çıktı, hattan ayrılmayın.",
        "الفني في الطريق إليكم الآن.",
    ],
)
def test_helping_somebody_in_trouble_is_not(answer: str) -> None:
    upset = scores(sentiment=-0.5, urgency=HIGH)
    assert not raised([customer(0, upset), agent(1, text=answer)])


@pytest.mark.parametrize("words", ["Lower your voice.", "Bu sizin hatanız.", "انت الغلطان يا اخي"])
def test_blaming_words_of_an_agent_are_rude_to_an_upset_customer(words: str) -> None:
    assert "agent_rude" in raised([customer(0, _ANGRY), agent(1, text=words)])
    assert "agent_rude" not in raised([customer(0), agent(1, text=words)])


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
