"""The accuracy benchmark on a tiny data set of our own, with the bundled model.

Needs the `evaluate` group: matplotlib and the lexicons are no part of the product.
"""

import json
from pathlib import Path
from typing import Any

import pytest

for library in ("matplotlib", "textblob", "vaderSentiment"):
    pytest.importorskip(library, reason="the benchmark needs the evaluate group")

from benchmarks.accuracy.bench import main  # noqa: E402
from models.recipe.datasets import OWN_DATA_DIR  # noqa: E402
from models.recipe.rows import read_rows  # noqa: E402
from moodline.artifact import bundled_model_dir  # noqa: E402

TEXTS = {
    "negative": "I waited {} hours and nobody came, this is awful",
    "neutral": "My order has {} items, where do I find the invoice?",
    "positive": "Thank you, {} times over, everything works and I love it",
}
WRONG = {"text": "The worst company that I have ever had to deal with"}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    own = [
        row
        for language in ("en", "tr")
        for row in list(read_rows(OWN_DATA_DIR, f"conversations_{language}*.jsonl"))[:12]
    ]
    write_rows(root / "annotated" / "dev.jsonl", own)
    write_rows(
        root / "amazonhelp_sentiment" / "amazonhelp_sentiment.jsonl",
        [
            {"id": f"{label}-{i}", "lang": "en", "split": "test", "label": label}
            | {"text": text.format(i + 2)}
            for i in range(9)
            for label, text in TEXTS.items()
        ]
        + [{"id": "mislabelled", "lang": "en", "split": "test", "label": "positive"} | WRONG],
    )
    return root


@pytest.fixture(scope="module")
def output(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accuracy")
    model = str(bundled_model_dir())
    main(["--data-root", str(data_root), "--output", str(folder), "--float-dir", model])
    return folder


@pytest.fixture(scope="module")
def results(output: Path) -> Any:
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def test_every_set_that_is_there_is_evaluated_and_the_others_are_named(results: Any) -> None:
    assert set(results["sets"]) == {"annotated_dev", "amazonhelp_sentiment"}
    assert results["sets"]["amazonhelp_sentiment"] == {
        "evaluated": 28,
        "available": 28,
        "turns": 28,
    }
    assert "umsab" in results["absent_sets"]


def test_plain_feelings_are_read_right(results: Any) -> None:
    found = results["figures"]["amazonhelp_sentiment"]["all"]["sentiment3_macro_f1"]
    assert found["n"] == 28
    assert found["low"] <= found["value"] <= found["high"]
    assert found["value"] > 0.8


def test_lexicons_are_run_on_the_same_english_rows(results: Any) -> None:
    found = results["lexicons"]["amazonhelp_sentiment"]
    assert set(found) == {"moodline", "VADER", "TextBlob"}
    assert 0.3 < found["VADER"]["sentiment3_macro_f1"]["value"] <= 1.0


def test_a_model_compared_with_itself_loses_nothing(results: Any) -> None:
    for figures in results["float"]["differences"].values():
        assert {each["difference"] for each in figures.values()} == {0.0}


def test_quotes_are_taken_out_and_the_scores_move(results: Any) -> None:
    found = results["faithfulness"]["aspects"]["sentiment"]["all"]
    assert found["movement_without_quote"] > 0
    assert found["movement_without_random"] > 0


def test_no_text_and_no_path_of_this_machine_is_written(output: Path, data_root: Path) -> None:
    written = "".join(
        path.read_text(encoding="utf-8") for path in (output / "results.json", output / "README.md")
    )
    texts = [row["text"] for row in read_rows(data_root / "amazonhelp_sentiment")]
    texts += [t["text"] for row in read_rows(data_root / "annotated") for t in row["turns"]]
    assert not [text for text in texts if len(text) > 12 and text in written]
    assert str(data_root) not in written


def test_the_worst_answer_is_told_by_its_id(results: Any) -> None:
    worst = results["worst_answers"]["amazonhelp_sentiment"]["sentiment3"][0]
    assert worst["id"] == "mislabelled"
    assert (worst["truth"], worst["predicted"]) == ("positive", "negative")


def test_plots_and_tables_are_made_from_the_raw_results_alone(output: Path) -> None:
    plots = sorted((output / "plots").iterdir())
    assert {path.name for path in plots} >= {"heads.svg", "reliability.png", "sentiment_sets.svg"}
    assert sum(path.stat().st_size for path in plots) < 1_500_000
    before = {path: path.read_bytes() for path in (*plots, output / "README.md")}
    main(["--render", "--output", str(output)])
    assert {path: path.read_bytes() for path in before} == before


def test_every_plot_that_the_tables_show_is_there(output: Path) -> None:
    text = (output / "README.md").read_text(encoding="utf-8")
    shown = {name for name in text.split("](") if name.startswith("plots/")}
    for name in shown:
        assert (output / name.partition(")")[0]).is_file()
