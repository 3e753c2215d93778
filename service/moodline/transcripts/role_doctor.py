"""Tells from what is said whether customer and agent are probably confused, and corrects it.

Speakers are swapped where a recorder names its channels the wrong way round; one speaker carries
both where a recording has a single channel, or the parting of speakers failed. Who speaks shows in
the words: an agent greets in the company's name, asks for identification, apologises and offers;
a customer tells of "my" order and asks "when". Every such cue has a weight, learnt from
conversations whose roles are known (`models/recipe/role_cues.py`). The arithmetic and what it was
measured to find stand in docs/formats.md, "Role doctor".
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib import resources
from itertools import pairwise
from typing import Final

import regex

from moodline.transcripts.transcript import (
    Participant,
    SpeakerRole,
    Transcript,
    TranscriptTurn,
    TranscriptWarning,
    TranscriptWarningCode,
)

CUES_FILE: Final = "role_cues.json"

# Source of the constants: docs/formats.md, "Role doctor".
MAX_TURN_SCORE: Final = 4.0
MIN_EVIDENCE: Final = 1.5
MAX_MIXED_EVIDENCE: Final = 3.0
CLEAR_SCORE: Final = 1.0
MIN_CONTRARY_TURNS: Final = 3
MIN_AGREEING_TURNS: Final = 2
MIN_CONTRARY_SHARE: Final = 0.34
SWITCH_PROBABILITY: Final = 0.8

# Spellings that vary from writer to writer: the seats of hamza, final ya and ta, the dotless i.
_SAME_LETTERS: Final = str.maketrans("أإآٱىةؤئı", "اااايهويi")
_TATWEEL: Final = "\N{ARABIC TATWEEL}"
_WORD: Final = regex.compile(r"[^\W\d_]+|\d+|[?؟]")
_COMPANY: Final = frozenset({SpeakerRole.AGENT, SpeakerRole.SUPERVISOR})


class RoleVerdict(StrEnum):
    """What the words say of the roles.

    `GUESSED`: some roles are unknown and follow from the words. `UNDECIDED`: there are too few
    cues, or only one side speaks.
    """

    PLAUSIBLE = "plausible"
    SWAPPED = "swapped"
    MIXED = "mixed"
    GUESSED = "guessed"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class RoleDiagnosis:
    """What the role doctor finds in one transcript.

    Attributes:
        verdict: The finding.
        confidence: Probability that `roles` are right rather than those given, in [0.5, 1];
            0.5 where nothing speaks for either.
        roles: Role of each turn as the words have it; as given unless the verdict is SWAPPED,
            MIXED or GUESSED.
    """

    verdict: RoleVerdict
    confidence: float
    roles: tuple[SpeakerRole, ...]

    @property
    def warning(self) -> TranscriptWarning | None:
        """What to tell the user of a transcript as it was given, if anything."""
        return self.warning_of(is_corrected=False)

    def warning_of(self, *, is_corrected: bool) -> TranscriptWarning | None:
        """Return what to tell the user of a transcript as it was given, or as it was corrected."""
        match self.verdict:
            case RoleVerdict.SWAPPED:
                code = TranscriptWarningCode.ROLES_SWAPPED
                finding = "Customer and agent are probably swapped"
            case RoleVerdict.MIXED:
                code = TranscriptWarningCode.ROLES_MIXED
                finding = "One speaker probably carries both customer and agent"
            case RoleVerdict.GUESSED:
                code = TranscriptWarningCode.ROLES_GUESSED
                finding = "The words of unknown speakers tell their roles"
            case _:
                return None
        end = "the roles were corrected" if is_corrected else "the roles are as given"
        return TranscriptWarning(code, f"{finding} (confidence {self.confidence:.0%}); {end}.")


@dataclass(frozen=True, slots=True)
class RoleCues:
    """The cues and their weights.

    Attributes:
        weights: Log-odds that an agent says it, by cue.
        intercept: Log-odds of a turn without cues.
        scale: What turns evidence into log-odds of being right.
    """

    weights: Mapping[str, float]
    intercept: float
    scale: float

    @classmethod
    def load(cls) -> RoleCues:
        """Read the cues that moodline brings."""
        text = resources.files(__package__).joinpath(CUES_FILE).read_text(encoding="utf-8")
        content = json.loads(text)
        return cls(content["weights"], content["intercept"], content["scale"])

    def score(self, text: str) -> float:
        """Return how much a turn sounds like an agent's (above 0) or a customer's (below 0).

        Returns:
            Log-odds, bounded to [-MAX_TURN_SCORE, MAX_TURN_SCORE] so that one turn decides nothing.
        """
        total = self.intercept + sum(self.weights.get(cue, 0.0) for cue in cues_of(text))
        return max(-MAX_TURN_SCORE, min(MAX_TURN_SCORE, total))


def cues_of(text: str) -> set[str]:
    """Return the words of a turn, its pairs of neighbouring words, and its first word as such.

    Letters are compared without case, marks and the spellings of Arabic that vary; a number
    stands as `#`.
    """
    plain = unicodedata.normalize("NFD", text.casefold().translate(_SAME_LETTERS))
    plain = "".join(char for char in plain if not unicodedata.combining(char))
    words = [
        "#" if word[0].isdigit() else "?" if word == "؟" else word
        for word in _WORD.findall(plain.replace(_TATWEEL, ""))
    ]
    pairs = {f"{one} {other}" for one, other in pairwise(words)}
    return {*words, *pairs, *(f"^ {word}" for word in words[:1])}


def role_evidence(scores: Sequence[float], sides: Sequence[SpeakerRole]) -> float | None:
    """Return how much speaks for the roles as given (above 0) or the other way round (below 0).

    How much more like an agent the agents sound than the customers, on average, times the square
    root of the number of turns of the side that says less: the mean of few turns tells little.

    Args:
        scores: Score of each turn.
        sides: Role of each turn, a supervisor counting as an agent.

    Returns:
        None if one side says nothing.
    """
    agent = [score for score, side in zip(scores, sides, strict=True) if side is SpeakerRole.AGENT]
    customer = [
        score for score, side in zip(scores, sides, strict=True) if side is SpeakerRole.CUSTOMER
    ]
    if not agent or not customer:
        return None
    margin = sum(agent) / len(agent) - sum(customer) / len(customer)
    return margin * math.sqrt(min(len(agent), len(customer)))


class RoleDoctor:
    """Examines transcripts; not changed by use, so that any number of threads may call it."""

    def __init__(self, cues: RoleCues | None = None) -> None:
        self._cues = cues or RoleCues.load()

    def diagnose(self, transcript: Transcript) -> RoleDiagnosis:
        """Return what the words of a transcript say of its roles; bots are left out."""
        given = tuple(turn.role for turn in transcript.turns)
        spoken = [i for i, role in enumerate(given) if role not in _NOT_EXAMINED]
        scores = [self._cues.score(transcript.turns[i].text) for i in spoken]
        sides = [_side(given[i]) for i in spoken]
        speakers = [transcript.turns[i].participant_id for i in spoken]
        evidence = role_evidence(scores, sides)
        if evidence is not None and evidence <= -MIN_EVIDENCE:
            swapped = tuple(_OPPOSITE.get(role, role) for role in given)
            return RoleDiagnosis(RoleVerdict.SWAPPED, self._confidence(-evidence), swapped)
        is_clear = evidence is not None and evidence >= MAX_MIXED_EVIDENCE
        if not is_clear and _carries_both(scores, sides, speakers):
            parted, gain = _parted(scores, sides)
            return RoleDiagnosis(RoleVerdict.MIXED, _sigmoid(gain), _with(given, spoken, parted))
        if SpeakerRole.UNKNOWN in sides:
            return self._guessed(given, spoken, scores, speakers)
        if evidence is None or evidence < MIN_EVIDENCE:
            return RoleDiagnosis(RoleVerdict.UNDECIDED, 0.5, given)
        return RoleDiagnosis(RoleVerdict.PLAUSIBLE, self._confidence(evidence), given)

    def _confidence(self, evidence: float) -> float:
        return _sigmoid(evidence * self._cues.scale)

    def _guessed(
        self,
        given: tuple[SpeakerRole, ...],
        spoken: Sequence[int],
        scores: Sequence[float],
        speakers: Sequence[str],
    ) -> RoleDiagnosis:
        """Give every unknown speaker the role that all of that speaker's words have."""
        by_speaker: dict[str, list[float]] = {}
        for i, score, speaker in zip(spoken, scores, speakers, strict=True):
            if given[i] is SpeakerRole.UNKNOWN:
                by_speaker.setdefault(speaker, []).append(score)
        evidence = {speaker: sum(own) / math.sqrt(len(own)) for speaker, own in by_speaker.items()}
        if len(evidence) == _PAIR and len(set(speakers)) == _PAIR:
            # Two speakers alone are one of each: what counts is how they differ.
            one, other = by_speaker
            sides = [SpeakerRole.AGENT if s == one else SpeakerRole.CUSTOMER for s in speakers]
            difference = role_evidence(scores, sides) or 0.0
            evidence = {one: difference, other: -difference}
        weakest = min(map(abs, evidence.values()))
        if weakest < MIN_EVIDENCE:
            return RoleDiagnosis(RoleVerdict.UNDECIDED, 0.5, given)
        guessed = [
            _side_of_score(evidence[speaker]) if given[i] is SpeakerRole.UNKNOWN else given[i]
            for i, speaker in zip(spoken, speakers, strict=True)
        ]
        roles = _with(given, spoken, guessed)
        return RoleDiagnosis(RoleVerdict.GUESSED, self._confidence(weakest), roles)


