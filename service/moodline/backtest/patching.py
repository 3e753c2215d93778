"""Writes other thresholds into the text of a rule set, and leaves everything else as it was."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import yaml

from moodline.rules.model import Rule
from moodline.rules.rule_set import RuleSet


def with_min_probabilities(text: str, min_probabilities: Mapping[str, float]) -> str:
    """Return the text of a rule set with other thresholds.

    Comments and layout stay. `clear.below_probability` moves along, as
    `RuleSet.with_min_probabilities` moves it.

    Args:
        text: YAML of a rule set that can be used.
        min_probabilities: By rule id; these rules name a `min_probability`.

    Raises:
        RuleSetError: If the text is no rule set.
    """
    rule_set = RuleSet.parse(text)
    changed = rule_set.with_min_probabilities(min_probabilities)
    before = {rule.id: rule for rule in rule_set.content.rules}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    nodes = _entry(root, "rules").value if root is not None else []
    edits = [
        edit
        for rule, node in zip(changed.content.rules, nodes, strict=True)
        if rule.id in min_probabilities
        for edit in _edits(before[rule.id], rule, node)
    ]
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def patch_of(before: str, after: str, *, name: str) -> str:
    """Return the difference of two texts as a unified diff, which `patch` applies to the file."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=name,
        tofile=name,
    )
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )


def _edits(before: Rule, after: Rule, node: yaml.Node) -> Iterator[tuple[int, int, str]]:
    """Yield where numbers of a rule stand in the text, and what shall stand there."""
    if after.min_probability != before.min_probability:
        yield _replacing(_entry(node, "min_probability"), after.min_probability)
    if after.clear.below_probability != before.clear.below_probability:
        below = after.clear.below_probability
        yield _replacing(_entry(_entry(node, "clear"), "below_probability"), below or 0.0)


def _replacing(node: yaml.Node, number: float) -> tuple[int, int, str]:
    return node.start_mark.index, node.end_mark.index, f"{number:g}"


def _entry(node: yaml.Node, key: str) -> yaml.Node:
    entries: list[tuple[yaml.Node, yaml.Node]] = node.value
    return next(value for name, value in entries if name.value == key)
