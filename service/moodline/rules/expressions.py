"""Compiles conditions in CEL with types checked, and evaluates them; the only user of CEL here.

CEL is Google's C++ implementation (`cel-expr-python`): of those for Python the only one that checks
types when an expression is compiled, without dependencies, at 2 to 4 microseconds an evaluation.
What is unknown (a time that the caller did not give, an attribute that is missing, the mean of
nothing) is an error inside CEL, which `&&` and `||` absorb where the other side decides; what then
remains unknown is neither true nor false, and None is what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import regex
from cel_expr_python import cel  # type: ignore[import-untyped]
from google.protobuf import descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.message import Message

from moodline.rules.phrases import PhraseError, check_phrase
from moodline.rules.tokens import Token, calls, names_read, tokens
from moodline.rules.vocabulary import (
    ENUMS,
    FUNCTIONS,
    MAX_WINDOW_TURNS,
    PHRASE_FUNCTIONS,
    WINDOW_FUNCTIONS,
    Field,
    Function,
    Scope,
    turn_fields,
    variables,
)

MAX_EXPRESSION_CHARS: Final = 4_000

Values: TypeAlias = Mapping[str, object]
"""Values of variables by their full name; what is unknown is left out."""

_PACKAGE: Final = "moodline.rules"
_MESSAGES: Final = {"Turn": Scope.ANY, "CustomerTurn": Scope.CUSTOMER}
_SCALARS: Final = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int": FieldDescriptorProto.TYPE_INT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
}
_ERROR: Final = regex.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_MIXED_NUMBERS: Final = regex.compile(r"\((?:double, int|int, double)\)")


class ExpressionError(ValueError):
    """An expression that cannot be compiled.

    Attributes:
        line: Of the expression, from 1.
        column: From 1.
    """

    def __init__(self, message: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.line = line
        self.column = column


class Bindings:
    """The values of the variables at one turn, for all expressions of a scope."""

    def __init__(self, activation: Any) -> None:
        """Made by `ExpressionCompiler.bind` alone."""
        self.activation = activation


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes:
        names: The variables that it reads.
    """

    names: frozenset[str]
    _program: Any

    def holds(self, bindings: Bindings) -> bool | None:
        """Return the value of a condition; None if that is unknown."""
        value = self._value(bindings)
        return value if isinstance(value, bool) else None

    def number(self, bindings: Bindings) -> float | None:
        """Return the value of a probability; None if that is unknown."""
        value = self._value(bindings)
        return value if isinstance(value, float) else None

    def _value(self, bindings: Bindings) -> object:
        try:
            # An error of CEL has its message as its value, which is neither bool nor float.
            return self._program.eval(bindings.activation).value()
        except RuntimeError:
            # More iterations than CEL allows an evaluation.
            return None


class TurnMessages:
    """Makes the turns of windows: messages, so that CEL can check the names of their fields."""

    def __init__(self) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
        self.pool.Add(_file_descriptor())
        self._classes = {
            name: message_factory.GetMessageClass(
                self.pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
            )
            for name in _MESSAGES
        }
        self._fields = {
            name: [(f"turn.{field.name}", field) for field in turn_fields(scope)]
            for name, scope in _MESSAGES.items()
        }

    def make(self, kind: str, values: Values) -> Message:
        """Return a turn.

        Args:
            kind: `Turn` or `CustomerTurn`.
            values: By the names of the vocabulary.
        """
        nested: dict[str, Any] = {}
        for name, field in self._fields[kind]:
            if name in values:
                *path, last = field.name.split(".")
                group = nested
                for part in path:
                    group = group.setdefault(part, {})
                value = values[name]
                group[last] = {"value": value} if field.is_optional else value
        return self._classes[kind](**nested)


