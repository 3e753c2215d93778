"""The model artifact: files, checksums, labels and calibration, refused if anything disagrees."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from moodline.domain import EscalationLevel, SentimentLabel, UrgencyLevel
from moodline.errors import ArtifactError

MANIFEST_FILE: Final = "manifest.json"
ENCODER_FILE: Final = "encoder.onnx"
HEAD_FILE: Final = "conversation.onnx"
TOKENIZER_FILE: Final = "tokenizer.json"
FORMAT_VERSION: Final = 1

_MODEL_NAME: Final = "moodline-base"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileRecord(_Record):
    """What a file of the artifact must be."""

    sha256: str
    byte_count: int


class EncoderRecord(_Record):
    """Shape of the utterance encoder."""

    width: int
    window_tokens: int
    pad_id: int
    aspects: tuple[str, ...]


class HeadRecord(_Record):
    """Shape of the conversation head."""

    state_width: int


class Labels(_Record):
    """Label order of each head's logits."""

    sentiment: tuple[SentimentLabel, ...]
    urgency: tuple[UrgencyLevel, ...]
    escalation: tuple[EscalationLevel, ...]
    stage: tuple[str, ...]
    tags: tuple[str, ...]

    @model_validator(mode="after")
    def _graded_heads_are_complete(self) -> Labels:
        for name, known in (
            ("sentiment", tuple(SentimentLabel)),
            ("urgency", tuple(UrgencyLevel)),
            ("escalation", tuple(EscalationLevel)),
        ):
            if getattr(self, name) != known:
                raise ValueError(f"labels.{name} must be {known}, rising")
        return self


Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Calibration(_Record):
    """Temperatures and thresholds, fitted on the calibration split.

    Attributes:
        temperatures: Divisor of each head's logits.
        tag_thresholds: Least probability at which a tag is given, in the order of the labels.
        watch_threshold: Least P(at least WATCH) at which the level is WATCH.
        escalate_threshold: Least P(ESCALATE) at which the level is ESCALATE.
    """

    temperatures: dict[str, Annotated[float, Field(gt=0.0)]]
    tag_thresholds: tuple[Probability, ...]
    watch_threshold: Probability
    escalate_threshold: Probability


class Languages(_Record):
    """Languages by what is known of the quality in them, as BCP-47 tags."""

    measured: tuple[str, ...]
    unmeasured: tuple[str, ...]


class GoldenTurn(_Record):
    """A turn of a golden conversation with the sentiment score that it must get."""

    role: str
    text: str
    sentiment_score: float | None = None


class Golden(_Record):
    """A conversation whose result was recorded at export; checked before serving."""

    conversation_id: str
    turns: tuple[GoldenTurn, ...]


class Manifest(_Record):
    """Everything that is said of an artifact besides its weights."""

    format_version: int
    name: str
    version: str
    licence: str
    opset: int
    files: dict[str, FileRecord]
    encoder: EncoderRecord
    head: HeadRecord
    labels: Labels
    calibration: Calibration
    languages: Languages
    training: dict[str, object]
    metrics: dict[str, object]
    golden: tuple[Golden, ...]

    @model_validator(mode="after")
    def _calibration_fits_the_labels(self) -> Manifest:
        if len(self.calibration.tag_thresholds) != len(self.labels.tags):
            raise ValueError(
                f"calibration.tag_thresholds has {len(self.calibration.tag_thresholds)} entries "
                f"for {len(self.labels.tags)} labels.tags"
            )
        return self


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checked artifact.

    Attributes:
        directory: Where its files are.
        manifest: What they are.
        digest: SHA-256 of the manifest, in hexadecimal. The manifest holds the checksums of all
            other files, so this stands for the whole artifact.
    """

    directory: Path
    manifest: Manifest
    digest: str

    @property
    def model_version(self) -> str:
        """Name and version, as results carry it."""
        return f"{self.manifest.name} {self.manifest.version}"


def bundled_model_dir() -> Path:
    """Where the model that came with this installation is.

    A wheel holds it inside the package; a source checkout beside it.

    Raises:
        ArtifactError: If there is neither.
    """
    inside = Path(str(files("moodline"))) / "artifacts" / _MODEL_NAME
    beside = Path(__file__).parents[2] / "models" / _MODEL_NAME
    for candidate in (inside, beside):
        if (candidate / MANIFEST_FILE).is_file():
            return candidate
    raise ArtifactError(
        f"no bundled model at {inside} or {beside}; reinstall moodline or set "
        "MOODLINE_ENGINE__MODEL_DIR"
    )


def load_artifact(directory: Path) -> Artifact:
    """Read the manifest and check every file against it.

    Raises:
        ArtifactError: If a file is missing or differs, or the manifest contradicts itself; the
            message names the field.
    """
    path = directory / MANIFEST_FILE
    try:
        raw = path.read_bytes()
        manifest = Manifest.model_validate_json(raw)
    except OSError as error:
        raise ArtifactError(
            f"{path}: {error.strerror}; name a directory with a manifest"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise ArtifactError(f"{path}: {field}: {first['msg']}") from error
    if manifest.format_version != FORMAT_VERSION:
        raise ArtifactError(
            f"{path}: format_version is {manifest.format_version}, this moodline reads "
            f"{FORMAT_VERSION}; use the moodline that the model was made for"
        )
    for name in (ENCODER_FILE, HEAD_FILE, TOKENIZER_FILE):
        if name not in manifest.files:
            raise ArtifactError(f"{path}: files: no entry for {name}")
    for name, record in manifest.files.items():
        _check_file(directory / name, record)
    return Artifact(directory=directory, manifest=manifest, digest=hashlib.sha256(raw).hexdigest())


def _check_file(path: Path, record: FileRecord) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; restore the file or the model") from error
    if len(content) != record.byte_count:
        raise ArtifactError(
            f"{path}: {len(content)} bytes, the manifest says {record.byte_count}; restore the file"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != record.sha256:
        raise ArtifactError(
            f"{path}: SHA-256 {digest}, the manifest says {record.sha256}; restore the file"
        )


def file_record(path: Path) -> FileRecord:
    """The record that a manifest holds of a file."""
    content = path.read_bytes()
    return FileRecord(sha256=hashlib.sha256(content).hexdigest(), byte_count=len(content))


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write the manifest of an artifact whose other files are in place."""
    text = json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=1)
    (directory / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
