"""JSON lines: one conversation each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from moodline.jobs.answers import Scored
from moodline.jobs.folder import join_files
from moodline.jobs.outcomes import Outcome, origin
from moodline.jobs.outputs.output import json_line

RESULTS_FILE: Final = "results.jsonl"


class JsonlOutput:
    """Writes what `moodline analyze --format json` prints, with the origin in front."""

    def write_part(self, outcomes: Sequence[Outcome], folder: Path, *, first_number: int) -> None:
        """Write some outcomes; see `Output`."""
        with (folder / RESULTS_FILE).open("wb") as file:
            for outcome in outcomes:
                file.write(result_line(outcome))

    def assemble(self, parts: Sequence[Path], out: Path) -> None:
        """Make one file of all parts; see `Output`."""
        join_files([part / RESULTS_FILE for part in parts], out)


def result_line(outcome: Outcome) -> bytes:
    """Return an outcome as a line; a refused one says what is wrong with it."""
    item, answer = outcome.item, outcome.answer
    if not isinstance(answer, Scored):
        return json_line(outcome.failure())
    transcript = item.transcript
    head = json_line(
        {
            **origin(item, "scored"),
            "transcript_warnings": [asdict(one) for one in transcript.warnings]
            if transcript
            else [],
            "channel": transcript.channel if transcript else "",
        }
    )
    # The analysis is an object already; to parse it only to write it again would cost most here.
    return head.removesuffix(b"}\n") + b", " + answer.analysis.removeprefix(b"{") + b"\n"
