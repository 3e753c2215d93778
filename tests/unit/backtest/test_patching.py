"""Other thresholds change the numbers of a rule file and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

from moodline.backtest.budget import floors
from moodline.backtest.patching import patch_of, with_min_probabilities
from moodline.rules.rule_set import RuleSet

TEXT = """\
# Ours.
version: 1
name: ours
rules:
  - id: one   # the first
    explanation: {en: One.}
    reason: fraud
    severity: high
    when: turn.tagged.fraud
    probability: turn.tags.fraud
    min_probability: 0.5  # guessed
    clear: {below_probability: 0.25, hold_turns: 2}
  - id: two
    explanation: {en: Two.}
    reason: abuse
    severity: low
    when: turn.tagged.abuse
    min_probability: 0.5
"""


def test_numbers_change_and_the_rest_of_the_text_stays() -> None:
    expected = TEXT.replace("0.5  # guessed", "0.6  # guessed").replace("0.25", "0.3")
    assert with_min_probabilities(TEXT, {"one": 0.6}) == expected


def test_the_text_says_what_the_thresholds_say() -> None:
    text = RuleSet.default_text()
    rules = RuleSet.default()
    chosen = {rule_id: floor + 0.13 for rule_id, floor in floors(rules).items()}
    changed = RuleSet.parse(with_min_probabilities(text, chosen))
    assert changed.digest == rules.with_min_probabilities(chosen).digest
    assert changed.digest != rules.digest


def test_patch_applies_it(tmp_path: Path) -> None:
    for text in (TEXT, TEXT.rstrip("\n")):
        (tmp_path / "rules.yaml").write_text(text)
        changed = with_min_probabilities(text, {"two": 0.85, "one": 0.9})
        patch = patch_of(text, changed, name="rules.yaml")
        subprocess.run(["patch", "rules.yaml"], input=patch.encode(), cwd=tmp_path, check=True)
        assert (tmp_path / "rules.yaml").read_text() == changed