_PAIR: Final = 2
_STATES: Final = (SpeakerRole.CUSTOMER, SpeakerRole.AGENT)
_NOT_EXAMINED: Final = frozenset({SpeakerRole.BOT, SpeakerRole.SYSTEM})
_OPPOSITE: Final = {
    SpeakerRole.CUSTOMER: SpeakerRole.AGENT,
    SpeakerRole.AGENT: SpeakerRole.CUSTOMER,
    SpeakerRole.SUPERVISOR: SpeakerRole.CUSTOMER,
}


def corrected(transcript: Transcript, diagnosis: RoleDiagnosis) -> Transcript:
    """Return the transcript with the roles of a diagnosis and with its warning.

    A speaker who is now both stands without participant id, so that the two are not counted as
    one.
    """
    speaker_roles: dict[str, set[SpeakerRole]] = {}
    for turn, role in zip(transcript.turns, diagnosis.roles, strict=True):
        speaker_roles.setdefault(turn.participant_id, set()).add(role)
    turns = tuple(
        _with_role(turn, role, is_parted=len(speaker_roles[turn.participant_id]) > 1)
        for turn, role in zip(transcript.turns, diagnosis.roles, strict=True)
    )
    names = {one.participant_id: one.name for one in transcript.participants}
    participants = dict.fromkeys((turn.participant_id, turn.role) for turn in turns)
    warning = diagnosis.warning_of(is_corrected=True)
    is_known = SpeakerRole.UNKNOWN not in diagnosis.roles
    kept = (
        one
        for one in transcript.warnings
        if not (is_known and one.code is TranscriptWarningCode.ROLE_UNKNOWN)
    )
    return replace(
        transcript,
        turns=turns,
        participants=tuple(Participant(i, role, names.get(i, "")) for i, role in participants),
        warnings=(*kept, *([warning] if warning else [])),
    )


