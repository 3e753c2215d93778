"""The whole recipe in its tiny configuration: train, resume, export, serve what came out.

Needs the `train` extra: torch is no dependency of the product, so its own environment may lack it.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipe needs the train extra")

from models.recipe.config import DistillationConfig, load_config  # noqa: E402
from models.recipe.datasets import OWN_DATA_DIR, READERS, read_source  # noqa: E402
from models.recipe.distill import taught_examples  # noqa: E402
from models.recipe.examples import UNKNOWN  # noqa: E402
from models.recipe.export import export  # noqa: E402
from models.recipe.labels import STAGE, TAGS  # noqa: E402
from models.recipe.losses import coarse_log_probabilities, distillation_loss  # noqa: E402
from models.recipe.rows import read_rows  # noqa: E402
from models.recipe.train import keep_share, load_examples, load_trained, train  # noqa: E402
from moodline.artifact import load_artifact  # noqa: E402
from moodline.engine import HEADS, OnnxConversationHead, OnnxEncoder  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CONFIG = load_config(Path(__file__).parents[2] / "models" / "configs" / "tiny.yaml")
SENTIMENTS = ("negative", "neutral", "positive")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def name_of(number: int) -> str:
    """Letters, as numbers do not tell texts apart."""
    return " ".join(6 * "abcdefghij"[int(digit)] for digit in str(number))


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own conversations in the shape of the public sets."""
    root = tmp_path_factory.mktemp("data")
    own = list(read_rows(OWN_DATA_DIR, "conversations_*.jsonl"))
    for row in own:
        row["source"], row["split"] = "tests", "train"
    write_rows(root / "annotated" / "train.jsonl", own[30:70])
    write_rows(
        root / "synthetic" / "part_a.jsonl", [{**row, "split": "validation"} for row in own[70:130]]
    )
    write_rows(
        root / "umsab" / "umsab.jsonl",
        [
            {
                "id": f"{split}-{i}",
                "lang": "en",
                "split": split,
                "text": f"A {split} text of {name_of(i)} that is {SENTIMENTS[i % 3]}.",
                "sentiment": SENTIMENTS[i % 3],
            }
            for split, count in (("train", 30), ("validation", 30), ("test", 90))
            for i in range(count)
        ],
    )
    return root


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(CONFIG, data_root=data_root, run_dir=folder, cache_dir=folder)
    return folder


@pytest.fixture(scope="session")
def artifact_dir(tmp_path_factory: pytest.TempPathFactory, data_root: Path, run_dir: Path) -> Path:
    target = tmp_path_factory.mktemp("artifact")
    export(CONFIG, version="0", data_root=data_root, run_dir=run_dir, target=target)
    return target


def test_a_run_resumed_from_a_checkpoint_ends_like_one_that_was_never_stopped(
    run_dir: Path, data_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_dir, tmp_path / "tiny")
    (tmp_path / "tiny" / "trained.pt").unlink()
    assert torch.load(tmp_path / "tiny" / "checkpoint.pt", weights_only=True)["step"] > 0
    train(CONFIG, data_root=data_root, run_dir=tmp_path / "tiny", cache_dir=tmp_path)
    for ours, theirs in zip(
        load_trained(CONFIG, tmp_path / "tiny").head.parameters(),
        load_trained(CONFIG, run_dir).head.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_a_teacher_judges_what_nobody_has_graded(run_dir: Path, data_root: Path) -> None:
    examples = [*read_source("umsab", data_root)[:40], *read_source("annotated", data_root)[:20]]
    taught = taught_examples(CONFIG, examples, teacher_dir=run_dir)
    assert [e.example_id for e in taught] == [e.example_id for e in examples]
    assert [[t.text for t in e.turns] for e in taught] == [
        [t.text for t in e.turns] for e in examples
    ]
    for example in taught:
        for turn in example.turns:
            if example.source == "umsab":
                assert sum(turn.taught_sentiment or ()) == pytest.approx(1, abs=1e-3)
            else:
                assert turn.taught_sentiment is None
    judged = {e.turns[0].taught_sentiment for e in taught[:40]}
    assert len(judged) == 40


def test_a_student_can_learn_from_a_teacher(run_dir: Path, data_root: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir, tmp_path / "teacher")
    config = CONFIG.model_copy(
        update={
            "name": "student",
            "distillation": DistillationConfig(teacher="teacher", temperature=2.0, weight=1.0),
        }
    )
    train(config, data_root=data_root, run_dir=tmp_path / "student", cache_dir=tmp_path)
    student, alone = load_trained(config, tmp_path / "student"), load_trained(CONFIG, run_dir)
    assert not torch.equal(
        student.head.heads["sentiment"].weight, alone.head.heads["sentiment"].weight
    )


def test_the_loss_against_a_teacher_is_least_where_the_student_agrees() -> None:
    logits = torch.tensor([[[0.1, 1.0, -0.5, 0.3, 0.2], [3.0, 0.0, 0.0, 0.0, 0.0]]])
    own = coarse_log_probabilities(logits).exp()
    unjudged = own.clone()
    unjudged[0, 1] = 0.0
    agreed = distillation_loss(logits, unjudged, temperature=2.0)
    for grade in range(5):
        other = logits.clone()
        other[0, 0, grade] += 0.7
        assert distillation_loss(other, unjudged, temperature=2.0) > agreed
    logits.requires_grad_()
    distillation_loss(logits, unjudged, temperature=2.0).backward()
    assert logits.grad is not None
    assert not logits.grad[0, 1].any()


def test_training_changes_the_weights(run_dir: Path) -> None:
    saved = torch.load(run_dir / "checkpoint.pt", weights_only=True)["modules"]
    last = load_trained(CONFIG, run_dir)
    assert not torch.equal(saved["1.input.0.weight"], last.head.input[0].weight)


def test_the_exported_artifact_loads_and_holds_figures_of_every_head(artifact_dir: Path) -> None:
    manifest = load_artifact(artifact_dir).manifest
    assert manifest.labels.stage == STAGE
    assert manifest.labels.tags == TAGS
    figures: Any = manifest.metrics["shipped"]
    assert {"sentiment_qwk", "urgency_qwk", "stage_macro_f1", "tags_micro_f1"} <= set(
        figures["written"]["all"]
    )
    card = (artifact_dir / "MODEL_CARD.md").read_text()
    assert f"{figures['umsab']['all']['sentiment3_macro_f1']:.3f}" in card


def test_a_row_alone_and_in_a_padded_batch_get_the_same_vector(artifact_dir: Path) -> None:
    encoder = OnnxEncoder(load_artifact(artifact_dir), intra_op_threads=1)
    rng = np.random.default_rng(3)
    rows = [rng.integers(4, 15_000, size=n) for n in (5, 9, 16)]
    ids, mask = np.ones((3, 16), np.int64), np.zeros((3, 16), np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)], mask[i, : len(row)] = row, 1
    together = encoder.encode(ids, mask)
    for i, row in enumerate(rows):
        alone = encoder.encode(row[None], np.ones((1, len(row)), np.int64))
        np.testing.assert_allclose(alone.vectors[0], together.vectors[i], atol=1e-5)
        np.testing.assert_allclose(
            alone.evidence[0], together.evidence[i, :, : len(row)], atol=1e-5
        )


