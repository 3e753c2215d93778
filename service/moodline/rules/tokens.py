"""What an expression refers to, as far as its words tell: names read, arguments written out.

The type checker of CEL sees the types of arguments, not their values. A window of 0 turns or a
phrase without a word would be found when a conversation reaches it; reading the words of the
expression finds it when the rules are loaded.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import regex

_TOKEN: Final = regex.compile(
    r"""(?P<comment>//[^\n]*)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?u?)
    |(?P<name>[A-Za-z_]\w*(?:\s*\.\s*[A-Za-z_]\w*)*)
    |(?P<space>\s+)
    |(?P<sign>.)""",
    regex.VERBOSE | regex.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression.

    Attributes:
        kind: `string`, `number`, `name` (dotted, spaces left out) or `sign`.
        line: From 1.
        column: From 1.
    """

    kind: str
    text: str
    line: int
    column: int

    @property
    def string(self) -> str | None:
        """The value of a string; None for anything else."""
        # A string of CEL without prefix and without a line break reads the same in Python.
        return str(ast.literal_eval(self.text)) if self.kind == "string" else None

    @property
    def is_whole_number(self) -> bool:
        """Whether it is a number without point and exponent."""
        return self.kind == "number" and self.text.isdecimal()


def tokens(expression: str) -> tuple[Token, ...]:
    """Return the words of an expression, without spaces and comments."""
    return tuple(_tokens(expression))


def _tokens(expression: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(expression):
        kind = match.lastgroup or "sign"
        if kind in ("comment", "space"):
            continue
        before = expression[: match.start()]
        line = before.count("\n") + 1
        column = match.start() - (before.rfind("\n") + 1) + 1
        text = "".join(match.group().split()) if kind == "name" else match.group()
        yield Token(kind, text, line, column)


def names_read(words: tuple[Token, ...], names: frozenset[str]) -> frozenset[str]:
    """Return those of the dotted `names` that some word is, or begins with."""
    found: set[str] = set()
    for word in words:
        if word.kind == "name":
            parts = word.text.split(".")
            found |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)} & names
    return frozenset(found)


def calls(words: tuple[Token, ...], functions: tuple[str, ...]) -> Iterator[tuple[Token, ...]]:
    """Yield each call of a function: its name and the two words after the opening bracket.

    A member's name ends with the function's: `t.says`, or `says` after a bracket and a point.
    """
    for index, word in enumerate(words):
        if word.kind != "name" or word.text.split(".")[-1] not in functions:
            continue
        if index + 3 < len(words) and words[index + 1].text == "(":
            yield word, words[index + 2], words[index + 3]
