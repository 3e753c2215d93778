"""Learns the cues of the role doctor from our own conversations and measures what it finds.

    python -m models.recipe.role_cues              # five folds, then the table from everything
    python -m models.recipe.role_cues --on FILES   # measures the table that is there

A logistic regression tells agents' turns from customers' by words and pairs of words; the
heaviest and most frequent ones stay. All languages share one table: their words differ anyway.
Every conversation is measured by a table that was not learnt from it: as it is, with its roles
swapped, and with all of it in one speaker's mouth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from moodline.transcripts import SpeakerRole, Transcript, open_source, read_transcripts
from moodline.transcripts.role_doctor import (
    CUES_FILE,
    RoleCues,
    RoleDoctor,
    RoleVerdict,
    cues_of,
    role_evidence,
)
from moodline.transcripts.transcript import TranscriptTurn

DATA_DIR = Path("models/data")
TABLE = Path("service/moodline/transcripts") / CUES_FILE
FOLDS = 5
MIN_TURNS_WITH_CUE = 3
MAX_CUES = 1_000
SIDES = {SpeakerRole.CUSTOMER, SpeakerRole.AGENT}


def two_sided(paths: Sequence[Path]) -> list[Transcript]:
    """Read the conversations in which both a customer and an agent speak, and nobody else."""
    return [
        item
        for path in paths
        for item in _items(path)
        if isinstance(item, Transcript) and {turn.role for turn in item.turns} == SIDES
    ]


def _items(path: Path) -> Iterator[object]:
    with open_source(path) as source:
        yield from read_transcripts(source)


def learn(conversations: Sequence[Transcript], *, scale: float) -> RoleCues:
    """Learn the table; `scale` is measured on other conversations."""
    turns = [turn for one in conversations for turn in one.turns]
    is_agent = np.array([turn.role is SpeakerRole.AGENT for turn in turns])
    counter = CountVectorizer(
        analyzer=lambda text: sorted(cues_of(text)), min_df=MIN_TURNS_WITH_CUE, binary=True
    )
    counts = counter.fit_transform([turn.text for turn in turns])
    first = _regression().fit(counts, is_agent)
    frequency = np.sqrt(np.asarray(counts.sum(axis=0))[0])
    kept = np.sort(np.argsort(-np.abs(first.coef_[0]) * frequency, kind="stable")[:MAX_CUES])
    last = _regression().fit(counts[:, kept], is_agent)
    names = counter.get_feature_names_out()[kept]
    weights = {str(n): round(float(w), 3) for n, w in zip(names, last.coef_[0], strict=True)}
    return RoleCues(weights, round(float(last.intercept_[0]), 3), scale)


def _regression() -> LogisticRegression:
    return LogisticRegression(max_iter=500, class_weight="balanced")


def evidence(cues: RoleCues, conversation: Transcript) -> float:
    """Return how much speaks for the roles of a two-sided conversation."""
    scores = [cues.score(turn.text) for turn in conversation.turns]
    found = role_evidence(scores, [turn.role for turn in conversation.turns])
    assert found is not None
    return found


def calibrated_scale(found: Sequence[float]) -> float:
    """Return the factor that makes evidence the log-odds of being right, by likelihood."""
    values = np.array(found)
    best = minimize_scalar(
        lambda scale: np.logaddexp(0.0, -scale * values).mean(),
        bounds=(0.1, 10.0),
        method="bounded",
    )
    return round(float(best.x), 2)


@dataclass
class Tally:
    """How often each finding was made for conversations that are right, swapped, or in one mouth.

    Attributes:
        turn_count: Turns of conversations in one mouth that were found to be so.
        right_turn_count: Those of them that then have the right role.
    """

    count: int = 0
    false_swapped: int = 0
    true_swapped: int = 0
    long_count: int = 0
    false_mixed: int = 0
    true_mixed: int = 0
    turn_count: int = 0
    right_turn_count: int = 0

    def add(self, doctor: RoleDoctor, conversation: Transcript) -> None:
        """Examine a conversation in its three shapes."""
        verdict = doctor.diagnose(conversation).verdict
        opposite = {
            SpeakerRole.AGENT: SpeakerRole.CUSTOMER,
            SpeakerRole.CUSTOMER: SpeakerRole.AGENT,
        }
        swapped = with_roles(conversation, lambda turn: opposite[turn.role])
        self.count += 1
        self.false_swapped += verdict is RoleVerdict.SWAPPED
        self.false_mixed += verdict is RoleVerdict.MIXED
        self.true_swapped += doctor.diagnose(swapped).verdict is RoleVerdict.SWAPPED
        if len(conversation.turns) < 2 * FOLDS:
            return
        self.long_count += 1
        one = doctor.diagnose(with_roles(conversation, lambda _: SpeakerRole.AGENT))
        if one.verdict is RoleVerdict.MIXED:
            self.true_mixed += 1
            self.turn_count += len(conversation.turns)
            self.right_turn_count += sum(
                role is turn.role for role, turn in zip(one.roles, conversation.turns, strict=True)
            )

    def row(self, name: str) -> str:
        """Return a row of the table in docs/formats.md."""
        precision = self.true_swapped / max(1, self.true_swapped + self.false_swapped)
        return (
            f"| {name} | {self.count} | {precision:.3f} | {self.true_swapped / self.count:.3f} | "
            f"{self.false_swapped / self.count:.3f} | {self.false_mixed / self.count:.3f} | "
            f"{self.long_count} | "
            f"{self.true_mixed / max(1, self.long_count):.3f} | "
            f"{self.right_turn_count / max(1, self.turn_count):.3f} |"
        )


def with_roles(
    conversation: Transcript, role_of: Callable[[TranscriptTurn], SpeakerRole]
) -> Transcript:
    """Return a conversation with other roles on its turns."""
    turns = tuple(replace(turn, role=role_of(turn)) for turn in conversation.turns)
    return replace(conversation, turns=turns)


def report(tallies: dict[str, Tally]) -> None:
    """Print the table."""
    print(
        "| language | conversations | swapped: precision | recall | false alarms "
        "| mixed: false alarms | long ones | found | turns right |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, tally in sorted(tallies.items()):
        print(tally.row(name))


def measure_on(paths: Sequence[Path]) -> None:
    """Measure the table that is there on files of our own JSON."""
    doctor = RoleDoctor()
    tallies: dict[str, Tally] = {}
    for conversation in two_sided(paths):
        tallies.setdefault(conversation.language or "?", Tally()).add(doctor, conversation)
    report(tallies)


def main() -> None:
    """Measure by folds, learn from everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--on", nargs="+", type=Path, help="Measure on these files only.")
    arguments = parser.parse_args()
    if arguments.on:
        measure_on(arguments.on)
        return
    conversations = two_sided(sorted(DATA_DIR.glob("conversations_*.jsonl")))
    tallies: dict[str, Tally] = {}
    found: list[float] = []
    for fold in range(FOLDS):
        cues = learn([c for i, c in enumerate(conversations) if i % FOLDS != fold], scale=1.0)
        doctor = RoleDoctor(cues)
        for conversation in conversations[fold::FOLDS]:
            found.append(evidence(cues, conversation))
            tallies.setdefault(conversation.language, Tally()).add(doctor, conversation)
    report(tallies)
    table = learn(conversations, scale=calibrated_scale(found))
    content = {"intercept": table.intercept, "scale": table.scale, "weights": table.weights}
    TABLE.write_text(json.dumps(content, ensure_ascii=False, indent=0, sort_keys=True) + "\n")
    print(f"{len(table.weights)} cues from {len(conversations)} conversations in {TABLE}")


if __name__ == "__main__":
    main()
