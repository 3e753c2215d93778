"""Readers of the data sets: which rows are used for what, and what their labels become."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from models.recipe.datasets import READERS, read_available, read_source
from models.recipe.evaluation_sets import EVALUATION_READERS
from models.recipe.examples import TRAINING_SPLITS, UNKNOWN, Example, TurnLabels
from models.recipe.labels import STAGE, TAGS

REPOSITORY = Path(__file__).parents[3]
SOURCES = yaml.safe_load((REPOSITORY / "models/recipe/sources.yaml").read_text(encoding="utf-8"))

NEGATIVE, NEUTRAL, POSITIVE = range(3)


def intent(name: str, **more: Any) -> dict[str, Any]:
    return {"lang": "en", "labels": {"intent": name}, **more}


# A row of each set that is only evaluated on: all of its rows are of this form.
EVALUATION_ROWS: dict[str, dict[str, Any]] = {
    "airline_tweets": {"split": "train", "label": "negative"},
    "amazonhelp_sentiment": {"split": "test", "label": "negative"},
    "app_review_types_ar": {
        "lang": "ar",
        "split": "all",
        "labels": {"bug_report": "High", "improvement_request": "No"},
    },
    "app_review_types_en": {
        "lang": "en",
        "split": "all",
        "labels": {"review_type": "feature request"},
    },
    "ar_emotone": {"lang": "ar", "split": "train", "label": "surprise"},
    "ar_reviews_elsahar": {"lang": "ar", "split": "train", "sentiment": "neutral"},
    "astd": {"lang": "ar", "split": "test", "label": "OBJ", "sentiment": "neutral"},
    "complaint_severity_xci": {"lang": "en", "split": "all", "labels": {"complaint": 1}},
    "complaints_tweets": {"split": "train", "label": "complaint"},
    "customer_reviews_cr": {"split": "train", "label": "positive"},
    "marsa": {"lang": "ar", "split": "train", "sentiment": "positive"},
    "sst5": {"split": "test", "label": "very positive"},
    "suggestions_semeval19": {"lang": "en", "split": "test", "labels": {"suggestion": 0}},
    "support_tickets_multilang_synthetic": {
        "lang": "de",
        "split": "all",
        "labels": {"type": "Incident", "queue": "IT Support", "tags": ["Payment"]},
    },
    "tr_ecommerce_reviews": {"lang": "tr", "split": "train", "sentiment": "positive"},
    "tr_emotion_tweets": {"lang": "tr", "split": "train", "sentiment": "negative"},
    "tr_store_reviews": {"lang": "tr", "split": "train", "sentiment": "neutral"},
    "twcs_threads": {"split": "train", "label": None},
}


def read(root: Path, source: str, *rows: dict[str, Any], file: str = "rows.jsonl") -> list[Example]:
    """Write rows as a set of that name and read them back; each gets an id and a text."""
    folder = root / source
    folder.mkdir(exist_ok=True)
    lines = [{"id": f"{source}-{i}", "text": f"Text {i}", **row} for i, row in enumerate(rows)]
    (folder / file).write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return read_source(source, root)


def labels_of(example: Example) -> TurnLabels:
    (turn,) = example.turns
    assert turn.is_customer
    assert turn.labels is not None
    return turn.labels


def tags_of(example: Example) -> dict[str, int]:
    tags = labels_of(example).tags
    assert tags is not None
    return {t: value for t, value in zip(TAGS, tags, strict=True) if value != UNKNOWN}


def test_every_reader_is_named_in_the_documents() -> None:
    assert set(SOURCES) == set(READERS)
    readme = (REPOSITORY / "models/README.md").read_text(encoding="utf-8")
    assert not [name for name in READERS if f"`{name}`" not in readme]


def test_sets_marked_evaluation_are_never_trained_or_fitted_on(tmp_path: Path) -> None:
    assert set(EVALUATION_ROWS) == set(EVALUATION_READERS)
    for source, row in EVALUATION_ROWS.items():
        (example,) = read(tmp_path, source, row)
        assert example.split in {"report", "spare"}, source
        assert example.source == source
    marked = {name for name, facts in SOURCES.items() if facts["use"] in {"evaluation", "none"}}
    assert marked == {*EVALUATION_READERS, "annotated_dev"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("airline_tweets", TurnLabels(coarse_sentiment=NEGATIVE)),
        ("astd", TurnLabels(coarse_sentiment=NEUTRAL)),
        ("sst5", TurnLabels(sentiment=4)),
    ],
)
def test_sentiment_of_evaluation_sets(tmp_path: Path, source: str, expected: TurnLabels) -> None:
    (example,) = read(tmp_path, source, EVALUATION_ROWS[source])
    assert (example.split, labels_of(example)) == ("report", expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("app_review_types_ar", {"technical_problem": 1, "feature_request": 0}),
        ("app_review_types_en", {"feature_request": 1}),
        ("complaints_tweets", {"complaint": 1}),
        ("suggestions_semeval19", {"feature_request": 0}),
        ("support_tickets_multilang_synthetic", {"technical_problem": 1, "billing": 1}),
    ],
)
def test_tags_of_evaluation_sets(tmp_path: Path, source: str, expected: dict[str, int]) -> None:
    (example,) = read(tmp_path, source, EVALUATION_ROWS[source])
    assert tags_of(example) == expected
    assert labels_of(example).coarse_sentiment == UNKNOWN


def test_graded_app_reviews_leave_the_low_grade_open(tmp_path: Path) -> None:
    grades = {"bug_report": "Low", "improvement_request": "Medium"}
    (example,) = read(tmp_path, "app_review_types_ar", {"lang": "ar", "labels": grades})
    assert tags_of(example) == {"feature_request": 1}


def test_rows_without_a_label_are_held_out_and_not_evaluated(tmp_path: Path) -> None:
    mixed, trained = {"lang": "ar", "split": "test"}, {"lang": "ar", "split": "train"}
    examples = read(tmp_path, "astd", mixed, {**trained, "sentiment": "positive"})
    assert [(e.split, e.turns[0].labels is None) for e in examples] == [
        ("report", True),
        ("spare", False),
    ]


def test_rows_that_stand_in_tests_of_other_sets_are_not_read(tmp_path: Path) -> None:
    row = {"split": "train", "sentiment": "positive"}
    examples = read(
        tmp_path,
        "arsarcasm_v2",
        {**row, "in_umsab_test": True, "in_astd_test": False},
        {**row, "in_umsab_test": False, "in_astd_test": True},
        {**row, "in_umsab_test": False, "in_astd_test": False},
    )
    assert [e.example_id for e in examples] == ["arsarcasm_v2-2"]


def test_labelled_rows_of_sets_that_may_not_be_trained_on_are_not_read(tmp_path: Path) -> None:
    labels = {"sentiment": -1, "urgency": 1, "stage": "support", "tags": ["delivery"]}
    outcome = {"escalation": "none", "escalation_turn": None, "csat": 2}
    rows = [
        {
            "source": source,
            "lang": "en",
            "turns": [{"speaker": "customer", "text": "Where is it?", "labels": labels}],
            "labels": outcome,
        }
        for source in ("marsa", "xci", "star")
    ]
    examples = read(tmp_path, "annotated", *rows, file="train.jsonl")
    assert [e.example_id for e in examples] == ["annotated-2"]


def test_a_turn_warns_of_an_escalation_in_the_three_customer_turns_after_it(
    tmp_path: Path,
) -> None:
    labels = {"sentiment": -1, "urgency": 1, "stage": "support", "tags": []}
    customer = {"speaker": "customer", "text": "Where is it?", "labels": labels}
    agent = {"speaker": "agent", "text": "I will look."}
    row = {
        "source": "star",
        "lang": "en",
        "turns": [customer, customer, agent, customer, customer, agent, customer, customer],
        "labels": {"escalation": "escalate", "escalation_turn": 6, "csat": 1},
    }
    watched = {**row, "labels": {"escalation": "watch", "escalation_turn": 6, "csat": 2}}
    (escalates, stays) = read(tmp_path, "annotated", row, watched, file="train.jsonl")
    assert warnings_of(escalates) == [0, 1, 1, 1, UNKNOWN, UNKNOWN]
    assert warnings_of(stays) == [0, 0, 0, 0, 0, 0]


def warnings_of(example: Example) -> list[int]:
    return [turn.labels.early_warning for turn in example.turns if turn.labels]


def test_rows_under_gpl_and_answers_of_the_bot_are_not_read(tmp_path: Path) -> None:
    free, gpl = "bot:nlu.yml (MIT)", "RasaHQ/rasa-demo (GPL-3.0)"
    examples = read(
        tmp_path,
        "rasa_service_intents",
        intent("human_handoff", source=free),
        intent("human_handoff", source=gpl),
        intent("greet", source=free, lang="tr"),
        intent("ask_invoice", source=free, lang="tr"),
        intent("help", source=free),
    )
    assert [(e.example_id[-1], e.split) for e in examples] == [
        ("0", "train"),
        ("3", "train"),
        ("4", "unlabelled"),
    ]


def test_intents_of_published_tests_are_reported_and_unmapped_ones_only_held_out(
    tmp_path: Path,
) -> None:
    examples = read(
        tmp_path,
        "natcs_intents_dstc11",
        intent("GetQuote", split="dev"),
        intent("GetQuote", split="test"),
        intent("NetIncome", split="dev"),
        intent("NetIncome", split="test"),
    )
    assert [e.split for e in examples] == ["train", "report", "unlabelled", "spare"]
    assert labels_of(examples[0]).stage == STAGE.index("evaluation")


def test_arabic_intents_tell_what_their_english_originals_do(tmp_path: Path) -> None:
    row = {"lang": "ar", "split": "train", "labels": {"intent_ar": "بطاقة مخترقة"}}
    (arabic,) = read(tmp_path, "arbanking77", row)
    (english,) = read(tmp_path, "banking77", intent("compromised_card", split="train"))
    assert labels_of(arabic) == labels_of(english)
    assert labels_of(arabic).urgency == 3


def test_churn_is_leaving_us_and_not_leaving_another_for_us(tmp_path: Path) -> None:
    def row(text: str, brand: str | None, churn: int) -> dict[str, Any]:
        return {"text": text, "lang": "en", "labels": {"brand": brand, "churn_intent": churn}}

    examples = read(
        tmp_path,
        "churn_intent_chatbot",
        row("From Swisscom to Salt", "salt", 0),
        row("From Swisscom to Salt", "swisscom", 1),
        row("From Salt to you", "salt", 1),
        row("I am gone", None, 1),
        row("All fine", "swisscom", 0),
    )
    found = {e.turns[0].text: (e.split, e.turns[0].labels) for e in examples}
    assert len(examples) == len(found) == 4
    assert found["From Salt to you"] == ("unlabelled", None)
    churn_risk = TAGS.index("churn_risk")
    for text, present in (("From Swisscom to Salt", 1), ("I am gone", 1), ("All fine", 0)):
        labels = found[text][1]
        assert labels is not None
        assert labels.tags is not None
        assert labels.tags[churn_risk] == present


def test_emotions_become_sentiment_unless_they_disagree(tmp_path: Path) -> None:
    def read_emotions(*emotions: str) -> list[Example]:
        rows = {"split": "train", "label": list(emotions)}
        return read(tmp_path, "goemotions", rows, file="train.jsonl")

    assert labels_of(*read_emotions("joy", "neutral")) == TurnLabels(coarse_sentiment=POSITIVE)
    assert labels_of(*read_emotions("joy", "curiosity")) == TurnLabels(coarse_sentiment=POSITIVE)
    assert tags_of(*read_emotions("admiration")) == {"praise": 1}
    assert tags_of(*read_emotions("anger")) == {"praise": 0}
    assert labels_of(*read_emotions("neutral")).coarse_sentiment == NEUTRAL
    assert read_emotions("joy", "anger") == []
    assert read_emotions("curiosity", "neutral") == []


def test_reasons_of_telecom_posts_are_learnt_from_and_not_calibrated_on(tmp_path: Path) -> None:
    acts = {"sentiment": "negative", "action_needed": 1, "reason": "network"}
    fine = {"sentiment": "positive", "action_needed": 0, "reason": None}
    training, calibration, praise = read(
        tmp_path,
        "trbrain_telecom",
        {**acts, "split": "train"},
        {**acts, "split": "validation"},
        {**fine, "split": "train"},
    )
    assert tags_of(training) == {"technical_problem": 1, "complaint": 1}
    assert labels_of(training).coarse_sentiment == NEGATIVE
    assert labels_of(calibration) == TurnLabels(coarse_sentiment=NEGATIVE)
    assert labels_of(praise).urgency == 0


def test_conversations_that_are_annotated_are_not_read_a_second_time(tmp_path: Path) -> None:
    turns = [
        {"speaker": "customer", "text": "hi", "labels": {"intent": ["openinggreeting"]}},
        {"speaker": "customer", "text": "close it", "labels": {"intent": ["closeaccount"]}},
        {"speaker": "customer", "text": "eh", "labels": {"intent": ["outofdomain"]}},
    ]
    annotated = tmp_path / "annotated"
    annotated.mkdir()
    ids = ["multidogo:multidogo-0", "star:star_woz-0"]
    (annotated / "train.jsonl").write_text("".join(json.dumps({"id": i}) + "\n" for i in ids))
    row = {"split": "train", "turns": turns}
    (example,) = read(tmp_path, "multidogo", row, row)
    assert example.example_id == "multidogo-1"
    stages = [turn.labels and turn.labels.stage for turn in example.turns]
    assert stages == [STAGE.index("none"), STAGE.index("renewal"), None]
    (unlabelled,) = read(tmp_path, "star_woz", row, row)
    assert (unlabelled.example_id, unlabelled.split) == ("star_woz-1", "unlabelled")
    assert [turn.labels for turn in unlabelled.turns] == [None] * 3


def test_what_an_agents_tool_wrote_is_no_turn(tmp_path: Path) -> None:
    speakers = ("customer", "system", "agent")
    turns = [{"speaker": speaker, "text": speaker} for speaker in speakers]
    folder = tmp_path / "abcd"
    folder.mkdir()
    (folder / "conversations_sample.jsonl").write_text(json.dumps({"id": "c", "turns": turns}))
    upset = {"label": ["feedback/upset"]}
    said, chat = read(tmp_path, "abcd", upset, file="customer_utterances_intents.jsonl")
    assert (said.split, labels_of(said).coarse_sentiment) == ("train", NEGATIVE)
    assert [(t.text, t.is_customer) for t in chat.turns] == [("customer", True), ("agent", False)]


def test_missing_sets_are_skipped_unless_they_are_needed(tmp_path: Path) -> None:
    read(tmp_path, "sst5", EVALUATION_ROWS["sst5"])
    assert set(read_available(tmp_path, ["own"])) == {"own", "own_texts", "sst5"}
    with pytest.raises(FileNotFoundError, match="umsab"):
        read_available(tmp_path, ["umsab"])


def test_no_row_of_a_training_split_lacks_all_labels() -> None:
    for example in read_source("own", Path()):
        assert example.split in TRAINING_SPLITS
        assert any(turn.labels for turn in example.turns)
