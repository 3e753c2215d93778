"""Trained networks to an artifact: graphs, 8-bit weights, calibration, figures, manifest, card."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import structlog
import torch
from numpy.typing import NDArray

from models.recipe.calibrate import fit_calibration
from models.recipe.card import write_card
from models.recipe.collect import HeadOutputs, collect_outputs, open_graphs
from models.recipe.config import RecipeConfig, config_digest
from models.recipe.evaluate import evaluate
from models.recipe.examples import Example, hash_share
from models.recipe.explain import fit_evidence
from models.recipe.labels import ASPECTS, ESCALATION, HEADS, SENTIMENT, STAGE, TAGS, URGENCY
from models.recipe.network import ConversationHead, Networks, ServedEncoder
from models.recipe.quantize import quantize_encoder
from models.recipe.smooth import prepare_feed_forward
from models.recipe.start_encoder import HUB_NAME
from models.recipe.train import load_examples, load_trained, training_order
from moodline.artifact import (
    ENCODER_FILE,
    HEAD_FILE,
    TOKENIZER_FILE,
    Artifact,
    Calibration,
    EncoderRecord,
    Golden,
    GoldenTurn,
    HeadRecord,
    Labels,
    Languages,
    Manifest,
    file_record,
    load_artifact,
    write_manifest,
)
from moodline.domain import EscalationLevel, Role, SentimentLabel, UrgencyLevel
from moodline.language import MEASURED_LANGUAGES, UNMEASURED_LANGUAGES
from moodline.samples import load_samples
from moodline.scoring import softmax

OPSET: Final = 17
PARITY_TOLERANCE: Final = 1e-3
"""Largest difference of any output between torch and the exported float graph."""
CARD_SOURCES: Final = frozenset(
    "annotated_dev written umsab tweet_sentiment trbrain_telecom amazonhelp_sentiment "
    "airline_tweets".split()
)
CARD_SHARE: Final = 0.4
"""Share of single texts in the card's figures; benchmarks/accuracy measures all sets and more."""

CALIBRATION_WINDOWS: Final = 400
"""Windows that the activation ranges are fitted on."""
REPORTED_TWEETS_PER_SOURCE: Final = 4000
"""Rows of one evaluation set that are scored; the largest sets are sampled by a stable hash."""

_log = structlog.get_logger()


def export(
    config: RecipeConfig, *, version: str, data_root: Path, run_dir: Path, target: Path
) -> None:
    """Write the whole artifact into `target`.

    Raises:
        ValueError: If the exported graphs do not agree with torch.
    """
    networks = load_trained(config, run_dir)
    parts = load_examples(config, data_root, cache_dir=run_dir.parent / "cache")
    float_dir = run_dir / "float"
    for folder in (float_dir, target):
        folder.mkdir(parents=True, exist_ok=True)
    windows = calibration_windows(networks, parts["train"], config.training.row_tokens)
    evidence = fit_evidence(networks, parts["train"], window_tokens=config.training.row_tokens)
    prepare_feed_forward(networks.encoder, windows)
    encoder = ServedEncoder(networks.encoder, evidence)
    export_encoder(encoder, float_dir / ENCODER_FILE)
    export_head(networks, float_dir / HEAD_FILE)
    shutil.copy(run_dir / TOKENIZER_FILE, float_dir / TOKENIZER_FILE)
    check_parity(encoder, networks.head, float_dir, windows[:16])
    quantize_encoder(
        float_dir / ENCODER_FILE,
        target / ENCODER_FILE,
        windows,
    )
    shutil.copy(float_dir / HEAD_FILE, target / HEAD_FILE)
    shutil.copy(float_dir / TOKENIZER_FILE, target / TOKENIZER_FILE)

    neutral = Calibration(
        temperatures=dict.fromkeys(HEADS, 1.0),
        tag_thresholds=(0.5,) * len(TAGS),
        watch_threshold=0.5,
        escalate_threshold=0.5,
    )
    width = networks.encoder.bert.config.hidden_size
    manifest = _manifest(config, version, neutral, parts["train"], width=width)
    report = [
        e
        for e in parts["report"]
        if e.source in CARD_SOURCES and (len(e.turns) > 1 or hash_share(e.example_id) < CARD_SHARE)
    ]
    figures = {}
    for kind, directory in (("float", float_dir), ("shipped", target)):
        _seal(directory, manifest)
        calibration = fit_calibration(_outputs(directory, parts["calibration"]))
        manifest = manifest.model_copy(update={"calibration": calibration})
        # So that the float graphs, too, can be compared by what they would report.
        _seal(directory, manifest)
        figures[kind] = evaluate(_outputs(directory, report), calibration)
        _log.info("evaluated", kind=kind)
    manifest = manifest.model_copy(update={"metrics": figures})
    _seal(target, manifest)
    golden = _golden(load_artifact(target))
    manifest = manifest.model_copy(update={"golden": golden})
    _seal(target, manifest)
    write_card(target, load_artifact(target).manifest)


