"""Reads YAML and remembers the line of everything in it.

A subset that holds no surprises: plain values as YAML 1.2 has them (`on` and `no` are words, not
booleans), no tags, no anchors, no key twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import regex
import yaml

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the root."""

MAX_DEPTH: Final = 12
_PLAIN_VALUES: Final = (
    ("tag:yaml.org,2002:bool", r"^(?:true|false)$", "tf"),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("tag:yaml.org,2002:float", r"^[-+]?[0-9]*\.[0-9]+(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("tag:yaml.org,2002:null", r"^(?:null|~|)$", ["n", "~", ""]),
)


class DocumentError(ValueError):
    """Text that cannot be read.

    Attributes:
        line: From 1.
    """

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A read text.

    Attributes:
        data: Dictionaries, lists and plain values.
        lines: Of every value and, for the entries of a dictionary, of its key, from 1.
        blocks: Paths of the texts that keep their lines (`|`); they begin on the next line.
    """

    data: Any
    lines: Mapping[Path, int]
    blocks: frozenset[Path]

    def line_of(self, path: Path) -> int:
        """Return the line of a value, or of the nearest that holds it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class _Loader(yaml.SafeLoader):
    """Knows the plain values above and no others."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the base class has it


for _tag, _pattern, _first_chars in _PLAIN_VALUES:
    _Loader.add_implicit_resolver(_tag, regex.compile(_pattern), list(_first_chars))


def read_document(text: str) -> Document:
    """Read YAML.

    Raises:
        DocumentError: If it is not what is described above.
    """
    loader = _Loader(text)
    reader = _Reader(loader)
    try:
        node = loader.get_single_node()
        if node is None:
            raise DocumentError("is empty; name at least version, name and rules", line=1)
        data = reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(
            f"is no YAML: {error.problem or error.context}", line=mark.line + 1 if mark else 1
        ) from None
    except yaml.YAMLError:
        raise DocumentError("is no YAML: holds a character that YAML forbids", line=1) from None
    except RecursionError:
        raise DocumentError(f"is nested deeper than {MAX_DEPTH} levels", line=1) from None
    finally:
        loader.dispose()
    return Document(data, reader.lines, frozenset(reader.blocks))


class _Reader:
    def __init__(self, loader: _Loader) -> None:
        self.lines: dict[Path, int] = {}
        self.blocks: set[Path] = set()
        self._loader = loader
        self._seen: set[int] = set()

    def read(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if id(node) in self._seen:
            raise DocumentError("holds an anchor that is used again; write it out", line=line)
        self._seen.add(id(node))
        if len(path) > MAX_DEPTH:
            raise DocumentError(f"is nested deeper than {MAX_DEPTH} levels", line=line)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.style == "|":
            self.blocks.add(path)
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value
            if not isinstance(key, str):
                raise DocumentError("has a key that is no word", line=line)
            if key in data:
                raise DocumentError(f"has the key {key} twice", line=line)
            self.lines[*path, key] = line
            data[key] = self.read(value_node, (*path, key))
        return data