class ExpressionCompiler:
    """Compiles the expressions of one rule set."""

    def __init__(
        self,
        *,
        phrase_names: Iterable[str],
        implementations: Mapping[str, Callable[..., object]],
        messages: TurnMessages,
    ) -> None:
        """Build the environments of CEL.

        Args:
            phrase_names: The names of the lists under `phrases`.
            implementations: Of the functions that read the conversation, by overload id.
            messages: Makes what these functions return.
        """
        self._phrase_names = frozenset(phrase_names)
        self._variables = {scope: variables(scope, self._phrase_names) for scope in Scope}
        known = {**_STATELESS, **implementations}
        self._conditions = {
            scope: self._environment(scope, FUNCTIONS, known, messages) for scope in Scope
        }
        stateless = [function for function in FUNCTIONS if not function.reads_conversation]
        self._probabilities = {
            scope: self._environment(scope, stateless, known, messages) for scope in Scope
        }

    def condition(self, text: str, scope: Scope) -> Expression:
        """Compile an expression that is true or false.

        Raises:
            ExpressionError: If it is not one.
        """
        words = _checked_words(text)
        _check_windows(words)
        _check_phrases(words, self._phrase_names)
        self._check_patterns(words, scope)
        return self._compile(text, words, self._conditions[scope], scope, cel.Type.BOOL)

    def any_of(self, conditions: Iterable[str], scope: Scope) -> Expression:
        """Compile conditions that `condition` has accepted into one: whether any of them holds."""
        # A line break ends a comment that a condition may end with.
        text = " || ".join(f"({condition}\n)" for condition in conditions)
        return self._compile(text, tokens(text), self._conditions[scope], scope, cel.Type.BOOL)

    def probability(self, text: str, scope: Scope) -> Expression:
        """Compile an expression that is a number, from the values of one turn alone.

        Raises:
            ExpressionError: If it is not one.
        """
        words = _checked_words(text)
        return self._compile(text, words, self._probabilities[scope], scope, cel.Type.DOUBLE)

    def bind(self, scope: Scope, values: Values, names: frozenset[str]) -> Bindings:
        """Bind the variables that the expressions read.

        Args:
            scope: Of the expressions.
            values: At least those of `names` that are known.
            names: All `Expression.names` together; what none reads costs nothing.
        """
        known = {name: values[name] for name in names if name in values}
        return Bindings(self._conditions[scope].Activation(known))

    def _compile(
        self, text: str, words: tuple[Token, ...], environment: Any, scope: Scope, kind: Any
    ) -> Expression:
        try:
            program = environment.compile(text)
        except RuntimeError as error:
            raise _expression_error(str(error)) from None
        if program.return_type() != kind:
            raise ExpressionError(
                f"gives {program.return_type().name().lower()} instead of {kind.name().lower()}"
            )
        return Expression(names_read(words, frozenset(self._variables[scope])), program)

    def _check_patterns(self, words: tuple[Token, ...], scope: Scope) -> None:
        for _, argument, _ in calls(words, ("matches",)):
            if argument.kind == "string":
                environment = self._conditions[scope]
                result = environment.compile(f"''.matches({argument.text})").eval(
                    environment.Activation({})
                )
                if result.type() == cel.Type.ERROR:
                    raise ExpressionError(
                        "matches() takes a regular expression of RE2",
                        line=argument.line,
                        column=argument.column,
                    )

    def _environment(
        self,
        scope: Scope,
        functions: Iterable[Function],
        implementations: Mapping[str, Callable[..., object]],
        messages: TurnMessages,
    ) -> Any:
        return cel.NewEnv(
            descriptor_pool=messages.pool,
            container=_PACKAGE,
            variables={name: _cel_type(kind) for name, kind in self._variables[scope].items()},
            functions=_declarations(functions, implementations),
        )


def _declarations(
    functions: Iterable[Function], implementations: Mapping[str, Callable[..., object]]
) -> list[Any]:
    overloads: dict[str, list[Any]] = {}
    for function in functions:
        receiver = (function.member_of,) if function.member_of else ()
        # When it evaluates, CEL tells messages of different types not apart: the implementation of
        # a member of one type serves the other, and must not be given again.
        is_given = function.member_of == "Turn"
        overload = cel.Overload(
            function.overload_id,
            return_type=_cel_type(function.result),
            parameters=[_cel_type(kind) for kind in (*receiver, *function.parameters)],
            is_member=bool(function.member_of),
            **({} if is_given else {"impl": implementations[function.overload_id]}),
        )
        overloads.setdefault(function.name, []).append(overload)
    return [cel.FunctionDecl(name, declared) for name, declared in overloads.items()]


def _cel_type(kind: str) -> Any:
    if kind.startswith("list("):
        return cel.Type.List(_cel_type(kind[5:-1]))
    if kind.startswith("map("):
        return cel.Type.Map(*map(_cel_type, kind[4:-1].split(",")))
    if kind in _MESSAGES:
        return cel.Type(f"{_PACKAGE}.{kind}")
    # To CEL an enum is a number; its names are constants.
    return getattr(cel.Type, "INT" if kind in ENUMS else kind.upper())


