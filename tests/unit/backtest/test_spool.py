"""Scores come back from the disk as they went there."""

from __future__ import annotations

from pathlib import Path

import pytest

from moodline.backtest.contacts import Contact
from moodline.backtest.errors import BacktestError
from moodline.backtest.spool import Spool, SpoolHeader, SpoolWriter
from moodline.domain import Evidence
from tests.unit.backtest.contacts import ESCALATE, facts, labels
from tests.unit.rules.results import agent, customer, scores

HEADER = SpoolHeader("moodline-base 1", "d1")
CONTACT = Contact(
    facts("ş 💳", labels(ESCALATE, 0, "fraud"), duration_s=0.1 + 0.2),
    (
        customer(
            0,
            scores(
                sentiment=-1 / 3,
                tags={"fraud": 0.1 + 0.2, "billing": 1e-12},
                evidence=[Evidence(0, 2, "لا", "urgency", 2 / 3)],
            ),
            start_s=1,
        ),
        agent(1, text="a\nb"),
        customer(2, is_scored=False),
    ),
    {"plan": "gold"},
)


def write(path: Path, *contacts: Contact) -> Spool:
    with SpoolWriter(path, HEADER) as writer:
        for contact in contacts:
            writer.add(contact)
    return Spool(path)


def test_contacts_come_back_to_the_last_bit_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    spool = write(tmp_path / "s", CONTACT, CONTACT)
    assert spool.header == HEADER
    assert list(spool) == list(spool) == [CONTACT, CONTACT]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    write(tmp_path / "s", CONTACT)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600


def test_nothing_stands_there_if_scoring_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with SpoolWriter(tmp_path / "s", HEADER) as writer:
            writer.add(CONTACT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}\n", '{"conversation_id": "c"}\n', "\xff"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(BacktestError, match=r"other\.jsonl: holds no scores"):
        Spool(path)


def test_a_file_that_was_changed_is_refused_where_it_was(tmp_path: Path) -> None:
    spool = write(tmp_path / "s", CONTACT)
    with (tmp_path / "s").open("a") as file:
        file.write('{"facts": {}}\n')
    with pytest.raises(BacktestError, match="holds no scores"):
        list(spool)
