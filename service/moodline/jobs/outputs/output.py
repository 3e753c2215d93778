"""What a job asks of an output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from moodline.jobs.outcomes import Outcome

ERRORS_FILE: Final = "errors.jsonl"


class Output(Protocol):
    """A form of results. Nothing is kept in memory from part to part."""

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes.

        Args:
            outcomes: In the order of the inputs; may be none.
            folder: An empty folder for the files of the part.
            first_number: Which outcome of the whole job the first one is, from 1.
        """

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Make one output of all parts.

        Args:
            parts: The folders of the parts, in order.
            out: What to make, a file or a folder; after a kill it may be there in part.
        """


def json_line(record: dict[str, Any]) -> bytes:
    """Return a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def error_lines(outcomes: Sequence[Outcome]) -> bytes:
    """Return what is wrong with the refused ones, one line each."""
    return b"".join(json_line(one.failure()) for one in outcomes if not one.is_scored)
