"""A rule set is checked when it is read, and says where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from moodline.errors import RuleSetError
from moodline.rules.rule_set import RuleSet

RULES = """\
version: 1
name: test
phrases:
  cancel:
    en: [cancel my contract]
rules:
  - id: angry
    explanation: {en: The customer is angry.}
    reason: sentiment_collapse
    severity: high
    when: |
      turn.sentiment.label <= Sentiment.NEGATIVE &&
      turn.urgency.level >= Urgency.HIGH
    probability: turn.tags.complaint
    min_probability: 0.5
    clear: {when: turn.tagged.resolved, below_probability: 0.25}
  - id: leaving
    explanation: {en: Leaves.}
    reason: churn_risk
    severity: low
    when: phrase(phrases.cancel)
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RuleSetError) as caught:
        RuleSet.parse(text, source="my.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # The shape.
        ("severity: low", "severity: huge", "my.yaml:20: rule leaving: rules[1].severity: Input"),
        ("severity: low", "gravity: low", "my.yaml:20: rule leaving: rules[1].gravity: Extra"),
        ("    severity: low\n", "", "my.yaml:17: rule leaving: rules[1].severity: Field required"),
        ("en: The customer", "tr: The customer", "my.yaml:8: rule angry: rules[0].explanation: ne"),
        ("0.25}", "0.75}", "my.yaml:7: rule angry: rules[0]: clear.below_probability (0.75) must"),
        ("version: 1", "version: 9", "my.yaml:1: version: Input should be 1"),
        ("id: angry", "id: Angry!", "my.yaml:7: rule Angry!: rules[0].id: String should match"),
        ("id: leaving", "id: angry", "my.yaml:17: rule angry: rules[1].id: is the id of an ear"),
        # Names and types in conditions: the line within a text of several lines.
        ("Urgency.HIGH", "Urgency.HIHG", "my.yaml:13: rule angry: rules[0].when: refers to a name"),
        ("turn.urgency", "turn.urgensy", "my.yaml:13: rule angry: rules[0].when: undeclared refer"),
        (">= Urgency", "+ Urgency", "my.yaml:12: rule angry: rules[0].when: found no matching"),
        ("= Sentiment.NEGATIVE", "= 'bad'", "my.yaml:12: rule angry: rules[0].when: found no mat"),
        ("turn.tags.complaint", "turn.urgency.level", "my.yaml:14: rule angry: rules[0].probabili"),
        ("turn.tags.complaint", "turn.tags.complain", "my.yaml:14: rule angry: rules[0].probabili"),
        ("turn.tagged.resolved", "1 + 1", "my.yaml:16: rule angry: rules[0].clear.when: gives int"),
        # Arguments.
        ("phrases.cancel)", "phrases.refund)", "my.yaml:21: rule leaving: rules[1].when: phrase()"),
        (
            "phrases.cancel)",
            "'* x')",
            "my.yaml:21: rule leaving: rules[1].when: the phrase must be",
        ),
        (
            "phrase(phrases.cancel)",
            "last(51).size() > 1",
            "my.yaml:21: rule leaving: rules[1].when:",
        ),
        ("phrase(phrases.cancel)", "turn.text.matches('[')", "my.yaml:21: rule leaving: rules[1]"),
        ("phrase(phrases.cancel)", "turn.index > ", "my.yaml:21: rule leaving: rules[1].when: Syn"),
        ("[cancel my contract]", "['*']", "my.yaml:5: phrases.cancel.en[0]: must begin and end"),
        # YAML.
        ("name: test", "name: test\nname: x", "my.yaml:3: has the key name twice"),
        ("name: test", "name: [", "my.yaml:4: is no YAML"),
        ("{en: Leaves.}", "&a {en: Leaves., tr: *a}", "my.yaml:18: "),
        ("name: test", "name: !!python/name:os.system", "my.yaml:2: is no YAML"),
    ],
)
def test_a_problem_names_file_line_rule_and_field(old: str, new: str, problem: str) -> None:
    assert RULES.count(old) == 1
    found = problems(RULES.replace(old, new))
    assert [text for text in found if text.startswith(problem)], found


def test_all_problems_are_told_together_in_the_order_of_the_lines() -> None:
    text = RULES.replace("Urgency.HIGH", "Urgency.HIHG").replace("phrases.cancel)", "3)")
    assert [problem.split(":")[1] for problem in problems(text)] == ["13", "21"]


def test_mixed_numbers_get_a_remedy() -> None:
    (problem,) = problems(RULES.replace("phrase(phrases.cancel)", "turn.sentiment.score < 0"))
    assert "write 1.0 instead of 1" in problem


@pytest.mark.parametrize("text", ["", "- a", "3", "[" * 5000, "a: " + "x" * 1_000_001])
def test_what_is_no_rule_set_is_refused(text: str) -> None:
    assert problems(text)


def test_a_rule_that_is_evaluated_on_other_turns_cannot_read_scores() -> None:
    text = RULES.replace(
        "when: phrase(phrases.cancel)", "turns: agent\n    when: turn.sentiment.score < 0.0"
    )
    assert "undeclared reference to 'turn.sentiment.score'" in problems(text)[0]


def test_the_digest_is_of_what_the_rules_say() -> None:
    rules = RuleSet.parse(RULES)
    rewritten = "# A comment.\n" + RULES.replace("{en: Leaves.}", '\n      "en": Leaves.')
    assert RuleSet.parse(rewritten).digest == rules.digest
    assert RuleSet.parse(RULES.replace("Leaves.", "Goes.")).digest != rules.digest
    assert len(rules.digest) == 64


def test_other_thresholds_keep_the_distance_of_clearing() -> None:
    rules = RuleSet.parse(RULES)
    other = rules.with_min_probabilities({"angry": 0.8})
    assert other.digest != rules.digest
    assert other.rules[0].rule.min_probability == 0.8
    assert other.rules[0].rule.clear.below_probability == pytest.approx(0.4)
    assert other.rules[1].rule == rules.rules[1].rule
    with pytest.raises(KeyError, match="there is no rule x"):
        rules.with_min_probabilities({"x": 0.1})


def test_a_file_is_read_and_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(RULES, encoding="utf-8")
    assert RuleSet.load(path).name == "test"
    path.write_bytes(RULES.encode("utf-16"))
    with pytest.raises(RuleSetError, match=r"shop\.yaml:1: is not UTF-8"):
        RuleSet.load(path)


def test_words_of_older_yaml_are_words() -> None:
    rules = RuleSet.parse(RULES.replace("en: Leaves.", "en: no"))
    assert rules.rules[1].rule.explanation == {"en": "no"}
