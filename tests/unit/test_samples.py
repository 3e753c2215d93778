"""The sample conversations ship with the package and can be shown as they are."""

from itertools import pairwise

import pytest

from moodline.domain import Conversation, Role
from moodline.samples import load_samples

SAMPLES = load_samples()


def test_there_are_two_in_each_first_class_language() -> None:
    assert sorted(sample.language for sample in SAMPLES) == ["ar", "ar", "en", "en", "tr", "tr"]


def test_ids_are_unique() -> None:
    assert len({sample.conversation_id for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.conversation_id)
def test_sample_is_a_conversation_of_both_sides_in_time_order(sample: Conversation) -> None:
    assert 6 <= len(sample.turns) <= 10
    assert {turn.role for turn in sample.turns} == {Role.CUSTOMER, Role.AGENT}
    assert all(turn.text.strip() for turn in sample.turns)
    starts_ms = [turn.start_ms for turn in sample.turns if turn.start_ms is not None]
    assert len(starts_ms) == len(sample.turns)
    assert all(earlier < later for earlier, later in pairwise(starts_ms))
