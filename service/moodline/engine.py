"""The two ONNX networks; the only module that imports onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from moodline.artifact import ENCODER_FILE, HEAD_FILE, Artifact
from moodline.errors import ArtifactError, InferenceError
from moodline.inference import EncoderOutput

HEADS = ("sentiment", "urgency", "stage", "tags", "escalation", "csat", "early_warning")


@dataclass(frozen=True, slots=True)
class HeadOutput:
    """Logits of each head after each turn, and the state to go on from.

    Attributes:
        logits: By head name. *Shape:* `(turns, n)`, float32.
        state: *Shape:* `(state_width,)`, float32.
    """

    logits: Mapping[str, NDArray[np.float32]]
    state: NDArray[np.float32]


class OnnxEncoder:
    """The utterance encoder; an `EncoderEngine`."""

    def __init__(self, artifact: Artifact, *, intra_op_threads: int) -> None:
        """Load the network.

        Args:
            artifact: A checked artifact.
            intra_op_threads: Threads of one call.

        Raises:
            ArtifactError: If the graph is not what the manifest says.
        """
        self._session = _open(
            artifact.directory / ENCODER_FILE,
            intra_op_threads=intra_op_threads,
            inputs=("input_ids", "attention_mask"),
            outputs=("vector", "evidence"),
        )

    def encode(
        self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]
    ) -> EncoderOutput:
        """Encode a padded batch; see `EncoderEngine`.

        Raises:
            InferenceError: If the runtime fails.
        """
        try:
            vectors, evidence = self._session.run(
                ("vector", "evidence"), {"input_ids": input_ids, "attention_mask": attention_mask}
            )
        except Exception as error:
            raise InferenceError("The encoder failed on a batch.") from error
        return EncoderOutput(vectors=vectors, evidence=evidence)


class OnnxConversationHead:
    """The causal conversation head; safe to call from several threads."""

    def __init__(self, artifact: Artifact) -> None:
        """Load the network.

        Raises:
            ArtifactError: If the graph is not what the manifest says.
        """
        self._state_width = artifact.manifest.head.state_width
        # One step costs some tens of microseconds: threads would cost more than they give.
        self._session = _open(
            artifact.directory / HEAD_FILE,
            intra_op_threads=1,
            inputs=("vectors", "roles", "state"),
            outputs=(*HEADS, "new_state"),
        )

    def initial_state(self) -> NDArray[np.float32]:
        """State before the first turn. *Shape:* `(state_width,)`."""
        return np.zeros(self._state_width, dtype=np.float32)

    def step(
        self, vectors: NDArray[np.float32], roles: NDArray[np.int64], state: NDArray[np.float32]
    ) -> HeadOutput:
        """Read further turns of one conversation.

        Args:
            vectors: Turn vectors in order. *Shape:* `(turns, width)`.
            roles: 0 for a customer, 1 for an agent or bot. *Shape:* `(turns,)`.
            state: State after the turns before. *Shape:* `(state_width,)`.

        Raises:
            InferenceError: If the runtime fails.
        """
        try:
            *logits, new_state = self._session.run(
                (*HEADS, "new_state"),
                {"vectors": vectors[None], "roles": roles[None], "state": state[None, None]},
            )
        except Exception as error:
            raise InferenceError("The conversation head failed.") from error
        return HeadOutput(
            logits={name: values[0] for name, values in zip(HEADS, logits, strict=True)},
            state=new_state[0, 0],
        )


def _open(
    path: Path, *, intra_op_threads: int, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_threads
    options.inter_op_num_threads = 1
    # Threads that spin between calls would take the processor from everybody else.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise ArtifactError(f"{path}: onnxruntime cannot load it; restore the model") from error
    found = (
        tuple(i.name for i in session.get_inputs()),
        tuple(o.name for o in session.get_outputs()),
    )
    if found != (inputs, outputs):
        raise ArtifactError(
            f"{path}: inputs and outputs are {found}, expected {(inputs, outputs)}; the model was "
            "made for another moodline"
        )
    return session
