"""An artifact that disagrees with its manifest is refused, naming what disagrees."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moodline.artifact import (
    ENCODER_FILE,
    HEAD_FILE,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    file_record,
    load_artifact,
)
from moodline.errors import ArtifactError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    for name in (ENCODER_FILE, HEAD_FILE, TOKENIZER_FILE):
        (tmp_path / name).write_text(f"content of {name}")
    manifest: dict[str, Any] = {
        "format_version": 1,
        "name": "tiny",
        "version": "1",
        "licence": "Apache-2.0",
        "opset": 17,
        "files": {
            name: file_record(tmp_path / name).model_dump()
            for name in (ENCODER_FILE, HEAD_FILE, TOKENIZER_FILE)
        },
        "encoder": {"width": 4, "window_tokens": 8, "pad_id": 1, "aspects": ["sentiment"]},
        "head": {"state_width": 3},
        "labels": {
            "sentiment": ["VERY_NEGATIVE", "NEGATIVE", "NEUTRAL", "POSITIVE", "VERY_POSITIVE"],
            "urgency": ["LOW", "NORMAL", "HIGH", "CRITICAL"],
            "escalation": ["NONE", "WATCH", "ESCALATE"],
            "stage": ["none", "support"],
            "tags": ["billing"],
        },
        "calibration": {
            "temperatures": {"sentiment": 1.0},
            "tag_thresholds": [0.5],
            "watch_threshold": 0.5,
            "escalate_threshold": 0.5,
        },
        "languages": {"measured": ["en"], "unmeasured": []},
        "training": {},
        "metrics": {},
        "golden": [],
    }
    (tmp_path / MANIFEST_FILE).write_text(json.dumps(manifest))
    return tmp_path


def change(directory: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = directory / MANIFEST_FILE
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_an_artifact_that_agrees_is_loaded(directory: Path) -> None:
    artifact = load_artifact(directory)
    assert artifact.model_version == "tiny 1"
    assert len(artifact.digest) == 64


def test_the_digest_follows_the_manifest(directory: Path) -> None:
    before = load_artifact(directory).digest
    change(directory, lambda m: m["calibration"].update(watch_threshold=0.6))
    assert load_artifact(directory).digest != before


def test_a_changed_file_is_refused_by_name(directory: Path) -> None:
    path = directory / ENCODER_FILE
    path.write_text(path.read_text().replace("c", "k", 1))
    with pytest.raises(ArtifactError, match=rf"{ENCODER_FILE}.*SHA-256"):
        load_artifact(directory)


def test_a_shortened_file_is_refused_by_size(directory: Path) -> None:
    (directory / HEAD_FILE).write_text("half")
    with pytest.raises(ArtifactError, match=rf"{HEAD_FILE}.*4 bytes"):
        load_artifact(directory)


def test_a_missing_file_is_refused_by_name(directory: Path) -> None:
    (directory / TOKENIZER_FILE).unlink()
    with pytest.raises(ArtifactError, match=TOKENIZER_FILE):
        load_artifact(directory)


def test_a_directory_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=MANIFEST_FILE):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m.update(format_version=2), "format_version"),
        (lambda m: m["labels"]["urgency"].reverse(), "labels"),
        (lambda m: m["calibration"].update(tag_thresholds=[]), "tag_thresholds"),
        (lambda m: m["calibration"]["temperatures"].update(sentiment=0), "temperatures"),
        (lambda m: m["files"].pop(ENCODER_FILE), ENCODER_FILE),
        (lambda m: m.update(surprise=1), "surprise"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused_by_field(
    directory: Path, edit: Callable[[dict[str, Any]], object], named: str
) -> None:
    change(directory, edit)
    with pytest.raises(ArtifactError, match=named):
        load_artifact(directory)
