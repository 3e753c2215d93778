"""A rule set, checked and compiled."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

from google.protobuf.message import Message
from pydantic import ValidationError

from moodline.domain import Role
from moodline.errors import RuleProblem, RuleSetError
from moodline.rules import document, model
from moodline.rules.document import Document, DocumentError
from moodline.rules.expressions import (
    Bindings,
    Expression,
    ExpressionCompiler,
    ExpressionError,
    TurnMessages,
    Values,
)
from moodline.rules.phrases import PhraseError, Phrases, check_phrase
from moodline.rules.vocabulary import ENUMS, Scope

MAX_RULE_SET_CHARS: Final = 1_000_000
MAX_GROUP_RULES: Final = 8
"""So few that a rule that holds makes few others be tried alone; measured with benchmarks/rules."""
EVALUATION_VERSION: Final = 1
"""Part of the digest: raised when the same rules come to mean something else."""
DEFAULT_RULES_FILE: Final = "default.yaml"

_ROLE_OF_NUMBER: Final[Mapping[int | None, Role]] = {
    number: Role[name] for name, number in ENUMS["Role"].items()
}


class Windows(Protocol):
    """The conversation as the functions of conditions see it, at the turn that is evaluated.

    `ValueError` from any of these makes what depends on it unknown.
    """

    def last(self, turn_count: int) -> list[Message]:
        """The last scored customer turns."""

    def first(self, turn_count: int) -> list[Message]:
        """The first scored customer turns."""

    def within_s(self, seconds: float) -> list[Message]:
        """The scored customer turns of the last seconds."""

    def last_turns(self, turn_count: int, role: Role | None) -> list[Message]:
        """The last turns, of a role or of all."""

    def first_turns(self, turn_count: int, role: Role | None) -> list[Message]:
        """The first turns, of a role or of all."""

    def turns_within_s(self, seconds: float, role: Role | None) -> list[Message]:
        """The turns of the last seconds, of a role or of all."""

    def says(self, turn_index: int | None, phrases: Phrases) -> bool:
        """Whether a turn says a phrase; None for the turn that is evaluated."""

    def contacts_within_days(self, days: float) -> int:
        """Earlier contacts of the customer."""


class _Functions(threading.local):
    """The functions that read the conversation: bound once a rule set, not once an evaluation.

    Attributes:
        windows: The conversation that this thread is evaluating.
    """

    windows: Windows

    def __init__(self, lists: Mapping[str, Phrases]) -> None:
        self._lists = lists
        # Phrases that are written out in conditions; there are as many as the file holds.
        self._written: dict[str, Phrases] = {}

    def by_overload_id(self) -> dict[str, Callable[..., object]]:
        return {
            "last_int": self._last,
            "first_int": self._first,
            "within_s_double": self._within_s,
            "within_s_int": self._within_s,
            "last_turns_int": self._last_turns,
            "last_turns_int_Role": self._last_turns,
            "first_turns_int": self._first_turns,
            "first_turns_int_Role": self._first_turns,
            "turns_within_s_double": self._turns_within_s,
            "turns_within_s_double_Role": self._turns_within_s,
            "turns_within_s_int": self._turns_within_s,
            "turns_within_s_int_Role": self._turns_within_s,
            "phrase_string": self._phrase,
            "CustomerTurn_says_string": self._says,
            "contacts_within_days_double": self._contacts_within_days,
            "contacts_within_days_int": self._contacts_within_days,
        }

    def _last(self, turn_count: int) -> list[Message]:
        return self.windows.last(turn_count)

    def _first(self, turn_count: int) -> list[Message]:
        return self.windows.first(turn_count)

    def _within_s(self, seconds: float) -> list[Message]:
        return self.windows.within_s(seconds)

    def _last_turns(self, turn_count: int, role: int | None = None) -> list[Message]:
        return self.windows.last_turns(turn_count, _ROLE_OF_NUMBER.get(role))

    def _first_turns(self, turn_count: int, role: int | None = None) -> list[Message]:
        return self.windows.first_turns(turn_count, _ROLE_OF_NUMBER.get(role))

    def _turns_within_s(self, seconds: float, role: int | None = None) -> list[Message]:
        return self.windows.turns_within_s(seconds, _ROLE_OF_NUMBER.get(role))

    def _phrase(self, text: str) -> bool:
        return self.windows.says(None, self._phrases(text))

    def _says(self, turn: Any, text: str) -> bool:
        return self.windows.says(turn.index, self._phrases(text))

    def _contacts_within_days(self, days: float) -> int:
        return self.windows.contacts_within_days(days)

    def _phrases(self, text: str) -> Phrases:
        if text in self._lists:
            return self._lists[text]
        if text not in self._written:
            self._written[text] = Phrases([text])
        return self._written[text]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledRule:
    """A rule with its expressions.

    Attributes:
        scope: On which turns they are evaluated.
        clear_when: None if the rule has none.
    """

    rule: model.Rule
    scope: Scope
    when: Expression
    probability: Expression
    clear_when: Expression | None


@dataclass(frozen=True, slots=True, eq=False)
class RuleGroup:
    """Rules that are evaluated on the same turns.

    Attributes:
        any_when: Whether any of them holds. On most turns none does, and that is one evaluation
            instead of one a rule.
    """

    scope: Scope
    any_when: Expression
    rules: tuple[CompiledRule, ...]


class RuleSet:
    """A rule set; immutable, shared by all conversations and threads.

    Attributes:
        name: What people call it.
        digest: SHA-256, in lower-case hexadecimal, of its content: of what it says, not of how it
            is written down. Equal digests give equal matches for equal results.
        rules: In the order of the file.
        messages: Makes the turns of windows.
    """

    def __init__(self, content: model.RuleSetDocument) -> None:
        """Compile a document; `parse` and `load` tell what is wrong with one by its line.

        Raises:
            ContentError: If an id, an expression or a phrase is wrong.
        """
        self.content = content
        self.name = content.name
        self.digest = _digest(content)
        self.messages = TurnMessages()
        compilation = _Compilation(content)
        self._functions = _Functions(compilation.phrase_lists())
        self._expressions = ExpressionCompiler(
            phrase_names=content.phrases,
            implementations=self._functions.by_overload_id(),
            messages=self.messages,
        )
        self.rules = compilation.rules(self._expressions)
        compilation.raise_problems()
        self._names = {
            scope: frozenset(
                name
                for compiled in self.rules
                if compiled.scope is scope
                for expression in (compiled.when, compiled.probability, compiled.clear_when)
                if expression is not None
                for name in expression.names
            )
            for scope in Scope
        }
        self._groups = {
            (role, is_scored): self._grouped(role, is_scored=is_scored)
            for role in Role
            for is_scored in (True, False)
        }
        self._phrase_values = {name: name for name in map(_phrase_name, content.phrases)}

    @classmethod
    def load(cls, path: Path) -> RuleSet:
        """Read a rule set from a file.

        Raises:
            OSError: If the file cannot be read.
            RuleSetError: If it is no rule set.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise RuleSetError(
                [RuleProblem(path.name, 1, "", "", "is not UTF-8; save it as UTF-8")]
            ) from None
        return cls.parse(text, source=path.name)

    @classmethod
    def default(cls) -> RuleSet:
        """Return the rules that come with moodline."""
        return cls.parse(cls.default_text(), source=DEFAULT_RULES_FILE)

    @staticmethod
    def default_text() -> str:
        """Return the file of the rules that come with moodline."""
        return files(__package__ or "").joinpath(DEFAULT_RULES_FILE).read_text(encoding="utf-8")

    @classmethod
    def parse(cls, text: str, *, source: str = "rules.yaml") -> RuleSet:
        """Read a rule set.

        Args:
            text: YAML.
            source: What problems name as the file.

        Raises:
            RuleSetError: If it is no rule set.
        """
        if len(text) > MAX_RULE_SET_CHARS:
            problem = f"has {len(text)} characters, more than {MAX_RULE_SET_CHARS}; split it"
            raise RuleSetError([RuleProblem(source, 1, "", "", problem)])
        try:
            read = document.read_document(text)
        except DocumentError as error:
            raise RuleSetError([RuleProblem(source, error.line, "", "", str(error))]) from None
        try:
            content = model.RuleSetDocument.model_validate(read.data)
        except ValidationError as error:
            raise RuleSetError(_model_problems(error, read, source)) from None
        try:
            return cls(content)
        except ContentError as error:
            raise RuleSetError([problem.at(read, source) for problem in error.problems]) from None

    def with_min_probabilities(self, min_probabilities: Mapping[str, float]) -> RuleSet:
        """Return the same rules with other thresholds, by rule id; hysteresis moves along.

        Raises:
            KeyError: If there is no such rule.
        """
        unknown = set(min_probabilities) - {rule.id for rule in self.content.rules}
        if unknown:
            raise KeyError(f"there is no rule {min(unknown)}")
        rules = tuple(
            _with_min_probability(rule, min_probabilities[rule.id])
            if rule.id in min_probabilities
            else rule
            for rule in self.content.rules
        )
        return RuleSet(self.content.model_copy(update={"rules": rules}))

    def groups(self, role: Role, *, is_scored: bool) -> tuple[RuleGroup, ...]:
        """Return the rules that are evaluated on turns of a role, with scores or without."""
        return self._groups[role, is_scored]

    def bind(self, scope: Scope, values: Values) -> Bindings:
        """Bind what the rules of a scope read at a turn."""
        return self._expressions.bind(scope, {**values, **self._phrase_values}, self._names[scope])

    def stand_at(self, windows: Windows) -> None:
        """Choose the conversation that this thread's next evaluations read."""
        self._functions.windows = windows

    def _grouped(self, role: Role, *, is_scored: bool) -> tuple[RuleGroup, ...]:
        groups: list[RuleGroup] = []
        for scope in Scope:
            rules = [
                compiled
                for compiled in self.rules
                if compiled.scope is scope
                and compiled.rule.turns.role in (None, role)
                and (is_scored or scope is Scope.ANY)
            ]
            for start in range(0, len(rules), MAX_GROUP_RULES):
                group = tuple(rules[start : start + MAX_GROUP_RULES])
                any_when = self._expressions.any_of([c.rule.when for c in group], scope)
                groups.append(RuleGroup(scope, any_when, group))
        return tuple(groups)


