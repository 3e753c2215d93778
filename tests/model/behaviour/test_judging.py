"""How cases are read from their files and judged."""

import pytest
from pydantic import ValidationError

from moodline.domain import (
    Escalation,
    EscalationLevel,
    NamedProbability,
    Sentiment,
    SentimentLabel,
    TurnScores,
    Urgency,
    UrgencyLevel,
)
from tests.model.behaviour.cases import Group, cases_of
from tests.model.behaviour.judge import objection_to
from tests.model.behaviour.perturb import PERTURBATIONS


def group(**keys: object) -> Group:
    return Group.model_validate({"name": "g", "lang": "tr", "cases": ["Merhaba."], **keys})


def scores(
    score: float = 0.0,
    *,
    sentiment: SentimentLabel = SentimentLabel.NEUTRAL,
    urgency: UrgencyLevel = UrgencyLevel.LOW,
    tags: tuple[str, ...] = (),
    escalation: float = 0.0,
) -> TurnScores:
    return TurnScores(
        sentiment=Sentiment(sentiment, score, {}),
        urgency=Urgency(urgency, {}),
        stage=NamedProbability("none", 1.0),
        tags=tuple(NamedProbability(tag, 0.9) for tag in tags),
        escalation=Escalation(EscalationLevel.NONE, escalation, {}),
        expected_csat=3.0,
        evidence=(),
    )


@pytest.mark.parametrize(
    ("keys", "found", "objection"),
    [
        ({"expect": {"sentiment": ["NEUTRAL"]}}, [scores()], ""),
        ({"expect": {"sentiment": ["POSITIVE"]}}, [scores(0.1)], "NEUTRAL (+0.10)"),
        ({"expect": {"sentiment": ["NEUTRAL"], "urgency": ["HIGH"]}}, [scores()], "urgency LOW"),
        ({"expect": {"tags": ["fraud"]}}, [scores(tags=("billing",))], "without fraud"),
        ({"expect": {"no_tags": ["fraud"]}}, [scores(tags=("fraud",))], "with fraud"),
        ({"expect": {"sentiment": ["NEUTRAL"]}}, [scores(), None], "a variant has no scores"),
        ({"same": {"score": 0.25}}, [scores(0.1), scores(0.3), scores(0.2)], ""),
        ({"same": {"score": 0.25}}, [scores(0.1), scores(0.4), scores(0.2)], "scores 0.30 apart"),
        ({"same": {"score": 0.25}}, [scores(escalation=0.0), scores(escalation=1.0)], ""),
        (
            {"same": {"score": 0.25, "escalation": 0.1}},
            [scores(escalation=0.2), scores(escalation=0.4)],
            "escalation 0.20 apart",
        ),
        ({"change": -0.25}, [scores(0.5), scores(0.2)], ""),
        ({"change": -0.25}, [scores(0.5), scores(0.3)], "score changes by -0.20"),
        ({"change": 0.25}, [scores(0.2), scores(0.5)], ""),
        ({"change": 0.25}, [scores(0.5), scores(0.2)], "score changes by -0.30"),
    ],
)
def test_a_case_holds_only_if_nothing_speaks_against_it(
    keys: dict[str, object], found: list[TurnScores | None], objection: str
) -> None:
    assert objection_to(group(**keys), found) == objection


def test_one_variant_that_falls_out_fails_the_case() -> None:
    expecting = group(expect={"sentiment": ["NEUTRAL"]})
    odd = scores(-0.5, sentiment=SentimentLabel.NEGATIVE)
    assert objection_to(expecting, [scores(), odd, scores()]) == "NEGATIVE (-0.50)"


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"same": {"score": 0.25}, "cases": []},
        {"same": {"score": 0.25}, "variants": [["a", "b"]]},
        {"same": {"score": 0.25}, "cases": [], "variants": [["a", "b"]], "perturb": ["lower"]},
        {"same": {"score": 0.25}, "perturb": ["shuffled"]},
        {"expect": {"sentiment": ["SAD"]}},
        {"expected": {"sentiment": ["NEUTRAL"]}},
    ],
)
def test_a_group_that_cannot_be_judged_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        group(**keys)


def test_a_case_must_end_with_the_customer() -> None:
    ends_with_agent = group(expect={"sentiment": ["NEUTRAL"]}, cases=[[{"agent": "Buyurun."}]])
    with pytest.raises(ValueError, match=r"a\.tr\.g\.1"):
        cases_of("a", [ends_with_agent])


def test_the_nth_variant_takes_the_nth_value_of_each_slot() -> None:
    filled = group(
        same={"score": 0.25},
        fill={"name": ["Ali", "Ece"], "day": ["salı", "cuma", "pazar"]},
        cases=[[{"agent": "Ben {name}."}, {"customer": "{day} günü."}]],
    )
    (case,) = cases_of("a", [filled])
    texts = [[turn.text for turn in variant.turns] for variant in case.variants]
    assert texts == [
        ["Ben Ali.", "salı günü."],
        ["Ben Ece.", "cuma günü."],
        ["Ben Ali.", "pazar günü."],
    ]


@pytest.mark.parametrize(
    ("name", "language", "text", "perturbed"),
    [
        ("lower", "tr", "IŞIL İYİ", "ışıl iyi"),
        ("upper", "tr", "ışıl iyi", "IŞIL İYİ"),
        ("lower", "en", "IT IS", "it is"),
        ("upper", "en", "it is", "IT IS"),
        ("unpunctuated", "en", "No! It's late, sorry.", "no it's late sorry"),
        ("unpunctuated", "ar", "لا، متى؟", "لا متى"),
        ("plain_turkish", "tr", "çığ öşü İÇ", "cig osu IC"),
        ("plain_arabic", "ar", "أنا إلى المكتبة", "انا الي المكتبه"),
        ("dotless_yeh", "ar", "في بيتي يوم", "فى بيتى يوم"),
        ("stretched", "ar", "جميل جدا", "جـــميل جدا"),
    ],
)
def test_a_perturbation_keeps_the_words(
    name: str, language: str, text: str, perturbed: str
) -> None:
    assert PERTURBATIONS[name](text, language) == perturbed
