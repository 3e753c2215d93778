"""The data card counts what is there."""

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="the recipe needs the train extra")

from models.recipe.data_card import data_card, write_data_card
from models.recipe.duplicates import Removal
from models.recipe.examples import Example, ExampleTurn, TurnLabels
from models.recipe.rows import tag_labels

SENTIMENT = TurnLabels(coarse_sentiment=2)
PARTIAL = TurnLabels(urgency=1, tags=tag_labels(["billing"], ["fraud"]))


def example(source: str, language: str, split: str, *labels: TurnLabels | None) -> Example:
    turns = tuple(ExampleTurn(True, "text", label) for label in labels)
    return Example("id", source, language, split, turns)


def rows_of(card: str, section: str) -> list[list[str]]:
    """Cells of the first table of a section, without its header."""
    lines = card.split(f"## {section}\n")[1].split("\n## ")[0].splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_the_card_counts_conversations_labels_tags_and_duplicates() -> None:
    examples = [
        example("umsab", "de", "train", SENTIMENT),
        example("umsab", "ar", "report", SENTIMENT),
        example("banking77", "en", "train", PARTIAL, PARTIAL, None),
    ]
    card = data_card(examples, [Removal("x", "umsab", "near_copy", "sst5")])
    assert rows_of(card, "Conversations") == [
        ["`umsab`", "ar de", "1", "", "", "1", "", "1"],
        ["`banking77`", "en", "1", "", "", "", "", ""],
        ["all", "", "2", "", "", "1", "", "1"],
    ]
    assert rows_of(card, "Labelled turns for training, by head") == [
        ["`umsab`", "", "1", "", "", "", "", "", ""],
        ["`banking77`", "", "", "2", "", "2", "", "", ""],
        ["all", "", "1", "2", "", "2", "", "", ""],
    ]
    assert rows_of(card, "Labelled turns by language") == [
        ["ar", "report", "", "1", "", "", "", "", "", ""],
        ["de", "train", "", "1", "", "", "", "", "", ""],
        ["en", "train", "", "", "2", "", "2", "", "", ""],
    ]
    tags = {row[0]: row[1:] for row in rows_of(card, "Tags in training")}
    assert (tags["`billing`"], tags["`fraud`"], tags["`abuse`"]) == (["2", ""], ["", "2"], ["", ""])
    assert rows_of(card, "Duplicates") == [["`umsab`", "near-copy", "`sst5`", "1"]]
    assert [row[3] for row in rows_of(card, "Sources")] == ["Apache-2.0", "CC BY 4.0"]


def test_no_card_is_written_of_a_part_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_data_card(tmp_path / "card.md", tmp_path, tmp_path)
    assert not (tmp_path / "card.md").exists()
