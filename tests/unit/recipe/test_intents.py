"""What intents tell: the mapping files are sound, and partial labels stay partial."""

import pytest
from pydantic import ValidationError

from models.recipe.examples import UNKNOWN, TurnLabels
from models.recipe.intents import (
    MAPPINGS_DIR,
    IntentLabels,
    IntentMapping,
    load_mapping,
    load_names,
)
from models.recipe.labels import STAGE, TAGS

# As published; the readers refuse a row with any other intent.
INTENT_COUNTS = {
    "abcd": 102,
    "banking77": 77,
    "bitext_support_intents": 27,
    "clinc150": 31,
    "goemotions": 28,
    "multidogo": 34,
    "natcs_intents_dstc11": 70,
    "nlupp": 62,
    "rasa_service_intents": 36,
    "trbrain_telecom": 19,
}

MAPPING = IntentMapping.model_validate(
    {
        "settled_tags": ["fraud", "delivery"],
        "intents": {
            "stolen": {"stage": "support", "urgency": 3, "tags_present": ["fraud"]},
            "late": {"stage": "support", "urgency": 1, "tags_open": ["delivery"]},
            "order": {"stage": "purchase", "tags_absent": ["complaint"]},
            "late+order": {"tags_present": ["complaint"], "sentiment": "negative"},
        },
        "unmapped": ["other"],
    }
)


def tag(labels: TurnLabels | None, name: str) -> int:
    assert labels is not None
    return UNKNOWN if labels.tags is None else labels.tags[TAGS.index(name)]


@pytest.mark.parametrize("name", sorted(p.stem for p in MAPPINGS_DIR.glob("*.yaml")))
def test_every_file_is_read_and_tells_something(name: str) -> None:
    mapping = load_mapping("banking77" if name == "arbanking77" else name)
    assert any(mapping.labels(key.split("+")) for key in mapping.intents)
    assert all(labels != IntentLabels() for labels in mapping.intents.values())


@pytest.mark.parametrize(("name", "count"), INTENT_COUNTS.items())
def test_every_published_intent_is_mapped_or_said_to_tell_nothing(name: str, count: int) -> None:
    assert len(load_mapping(name).names()) == count


def test_the_arabic_names_are_those_of_banking77() -> None:
    assert set(load_names("arbanking77").values()) == load_mapping("banking77").names()


def test_an_intent_tells_its_own_and_settles_the_tags_of_the_set() -> None:
    labels = MAPPING.labels(["stolen"])
    assert labels == TurnLabels(
        urgency=3,
        stage=STAGE.index("support"),
        tags=tuple({"fraud": 1, "delivery": 0}.get(t, UNKNOWN) for t in TAGS),
    )


def test_an_open_tag_stays_unknown() -> None:
    assert tag(MAPPING.labels(["late"]), "delivery") == UNKNOWN
    assert tag(MAPPING.labels(["late"]), "fraud") == 0


def test_where_intents_disagree_nothing_is_known() -> None:
    labels = MAPPING.labels(["stolen", "late"])
    assert labels is not None
    assert (labels.stage, labels.urgency) == (STAGE.index("support"), UNKNOWN)
    labels = MAPPING.labels(["stolen", "order"])
    assert labels is not None
    assert (labels.stage, labels.urgency) == (UNKNOWN, 3)


def test_a_joint_key_needs_all_of_its_intents_and_present_beats_absent() -> None:
    assert tag(MAPPING.labels(["order"]), "complaint") == 0
    labels = MAPPING.labels(["late", "order"])
    assert tag(labels, "complaint") == 1
    assert labels is not None
    assert labels.coarse_sentiment == 0


def test_an_unmapped_intent_tells_nothing_and_an_unknown_one_is_refused() -> None:
    assert MAPPING.labels(["other"]) is None
    assert MAPPING.labels([]) is None
    with pytest.raises(KeyError, match="misspelt"):
        MAPPING.labels(["order", "misspelt"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"stage": "aftersales"},
        {"urgency": 4},
        {"tags_present": ["refund"]},
        {"tags_open": ["refund"]},
        {"tags_present": ["fraud"], "tags_absent": ["fraud"]},
        {"tag_present": ["fraud"]},
    ],
)
def test_a_label_that_does_not_exist_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IntentLabels.model_validate(wrong)


def test_an_intent_cannot_be_mapped_and_unmapped() -> None:
    with pytest.raises(ValidationError, match="at once: a"):
        IntentMapping.model_validate({"intents": {"a": {}}, "unmapped": ["a"]})


@pytest.mark.parametrize(
    ("source", "intent", "stage", "urgency", "present", "absent"),
    [
        ("banking77", "compromised_card", "support", 3, {"fraud"}, {"churn_risk"}),
        ("banking77", "lost_or_stolen_card", "support", 3, {"account"}, {"delivery"}),
        ("banking77", "transaction_charged_twice", "support", 2, {"billing"}, {"fraud"}),
        ("banking77", "card_arrival", None, 1, {"delivery"}, {"fraud"}),
        ("banking77", "terminate_account", "renewal", 2, {"churn_risk", "account"}, {"fraud"}),
        ("banking77", "activate_my_card", "onboarding", 1, {"account"}, {"delivery"}),
        ("natcs_intents_dstc11", "GetQuote", "evaluation", 1, {"sales_lead"}, {"churn_risk"}),
        ("clinc150", "report_fraud", "support", 3, {"fraud"}, {"praise"}),
        ("multidogo", "openinggreeting", "none", 0, set(), {"fraud", "complaint"}),
        ("rasa_service_intents", "human_handoff", None, 2, {"human_request"}, {"fraud"}),
        ("abcd", "technical_issues/its_fixed", None, 0, {"resolved"}, {"fraud"}),
    ],
)
def test_intents_mean_what_the_guide_says(
    source: str, intent: str, stage: str | None, urgency: int, present: set[str], absent: set[str]
) -> None:
    labels = load_mapping(source).labels([intent])
    assert labels is not None
    assert labels.stage == (UNKNOWN if stage is None else STAGE.index(stage))
    assert labels.urgency == urgency
    assert all(tag(labels, name) == 1 for name in present)
    assert all(tag(labels, name) == 0 for name in absent)