def _with_role(turn: TranscriptTurn, role: SpeakerRole, *, is_parted: bool) -> TranscriptTurn:
    return replace(turn, role=role, participant_id="" if is_parted else turn.participant_id)


def _with(
    given: Sequence[SpeakerRole], indexes: Sequence[int], roles: Sequence[SpeakerRole]
) -> tuple[SpeakerRole, ...]:
    """Return roles with those at some indexes replaced, a supervisor staying one of the company."""
    result = list(given)
    for i, role in zip(indexes, roles, strict=True):
        if _side(given[i]) is not role:
            result[i] = role
    return tuple(result)


def _side(role: SpeakerRole) -> SpeakerRole:
    return SpeakerRole.AGENT if role in _COMPANY else role


def _side_of_score(score: float) -> SpeakerRole:
    return SpeakerRole.AGENT if score > 0 else SpeakerRole.CUSTOMER


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))


def _carries_both(
    scores: Sequence[float], sides: Sequence[SpeakerRole], speakers: Sequence[str]
) -> bool:
    """Tell whether one side, or one unknown speaker, clearly sounds like both."""
    groups: dict[tuple[SpeakerRole, str], list[float]] = {}
    for score, side, speaker in zip(scores, sides, speakers, strict=True):
        key = (side, speaker if side is SpeakerRole.UNKNOWN else "")
        groups.setdefault(key, []).append(score)
    return any(_is_both(side, own) for (side, _), own in groups.items())


