"""Writes what follows from the rule language: the JSON Schema, the tables of docs/rules.md.

Part of `make generate`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from moodline.rules.model import RuleSetDocument
from moodline.rules.rule_set import RuleSet
from moodline.rules.vocabulary import (
    CONVERSATION_FIELDS,
    CUSTOMER_FIELDS,
    ENUMS,
    FUNCTIONS,
    SCORE_FIELDS,
    TAGS,
    TEXT_FIELD,
    TURN_FIELDS,
    Field,
    Function,
)

ROOT: Final = Path(__file__).parents[1]
DOC: Final = ROOT / "docs" / "rules.md"
SCHEMA: Final = ROOT / "service" / "moodline" / "rules" / "rule_set.schema.json"
_BEGIN: Final = "<!-- made by scripts/rules_doc.py -->"
_END: Final = "<!-- end -->"


def schema() -> str:
    """The JSON Schema of a rule set."""
    described: dict[str, Any] = RuleSetDocument.model_json_schema()
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "moodline rule set",
        **{key: value for key, value in described.items() if key != "title"},
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def page(text: str) -> str:
    """The page with its tables as they are now; what people wrote stays."""
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    return f"{before}{_BEGIN}\n{_tables()}{_END}{after}"


def _tables() -> str:
    tags = [f for f in SCORE_FIELDS if not f.name.startswith(("tags.", "tagged."))]
    tags += [
        Field("tags.TAG", "double", "Probability of the tag, whether it holds or not."),
        Field("tagged.TAG", "bool", "Whether the tag holds by the threshold of the artifact."),
    ]
    parts = [
        _fields("`turn`, every turn", "turn", (*TURN_FIELDS, TEXT_FIELD)),
        _fields("`turn`, customer turns that have scores", "turn", tags),
        f"`TAG` is one of {', '.join(f'`{tag}`' for tag in TAGS)}.\n\n",
        _fields("`conversation`, so far", "conversation", CONVERSATION_FIELDS),
        _fields("`customer`, before this conversation", "customer", CUSTOMER_FIELDS),
        "### Functions\n\n| function | gives | meaning |\n|---|---|---|\n",
        *(f"| `{_call(f)}` | `{f.result}` | {f.meaning} |\n" for f in FUNCTIONS),
        "\n### Names of values\n\n| enum | values, rising |\n|---|---|\n",
        *(f"| `{name}` | {_labels(values)} |\n" for name, values in ENUMS.items()),
        "\n### Default rules\n\n",
        "| rule | reason | severity | cause | what an agent reads |\n|---|---|---|---|---|\n",
        *(
            f"| `{rule.id}` | `{rule.reason}` | {rule.severity} | `{rule.cause_key}` | "
            f"{rule.explanation['en']} |\n"
            for rule in RuleSet.default().content.rules
        ),
    ]
    return "".join(parts)


def _fields(title: str, group: str, fields: Iterable[Field]) -> str:
    rows = "".join(
        f"| `{group}.{field.name}` | `{field.type}`{'?' if field.is_optional else ''} "
        f"| {field.meaning} |\n"
        for field in fields
    )
    return f"### {title}\n\n| name | type | meaning |\n|---|---|---|\n{rows}\n"


def _labels(values: Mapping[str, int]) -> str:
    return ", ".join(f"`{label}`" for label in sorted(values, key=lambda label: values[label]))


def _call(function: Function) -> str:
    receiver = f"{function.member_of}." if function.member_of else ""
    return f"{receiver}{function.name}({', '.join(function.parameters)})"


if __name__ == "__main__":
    SCHEMA.write_text(schema(), encoding="utf-8")
    DOC.write_text(page(DOC.read_text(encoding="utf-8")), encoding="utf-8")
