"""Trains both networks jointly; writes checkpoints and resumes from the last one."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.recipe.augment import Variants
from models.recipe.config import RecipeConfig, config_digest
from models.recipe.datasets import read_available
from models.recipe.distill import may_be_taught, taught_examples
from models.recipe.duplicates import drop_duplicates
from models.recipe.examples import TRAINING_SPLITS, UNKNOWN, Example
from models.recipe.labels import STAGE
from models.recipe.losses import distillation_loss, head_losses
from models.recipe.narrow import narrow_feed_forward
from models.recipe.network import TRAINED_FILE, Networks, assemble, forward_packed, read_trained
from models.recipe.packing import EncodedExample, PackedBatch, batches, encode_example
from models.recipe.start_encoder import load_start_encoder
from models.recipe.vocabulary import trim_embeddings, trim_vocabulary

_log = structlog.get_logger()


def load_examples(
    config: RecipeConfig, data_root: Path, *, cache_dir: Path | None = None
) -> dict[str, list[Example]]:
    """Read all sources of the mixture.

    Args:
        config: Names the sources.
        data_root: Folder of the data sets; held-out parts of all that are there are kept out of
            training, also of sets that the mixture does not name.
        cache_dir: Where the outcome of the comparison is kept.

    Returns:
        `train` and `unlabelled`, without copies and near-copies of held-out texts, and
        `calibration` of the mixture; `report` of all sets that are there.
    """
    everything = read_available(data_root, [s.name for s in config.sources])
    named = [e for s in config.sources for e in everything[s.name]]
    held_out = [e for rows in everything.values() for e in rows if e.split not in TRAINING_SPLITS]
    candidates = [e for e in named if e.split in TRAINING_SPLITS]
    kept, removals = drop_duplicates(candidates, held_out, cache_dir)
    counts = Counter(f"{removal.source}: {removal.cause}" for removal in removals)
    _log.info("duplicates removed", **counts)
    return {
        **{split: [e for e in kept if e.split == split] for split in TRAINING_SPLITS},
        "calibration": [e for e in named if e.split == "calibration"],
        "report": [e for e in held_out if e.split == "report"],
    }


def build_networks(config: RecipeConfig, texts: Sequence[str], cache_dir: Path) -> Networks:
    """Start encoder with the chosen layers and a trimmed vocabulary, and a fresh head."""
    start = load_start_encoder(cache_dir, source=config.start_encoder.source)
    vocabulary = trim_vocabulary(start.tokenizer, texts, max_pieces=config.vocabulary.max_pieces)
    trim_embeddings(start.model, vocabulary.old_ids)
    layers = start.model.encoder.layer
    start.model.encoder.layer = nn.ModuleList(layers[i] for i in config.start_encoder.layers)
    start.model.config.num_hidden_layers = len(config.start_encoder.layers)
    sample = random.Random(config.training.seed).sample(list(texts), min(600, len(texts)))
    narrow_feed_forward(
        start.model,
        [e.ids[: config.training.row_tokens] for e in vocabulary.tokenizer.encode_batch(sample)],
        width=config.start_encoder.feed_forward_width,
    )
    return assemble(start.model, vocabulary.tokenizer, head_width=config.head_width)


def training_order(config: RecipeConfig, examples: Sequence[Example]) -> list[Example]:
    """The examples of the whole run in the order in which they are seen, by the seed."""
    rng = random.Random(config.training.seed)
    order: list[Example] = []
    for source in config.sources:
        rows = [e for e in examples if e.source == source.name]
        rng.shuffle(rows)
        rows = rows[: source.max_rows]
        whole, part = divmod(source.epochs, 1.0)
        for _ in range(int(whole)):
            order.extend(rows)
        order.extend(rows[: round(part * len(rows))])
    rng.shuffle(order)
    return order


def taught_order(
    config: RecipeConfig, order: Sequence[Example], unlabelled: Sequence[Example], *, run_dir: Path
) -> list[Example]:
    """Mix the examples that have no labels into an order, and let the teacher judge all of them.

    Args:
        config: Names the teacher, which stands beside `run_dir`.
        order: What `training_order` gives.
        unlabelled: Seen once each.
        run_dir: Folder of this run.
    """
    assert config.distillation is not None
    mixed = [*order, *unlabelled]
    random.Random(config.training.seed + 2).shuffle(mixed)
    distinct = {id(e): e for e in mixed if may_be_taught(e)}
    taught = taught_examples(
        config, [*distinct.values()], teacher_dir=run_dir.parent / config.distillation.teacher
    )
    by_id = dict(zip(distinct, taught, strict=True))
    return [by_id.get(id(e), e) for e in mixed]


def training_batches(
    config: RecipeConfig, order: Sequence[Example], tokenizer: Tokenizer
) -> Iterator[PackedBatch]:
    """Augmented, tokenized and packed batches of the whole run."""
    rng = random.Random(config.training.seed + 1)
    training = config.training
    variants = Variants()

    def encoded() -> Iterator[EncodedExample]:
        for example in order:
            texts = [
                variants.vary(t.text, example.language, rng, share=training.augmented_share)
                if t.is_customer
                else t.text
                for t in example.turns
            ]
            yield encode_example(
                example.with_texts(texts),
                tokenizer,
                row_tokens=training.row_tokens,
                max_turn_windows=training.max_turn_windows,
                capacity=training.max_example_tokens,
            )

    return batches(encoded(), rows=training.rows_per_batch, row_tokens=training.row_tokens)


def stage_weights(examples: Sequence[Example]) -> Tensor:
    """Inverse square root of each stage's frequency, with mean 1 over the labelled turns.

    Args:
        examples: As often as a run sees them.
    """
    counts = Counter(
        t.labels.stage for e in examples for t in e.turns if t.labels and t.labels.stage != UNKNOWN
    )
    frequency = torch.tensor([float(counts[i] + 1) for i in range(len(STAGE))])
    weights = frequency.rsqrt()
    return weights * frequency.sum() / (weights * frequency).sum()


def train(config: RecipeConfig, *, data_root: Path, run_dir: Path, cache_dir: Path) -> None:
    """Train from the start or from `run_dir/checkpoint.pt`; ends with `run_dir/trained.pt`."""
    run_dir.mkdir(parents=True, exist_ok=True)
    training = config.training
    torch.manual_seed(training.seed)
    parts = load_examples(config, data_root, cache_dir=cache_dir)
    if config.continue_from is not None:
        networks = read_trained(run_dir.parent / config.continue_from, head_width=config.head_width)
    else:
        texts = [t.text for e in parts["train"] for t in e.turns]
        networks = build_networks(config, texts, cache_dir)
    networks.tokenizer.save(str(run_dir / "tokenizer.json"))
    order = training_order(config, parts["train"])
    if config.distillation is not None:
        order = taught_order(config, order, parts["unlabelled"], run_dir=run_dir)
    weights = stage_weights(order)
    loss_weights = dict(training.loss_weights)
    if config.distillation is not None:
        loss_weights["taught_sentiment"] = config.distillation.weight
    step_count = sum(1 for _ in training_batches(config, order, networks.tokenizer))
    _log.info("training", examples=len(order), steps=step_count, config=config_digest(config))

    modules = nn.ModuleList([networks.encoder, networks.head])
    fresh = [p for n, p in networks.encoder.named_parameters() if not n.startswith("bert.")]
    fresh += list(networks.head.parameters())
    pretrained = [p for p in networks.encoder.bert.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": pretrained, "lr": training.encoder_learning_rate},
            {"params": fresh, "lr": training.head_learning_rate},
        ],
        weight_decay=training.weight_decay,
    )
    warmup = max(1, int(training.warmup_share * step_count))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warmup, max(0.0, (step_count - step) / (step_count - warmup))
        ),
    )
    first_step = _resume(run_dir, config, modules, optimizer, schedule)
    log_file = run_dir / "log.jsonl"
    started_s, tokens = time.monotonic(), 0
    running: Counter[str] = Counter()
    stream = itertools.islice(training_batches(config, order, networks.tokenizer), first_step, None)
    modules.train()
    for step, batch in enumerate(stream, start=first_step):
        with torch.autocast("cpu", torch.bfloat16):
            logits = forward_packed(networks, batch)
        losses = head_losses(
            {name: value.float() for name, value in logits.items()},
            batch,
            stage_weights=weights,
            smoothing=training.label_smoothing,
        )
        if config.distillation is not None:
            losses["taught_sentiment"] = distillation_loss(
                logits["sentiment"].float(),
                batch.taught_sentiment,
                temperature=config.distillation.temperature,
            )
        loss = torch.stack([loss_weights[n] * v for n, v in losses.items()]).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(modules.parameters(), training.gradient_clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        running.update({name: float(value.detach()) for name, value in losses.items()})
        tokens += int((batch.segments >= 0).sum())
        if (step + 1) % 50 == 0:
            elapsed_s = time.monotonic() - started_s
            record = {
                "step": step + 1,
                "of": step_count,
                "tokens_per_s": round(tokens / elapsed_s),
                **{name: round(total / 50, 4) for name, total in running.items()},
            }
            running.clear()
            _log.info("step", **record)
            with log_file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(record) + "\n")
        if (step + 1) % training.checkpoint_every_steps == 0:
            _save(run_dir / "checkpoint.pt", config, modules, optimizer, schedule, step + 1)
    outcome = {
        "config_digest": config_digest(config),
        "bert_config": networks.encoder.bert.config.to_dict(),
        "encoder": networks.encoder.state_dict(),
        "head": networks.head.state_dict(),
    }
    if config.continue_from is not None:
        start = torch.load(run_dir.parent / config.continue_from / TRAINED_FILE, weights_only=True)
        for part in ("encoder", "head"):
            keep_share(outcome[part], start[part], config.kept_share)
    torch.save(outcome, run_dir / TRAINED_FILE)


def keep_share(trained: dict[str, Tensor], start: Mapping[str, Tensor], share: float) -> None:
    """Mix the weights that a run began with into those that it ended with; see `kept_share`.

    Args:
        trained: Changed in place; what `start` does not have stays.
        start: Weights by name.
        share: Of `start`, in [0, 1].
    """
    for name, weights in trained.items():
        if name in start and weights.is_floating_point():
            trained[name] = torch.lerp(weights, start[name], share)


def load_trained(config: RecipeConfig, run_dir: Path) -> Networks:
    """Load what `train` ended with.

    Raises:
        ValueError: If it was trained with another configuration.
    """
    digest = torch.load(run_dir / TRAINED_FILE, weights_only=True)["config_digest"]
    if digest != config_digest(config):
        raise ValueError(
            f"{run_dir / TRAINED_FILE} was trained with configuration {digest}, not "
            f"{config_digest(config)}; train again or name the configuration it came from"
        )
    networks = read_trained(run_dir, head_width=config.head_width)
    networks.encoder.eval()
    networks.head.eval()
    return networks


def _save(
    path: Path,
    config: RecipeConfig,
    modules: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    step: int,
) -> None:
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "config_digest": config_digest(config),
            "step": step,
            "modules": modules.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "random_state": torch.get_rng_state(),
        },
        partial,
    )
    partial.replace(path)  # A kill while writing leaves the last whole checkpoint.


def _resume(
    run_dir: Path,
    config: RecipeConfig,
    modules: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> int:
    path = run_dir / "checkpoint.pt"
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    if saved["config_digest"] != config_digest(config):
        raise ValueError(f"{path} belongs to another configuration; move it away to start anew")
    modules.load_state_dict(saved["modules"])
    optimizer.load_state_dict(saved["optimizer"])
    schedule.load_state_dict(saved["schedule"])
    torch.set_rng_state(saved["random_state"])  # Of the head's dropout.
    _log.info("resumed", step=saved["step"])
    return int(saved["step"])