def export_encoder(encoder: ServedEncoder, path: Path) -> None:
    """Export the encoder with dynamic rows and length."""
    ids = torch.ones(2, 8, dtype=torch.long)
    _export(
        encoder,
        (ids, torch.ones_like(ids)),
        path,
        inputs={
            "input_ids": {0: "rows", 1: "length"},
            "attention_mask": {0: "rows", 1: "length"},
        },
        outputs={"vector": {0: "rows"}, "evidence": {0: "rows", 2: "length"}},
    )


def export_head(networks: Networks, path: Path) -> None:
    """Export the head with a dynamic number of turns."""
    width = networks.encoder.bert.config.hidden_size
    turns = {0: "conversations", 1: "turns"}
    _export(
        networks.head,
        (
            torch.zeros(1, 3, width),
            torch.zeros(1, 3, dtype=torch.long),
            networks.head.initial_state(1),
        ),
        path,
        inputs={"vectors": turns, "roles": turns, "state": {1: "conversations"}},
        outputs={**dict.fromkeys(HEADS, turns), "new_state": {1: "conversations"}},
    )


def _export(
    module: torch.nn.Module,
    arguments: tuple[torch.Tensor, ...],
    path: Path,
    *,
    inputs: dict[str, dict[int, str]],
    outputs: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings():
        # The tracing exporter gives the plain MatMul graph that static quantization expects.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            arguments,
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=inputs | outputs,
            opset_version=OPSET,
            dynamo=False,
        )


def calibration_windows(
    networks: Networks, examples: Sequence[Example], window_tokens: int
) -> list[list[int]]:
    """Token ids of a stable sample of training turns, of conversations above all."""
    turns = [
        (hash_share(f"{e.example_id}:{i}"), turn.text)
        for e in examples
        if len(e.turns) > 1 or hash_share(e.example_id) < 0.02
        for i, turn in enumerate(e.turns)
    ]
    texts = [text for _, text in sorted(turns)[:CALIBRATION_WINDOWS]]
    return [e.ids[:window_tokens] for e in networks.tokenizer.encode_batch(texts)]


def check_parity(
    encoder: ServedEncoder,
    head: ConversationHead,
    directory: Path,
    windows: Sequence[Sequence[int]],
) -> None:
    """Compare the float graphs with torch.

    Raises:
        ValueError: If an output differs by more than `PARITY_TOLERANCE`.
    """
    encoder_graph = onnxruntime.InferenceSession(str(directory / ENCODER_FILE))
    head_graph = onnxruntime.InferenceSession(str(directory / HEAD_FILE))
    worst = 0.0
    vectors = []
    for ids in windows:
        tensor = torch.tensor([ids])
        with torch.no_grad():
            expected = encoder(tensor, torch.ones_like(tensor))
        found = encoder_graph.run(
            None, {"input_ids": tensor.numpy(), "attention_mask": np.ones_like(tensor.numpy())}
        )
        worst = max(worst, *(_gap(e, f) for e, f in zip(expected, found, strict=True)))
        vectors.append(expected[0][0])
    stacked = torch.stack(vectors)[None]
    roles = torch.tensor([[i % 2 for i in range(len(vectors))]])
    state = head.initial_state(1)
    with torch.no_grad():
        expected = head(stacked, roles, state)
    found = head_graph.run(
        None, {"vectors": stacked.numpy(), "roles": roles.numpy(), "state": state.numpy()}
    )
    worst = max(worst, *(_gap(e, f) for e, f in zip(expected, found, strict=True)))
    _log.info("parity", largest_difference=worst)
    if worst > PARITY_TOLERANCE:
        raise ValueError(f"exported graphs differ from torch by {worst}, over {PARITY_TOLERANCE}")