def _is_both(side: SpeakerRole, scores: Sequence[float]) -> bool:
    agent_count = sum(score >= CLEAR_SCORE for score in scores)
    customer_count = sum(score <= -CLEAR_SCORE for score in scores)
    match side:
        case SpeakerRole.AGENT:
            agreeing, contrary = agent_count, customer_count
        case SpeakerRole.CUSTOMER:
            agreeing, contrary = customer_count, agent_count
        case _:
            contrary, agreeing = sorted((agent_count, customer_count))
    return (
        contrary >= MIN_CONTRARY_TURNS
        and agreeing >= MIN_AGREEING_TURNS
        and contrary >= MIN_CONTRARY_SHARE * (contrary + agreeing)
    )


def _parted(
    scores: Sequence[float], sides: Sequence[SpeakerRole]
) -> tuple[list[SpeakerRole], float]:
    """Part turns between two speakers who mostly take turns.

    Returns:
        The most probable roles, and by how much (in log-odds, 0 or more) they are more probable
        than those given, both under the same assumption on how often the speaker changes.

    Source: Viterbi, "Error bounds for convolutional codes", 1967.
    """
    best = [_log_probability(scores[0], state) for state in _STATES]
    origins: list[tuple[int, ...]] = []
    for score in scores[1:]:
        arrivals = [
            [best[i] + _log_change(before, state) for i, before in enumerate(_STATES)]
            for state in _STATES
        ]
        origins.append(tuple(from_.index(max(from_)) for from_ in arrivals))
        best = [
            max(from_) + _log_probability(score, state)
            for from_, state in zip(arrivals, _STATES, strict=True)
        ]
    index = best.index(max(best))
    path = [index]
    for origin in reversed(origins):
        path.append(origin[path[-1]])
    # Unknown roles count as the one that all their words together have.
    unknown = _side_of_score(
        sum(s for s, side in zip(scores, sides, strict=True) if side is SpeakerRole.UNKNOWN)
    )
    given = [unknown if side is SpeakerRole.UNKNOWN else side for side in sides]
    return [_STATES[i] for i in reversed(path)], max(best) - _log_probability_of(scores, given)


def _log_probability_of(scores: Sequence[float], sides: Sequence[SpeakerRole]) -> float:
    words = sum(map(_log_probability, scores, sides))
    return words + sum(map(_log_change, sides, sides[1:]))


def _log_probability(score: float, role: SpeakerRole) -> float:
    log_odds = score if role is SpeakerRole.AGENT else -score
    return -math.log1p(math.exp(-log_odds))


def _log_change(before: SpeakerRole, after: SpeakerRole) -> float:
    return math.log(SWITCH_PROBABILITY if before is not after else 1.0 - SWITCH_PROBABILITY)