@dataclass(frozen=True, slots=True)
class _ContentProblem:
    """Something that is wrong in a document of the right shape.

    Attributes:
        line: Of the value at `path`, where it keeps its lines; from 1.
    """

    path: document.Path
    rule_id: str
    description: str
    line: int = 1

    def at(self, read: Document, source: str) -> RuleProblem:
        line = read.line_of(self.path)
        if self.path in read.blocks:
            line += self.line
        return RuleProblem(source, line, self.rule_id, _field(self.path), self.description)


class ContentError(ValueError):
    """A document of the right shape whose content is wrong.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: Iterable[_ContentProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{_field(p.path)}: {p.description}" for p in self.problems))


class _Compilation:
    """Compiles a document as far as it goes, so that all problems are told together."""

    def __init__(self, content: model.RuleSetDocument) -> None:
        self._content = content
        self._problems: list[_ContentProblem] = []

    def raise_problems(self) -> None:
        if self._problems:
            raise ContentError(self._problems)

    def phrase_lists(self) -> dict[str, Phrases]:
        return {
            _phrase_name(name): Phrases(
                phrase
                for language, phrases in languages.items()
                for index, phrase in enumerate(phrases)
                if self._is_phrase(phrase, ("phrases", name, language, index))
            )
            for name, languages in self._content.phrases.items()
        }

    def rules(self, compiler: ExpressionCompiler) -> tuple[CompiledRule, ...]:
        compiled: list[CompiledRule] = []
        ids: set[str] = set()
        for index, rule in enumerate(self._content.rules):
            path: document.Path = ("rules", index)
            if rule.id in ids:
                self._add((*path, "id"), rule, "is the id of an earlier rule too; choose another")
            ids.add(rule.id)
            scope = rule.turns.scope
            when = self._compiled(compiler.condition, rule.when, scope, (*path, "when"), rule)
            probability = self._compiled(
                compiler.probability, rule.probability, scope, (*path, "probability"), rule
            )
            clear_when = rule.clear.when and self._compiled(
                compiler.condition, rule.clear.when, scope, (*path, "clear", "when"), rule
            )
            if when and probability:
                compiled.append(CompiledRule(rule, scope, when, probability, clear_when or None))
        return tuple(compiled)

    def _compiled(
        self,
        compile_text: Callable[[str, Scope], Expression],
        text: str,
        scope: Scope,
        path: document.Path,
        rule: model.Rule,
    ) -> Expression | None:
        try:
            return compile_text(text, scope)
        except ExpressionError as error:
            self._add(path, rule, f"{error} (column {error.column})", error.line)
            return None

    def _is_phrase(self, phrase: str, path: document.Path) -> bool:
        try:
            check_phrase(phrase)
        except PhraseError as error:
            self._problems.append(_ContentProblem(path, "", str(error)))
            return False
        return True

    def _add(self, path: document.Path, rule: model.Rule, text: str, line: int = 1) -> None:
        self._problems.append(_ContentProblem(path, rule.id, text, line))


def _phrase_name(name: str) -> str:
    return f"phrases.{name}"


def _field(path: document.Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def _model_problems(error: ValidationError, read: Document, source: str) -> list[RuleProblem]:
    problems: list[RuleProblem] = []
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        # Keys of dictionaries that are wrong themselves end with a word of pydantic.
        path = tuple(part for part in detail["loc"] if part != "[key]")
        rule_id = ""
        if path[:1] == ("rules",) and len(path) > 1:
            rule = read.data["rules"][path[1]]
            rule_id = str(rule.get("id", "")) if isinstance(rule, dict) else ""
        message = detail["msg"].removeprefix("Value error, ")
        problems.append(
            RuleProblem(source, read.line_of(path), rule_id, _field(path), message.rstrip("."))
        )
    return problems


def _with_min_probability(rule: model.Rule, min_probability: float) -> model.Rule:
    below = rule.clear.below_probability
    clear = rule.clear
    if below is not None:
        # The distance between raising and clearing stays what the author chose it to be.
        scaled = round(below * min_probability / rule.min_probability, 4)
        clear = clear.model_copy(update={"below_probability": scaled})
    return rule.model_copy(update={"min_probability": min_probability, "clear": clear})


def _digest(content: model.RuleSetDocument) -> str:
    said = {"evaluation": EVALUATION_VERSION, **content.model_dump(mode="json")}
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