def _gap(expected: torch.Tensor, found: NDArray[np.float32]) -> float:
    return float(np.abs(expected.numpy() - found).max())


def _manifest(
    config: RecipeConfig,
    version: str,
    calibration: Calibration,
    training: Sequence[Example],
    *,
    width: int,
) -> Manifest:
    seen = {(e.source, e.example_id) for e in training_order(config, training)}
    return Manifest(
        format_version=1,
        name=config.name,
        version=version,
        licence="Apache-2.0",
        opset=OPSET,
        files={},
        encoder=EncoderRecord(
            width=width, window_tokens=config.training.row_tokens, pad_id=1, aspects=ASPECTS
        ),
        head=HeadRecord(state_width=config.head_width),
        labels=Labels(
            sentiment=tuple(SentimentLabel(label) for label in SENTIMENT),
            urgency=tuple(UrgencyLevel(label) for label in URGENCY),
            escalation=tuple(EscalationLevel(label) for label in ESCALATION),
            stage=STAGE,
            tags=TAGS,
        ),
        calibration=calibration,
        languages=Languages(
            measured=tuple(sorted(MEASURED_LANGUAGES)),
            unmeasured=tuple(sorted(UNMEASURED_LANGUAGES)),
        ),
        training={
            "config_digest": config_digest(config),
            "seed": config.training.seed,
            "start_encoder": f"{HUB_NAME} ({config.start_encoder.source})",
            "layers": list(config.start_encoder.layers),
            "conversations_by_source": dict(Counter(source for source, _ in sorted(seen))),
        },
        metrics={},
        golden=(),
    )


def _seal(directory: Path, manifest: Manifest) -> None:
    names = (ENCODER_FILE, HEAD_FILE, TOKENIZER_FILE)
    write_manifest(
        directory,
        manifest.model_copy(update={"files": {n: file_record(directory / n) for n in names}}),
    )


def _outputs(directory: Path, examples: Sequence[Example]) -> HeadOutputs:
    return collect_outputs(examples, open_graphs(load_artifact(directory)))


def _golden(artifact: Artifact) -> tuple[Golden, ...]:
    """Record what the artifact says of the bundled samples."""
    graphs = open_graphs(artifact)
    temperature = artifact.manifest.calibration.temperatures["sentiment"]
    golden = []
    for sample in load_samples():
        vectors = []
        for turn in graphs.turn_encoder.encode([t.text for t in sample.turns]):
            (window,) = turn.windows
            ids = np.array([window.input_ids], dtype=np.int64)
            vectors.append(graphs.encoder.encode(ids, np.ones_like(ids)).vectors[0])
        roles = np.array([int(t.role is not Role.CUSTOMER) for t in sample.turns])
        output = graphs.head.step(np.stack(vectors), roles, graphs.head.initial_state())
        scores = softmax(output.logits["sentiment"].astype(np.float64) / temperature)
        golden.append(
            Golden(
                conversation_id=sample.conversation_id,
                turns=tuple(
                    GoldenTurn(
                        role=turn.role.value,
                        text=turn.text,
                        sentiment_score=round(float(score), 4)
                        if turn.role is Role.CUSTOMER
                        else None,
                    )
                    for turn, score in zip(
                        sample.turns, scores @ np.linspace(-1.0, 1.0, len(SENTIMENT)), strict=True
                    )
                ),
            )
        )
    return tuple(golden)
