"""Scored contacts on disk: scored once, read as often as rules are tried.

A file of JSON lines; the first says which model gave the scores. Numbers come back as they were, to
the last bit. The file holds customer text and is readable by its owner alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from pydantic import TypeAdapter, ValidationError

from moodline.backtest.contacts import Contact
from moodline.backtest.errors import BacktestError

_FILE_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class SpoolHeader:
    """What all contacts of a spool have in common.

    Attributes:
        model_version: As `ConversationAnalysis.model_version`.
        configuration_digest: As `ConversationAnalysis.configuration_digest`.
        version: Of the layout.
    """

    model_version: str
    configuration_digest: str
    version: Literal[1] = 1


_HEADER: Final = TypeAdapter(SpoolHeader)
_CONTACT: Final = TypeAdapter(Contact)


class SpoolWriter:
    """Writes a spool; it stands at its path once the `with` block ends well, not before."""

    def __init__(self, path: Path, header: SpoolHeader) -> None:
        """Take where it shall be; nothing is written here."""
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._header = header

    def __enter__(self) -> Self:
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
        self._file = os.fdopen(descriptor, "wb")
        self._file.write(_HEADER.dump_json(self._header) + b"\n")
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        self._file.close()
        if error is None:
            self._part.replace(self._path)
        else:
            self._part.unlink()

    def add(self, contact: Contact) -> None:
        """Add a contact behind the others."""
        self._file.write(_CONTACT.dump_json(contact) + b"\n")


class Spool:
    """A finished file of scored contacts.

    Attributes:
        header: What stands in front of them.
    """

    def __init__(self, path: Path) -> None:
        """Open a file that a `SpoolWriter` has finished.

        Raises:
            OSError: If it cannot be read.
            BacktestError: If it is none.
        """
        self._path = path
        with path.open("rb") as file:
            first = file.readline()
        try:
            self.header = _HEADER.validate_json(first)
        except ValidationError:
            raise self._unreadable() from None

    def __iter__(self) -> Iterator[Contact]:
        """Yield the contacts in their order, one in memory at a time, each time anew.

        Raises:
            BacktestError: If the file has been changed.
        """
        with self._path.open("rb") as file:
            file.readline()
            for line in file:
                try:
                    contact = _CONTACT.validate_json(line)
                except ValidationError:
                    raise self._unreadable() from None
                yield contact

    def _unreadable(self) -> BacktestError:
        return BacktestError(
            f"{self._path}: holds no scores of contacts as this version of moodline writes them; "
            "remove it or name another file."
        )