def _file_descriptor() -> FileDescriptorProto:
    file = FileDescriptorProto(name="moodline/rules.proto", package=_PACKAGE, syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, numbers in ENUMS.items():
        enum = file.enum_type.add(name=name)
        # The first value of an enum must be 0.
        for label, number in sorted(numbers.items(), key=lambda item: abs(item[1])):
            enum.value.add(name=f"{label}", number=number)
    for name, scope in _MESSAGES.items():
        root = file.message_type.add(name=name)
        for field in turn_fields(scope):
            *path, last = field.name.split(".")
            full_name, message = f".{_PACKAGE}.{name}", root
            for part in path:
                full_name, message = _nested(message, full_name, part)
            _add_field(message, field, last)
    return file


def _nested(message: DescriptorProto, full_name: str, part: str) -> tuple[str, DescriptorProto]:
    """Return the message of a group of fields, made when the first of them comes."""
    kind = f"{part.capitalize()}Group"
    full_name = f"{full_name}.{kind}"
    for known in message.nested_type:
        if known.name == kind:
            return full_name, known
    message.field.add(
        name=part,
        number=len(message.field) + 1,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=full_name,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    return full_name, message.nested_type.add(name=kind)


def _add_field(message: DescriptorProto, field: Field, name: str) -> None:
    added = message.field.add(
        name=name, number=len(message.field) + 1, label=FieldDescriptorProto.LABEL_OPTIONAL
    )
    if field.is_optional:
        # Reads as null where it is not set, which no comparison accepts.
        added.type = FieldDescriptorProto.TYPE_MESSAGE
        added.type_name = ".google.protobuf.DoubleValue"
    elif field.type in ENUMS:
        added.type = FieldDescriptorProto.TYPE_ENUM
        added.type_name = f".{_PACKAGE}.{field.type}"
    else:
        added.type = _SCALARS[field.type]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _streak(values: Sequence[bool]) -> int:
    count = 0
    for value in reversed(values):
        if not value:
            break
        count += 1
    return count


_STATELESS: Final[Mapping[str, Callable[..., object]]] = {
    "mean_list(double)": _mean,
    "lowest_list(double)": min,
    "highest_list(double)": max,
    "streak_list(bool)": _streak,
}


def _checked_words(text: str) -> tuple[Token, ...]:
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(
            f"has {len(text)} characters, more than {MAX_EXPRESSION_CHARS}; split the rule"
        )
    return tokens(text)


def _check_windows(words: tuple[Token, ...]) -> None:
    for function, argument, _ in calls(words, WINDOW_FUNCTIONS):
        is_count = argument.is_whole_number and 1 <= int(argument.text) <= MAX_WINDOW_TURNS
        if not is_count:
            raise ExpressionError(
                f"{function.text}() takes a number of turns from 1 to {MAX_WINDOW_TURNS}, "
                "written out",
                line=argument.line,
                column=argument.column,
            )


def _check_phrases(words: tuple[Token, ...], phrase_names: frozenset[str]) -> None:
    for function, argument, after in calls(words, PHRASE_FUNCTIONS):
        place = {"line": argument.line, "column": argument.column}
        is_list = argument.text.removeprefix("phrases.") in phrase_names
        phrase = argument.string
        if after.text != ")" or (phrase is None and not is_list):
            raise ExpressionError(
                f"{function.text}() takes one phrase, written out, or the name of a list that "
                "stands under phrases, e.g. phrases.cancel",
                **place,
            )
        if phrase is not None:
            try:
                check_phrase(phrase)
            except PhraseError as error:
                raise ExpressionError(f"the phrase {error}", **place) from None


def _expression_error(message: str) -> ExpressionError:
    match = _ERROR.search(message)
    if match is None:
        return ExpressionError(message.splitlines()[0])
    text = match[3].removesuffix(" (in container '')").removesuffix(f" (in container '{_PACKAGE}')")
    if "*error*" in text:
        text = "refers to a name that does not exist, e.g. a misspelt value of an enum"
    if _MIXED_NUMBERS.search(text):
        text += "; whole numbers and decimals do not mix: write 1.0 instead of 1"
    return ExpressionError(text, line=int(match[1]), column=int(match[2]))