def test_the_head_gives_the_same_for_turns_at_once_and_one_by_one(artifact_dir: Path) -> None:
    artifact = load_artifact(artifact_dir)
    head = OnnxConversationHead(artifact)
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(7, artifact.manifest.encoder.width)).astype(np.float32)
    roles = np.array([0, 1, 0, 0, 1, 0, 1])
    whole = head.step(vectors, roles, head.initial_state())
    state = head.initial_state()
    for i in range(len(vectors)):
        step = head.step(vectors[i : i + 1], roles[i : i + 1], state)
        state = step.state
        for name in HEADS:
            np.testing.assert_allclose(step.logits[name][0], whole.logits[name][i], atol=1e-5)


def test_texts_of_any_set_that_is_there_are_taken_out_of_training(
    data_root: Path, tmp_path: Path
) -> None:
    before = load_examples(CONFIG, data_root)
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    leaked = next(e for e in before["train"] if e.source == "umsab")
    row = {"id": "s", "split": "train", "label": "neutral", "text": leaked.turns[0].text.upper()}
    write_rows(root / "sst5" / "train.jsonl", [row])
    assert "sst5" not in {source.name for source in CONFIG.sources}
    after = load_examples(CONFIG, root)
    assert [e for e in before["train"] if e not in after["train"]] == [leaked]
    assert (after["calibration"], after["report"]) == (before["calibration"], before["report"])


def test_a_label_that_a_source_does_not_give_is_masked(data_root: Path) -> None:
    (labels,) = [t.labels for t in read_source("umsab", data_root)[0].turns]
    assert labels is not None
    assert labels.coarse_sentiment != UNKNOWN
    assert (labels.sentiment, labels.urgency, labels.tags) == (UNKNOWN, UNKNOWN, None)


def test_a_run_keeps_its_share_of_the_weights_that_it_began_with() -> None:
    trained = {"old": torch.tensor([4.0]), "fresh": torch.tensor([7.0]), "ids": torch.tensor([3])}
    keep_share(trained, {"old": torch.tensor([0.0]), "ids": torch.tensor([1])}, 0.25)
    assert {name: float(value) for name, value in trained.items()} == {
        "old": 3.0,
        "fresh": 7.0,
        "ids": 3,
    }


def test_escalation_holds_from_its_turn_on() -> None:
    rows = {row["id"]: row for row in read_rows(OWN_DATA_DIR, "conversations_*.jsonl")}
    for example in read_source("own", Path()):
        at = rows[example.example_id]["labels"]["escalation_turn"]
        for index, turn in enumerate(example.turns):
            if turn.labels is not None:
                assert (turn.labels.escalation > 0) == (at is not None and index >= at)


def test_every_source_of_the_configurations_has_a_reader() -> None:
    for path in (Path(__file__).parents[2] / "models" / "configs").glob("*.yaml"):
        assert {source.name for source in load_config(path).sources} <= set(READERS)
