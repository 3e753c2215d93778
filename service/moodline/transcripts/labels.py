"""Speaker labels at the beginning of lines: `Agent: ...`, `**Customer:** ...`, `[00:12] Dana: ...`.

A colon alone makes no label: words such as `Address: 12 High Street` stay in the turn they are in.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import regex

from moodline.transcripts.reading import ReadOptions
from moodline.transcripts.transcript import SpeakerRole
from moodline.transcripts.vocabulary import role_of

_MAX_LABEL_WORDS: Final = 3
_MIN_REPEATS: Final = 2

_TIME: Final = r"(?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_LINE: Final = regex.compile(
    rf"\s*(?:[-•>]\s+)?(?:[\[(]?(?P<before>{_TIME})[\])]?\s*(?:[-–|]\s*)?)?"
    r"(?P<bold>\*\*|__)?\s*(?P<label>\p{L}[^:：*<>\n]{0,49}?)\s*"
    rf"(?:[\[(](?P<after>{_TIME})[\])]\s*)?(?:\*\*|__)?\s*[:：](?!//)(?:\*\*|__)?\s*(?P<rest>.*)",
    regex.S,
)
_NUMBERED: Final = regex.compile(r"(?:\p{L}+[ _\-]?){1,2}\d{1,2}")


@dataclass(frozen=True, slots=True)
class LabelledLine:
    """A line that begins with a label.

    Attributes:
        start_ms: Of the time beside the label, if there is one.
    """

    label: str
    text: str
    start_ms: int | None


@dataclass(frozen=True, slots=True)
class LabelRule:
    """Which labels count in one text.

    Those that are bold, name a role, are numbered (`Speaker 1`), that the user gives a role, or
    that begin two lines or more and have at most three words, the first with a capital if its
    script has any.
    """

    labels: frozenset[str]

    @classmethod
    def of(cls, text: str, options: ReadOptions) -> LabelRule:
        """Return the rule for a text, from all of its lines."""
        counts: Counter[str] = Counter()
        certain: set[str] = set()
        for line in text.splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                continue
            label = match["label"].strip()
            counts[label] += 1
            if (
                match["bold"]
                or options.role_of(label) is not None
                or role_of(label) is not SpeakerRole.UNKNOWN
                or _NUMBERED.fullmatch(label)
            ):
                certain.add(label)
        repeated = {
            label
            for label, count in counts.items()
            if count >= _MIN_REPEATS
            and len(label.split()) <= _MAX_LABEL_WORDS
            and not label[0].islower()
        }
        return cls(frozenset(certain | repeated))

    def split(self, line: str) -> LabelledLine | None:
        """Return label and rest of a line, or None if it begins with no label that counts."""
        match = _LINE.fullmatch(line)
        if match is None or (label := match["label"].strip()) not in self.labels:
            return None
        time = match["before"] or match["after"]
        return LabelledLine(label, match["rest"].strip(), milliseconds_of(time) if time else None)


def milliseconds_of(time: str) -> int:
    """Return milliseconds of a time such as `01:02`, `1:01:02` or `00:01:02.500`."""
    seconds = 0.0
    for part in time.replace(",", ".").split(":"):
        seconds = seconds * 60 + float(part)
    return round(seconds * 1000)
