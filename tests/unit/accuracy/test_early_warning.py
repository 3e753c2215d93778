"""How far ahead early warnings see, on conversations whose course is known."""

import numpy as np
import pytest

from benchmarks.accuracy.early_warning import Course, lead

QUIET = [Course(np.array([0.1 * i, 0.05]), escalates=False) for i in range(11)]


def test_the_threshold_warns_of_the_given_share_of_quiet_conversations() -> None:
    found = lead(QUIET, 0.2)
    warned = [c for c in QUIET if (c.scores > found["threshold"]).any()]
    assert len(warned) / len(QUIET) <= 0.2
    assert found["quiet_conversations"] == 11


def test_the_lead_counts_customer_turns_from_the_first_warning_to_the_escalation() -> None:
    late = Course(np.array([0.1, 0.1, 0.99]), escalates=True)
    early = Course(np.array([0.99, 0.1, 0.1, 0.1, 0.1]), escalates=True)
    found = lead([*QUIET, late, early], 0.1)
    assert found["warned"] == 2
    assert found["median_lead_turns"] == pytest.approx((1 + 5) / 2)


def test_an_escalation_at_once_cannot_be_warned_of() -> None:
    found = lead([*QUIET, Course(np.array([]), escalates=True)], 0.1)
    assert (found["escalating_at_once"], found["warned"]) == (1, 0)
    assert found["median_lead_turns"] is None
