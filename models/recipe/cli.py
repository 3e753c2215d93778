"""Commands of the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from models.recipe.config import RecipeConfig, load_config

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

ConfigOption = Annotated[Path, typer.Option("--config", help="Configuration of the recipe.")]
DataRootOption = Annotated[Path, typer.Option("--data-root", help="Folder of the data sets.")]
RunsOption = Annotated[Path, typer.Option("--runs", help="Where runs and caches are kept.")]

VersionOption = Annotated[str, typer.Option(help="Version of the artifact.")]
TargetOption = Annotated[Path | None, typer.Option(help="Folder of the artifact.")]

DEFAULT_CONFIG = Path("models/configs/base.yaml")
DEFAULT_RUNS = Path("models/runs")
DATA_CARD = Path("models/DATA_CARD.md")


@app.callback()
def main() -> None:
    """The recipe of a moodline artifact: count the data, train, export, evaluate, write cards."""


def _run_dir(runs: Path, config: RecipeConfig) -> Path:
    return runs / config.name


@app.command()
def train(
    data_root: DataRootOption,
    config: ConfigOption = DEFAULT_CONFIG,
    runs: RunsOption = DEFAULT_RUNS,
) -> None:
    """Train both networks, first those of the runs that this one builds on; resumes a run."""
    from models.recipe import train as step
    from models.recipe.network import TRAINED_FILE

    loaded = load_config(config)
    teacher = loaded.distillation.teacher if loaded.distillation else None
    for earlier in (loaded.continue_from, teacher):
        if earlier is not None and not (runs / earlier / TRAINED_FILE).exists():
            train(data_root, config.with_name(f"{earlier}.yaml"), runs)
    step.train(
        loaded, data_root=data_root, run_dir=_run_dir(runs, loaded), cache_dir=runs / "cache"
    )


@app.command()
def data(data_root: DataRootOption, runs: RunsOption = DEFAULT_RUNS) -> None:
    """Count every source, without duplicates; writes models/DATA_CARD.md."""
    from models.recipe.data_card import write_data_card

    write_data_card(DATA_CARD, data_root, runs / "cache")


@app.command()
def export(
    data_root: DataRootOption,
    version: VersionOption,
    config: ConfigOption = DEFAULT_CONFIG,
    runs: RunsOption = DEFAULT_RUNS,
    target: TargetOption = None,
) -> None:
    """Export, quantize, calibrate and evaluate what was trained; write manifest and card."""
    from models.recipe import export as step

    loaded = load_config(config)
    step.export(
        loaded,
        version=version,
        data_root=data_root,
        run_dir=_run_dir(runs, loaded),
        target=target or Path("models") / loaded.name,
    )
