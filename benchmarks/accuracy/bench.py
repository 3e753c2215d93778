"""Evaluates an artifact as it is shipped on every evaluation set.

Figures of every head, set and language with intervals, calibration, confusions, the worst answers
by id, both lexicons on the same English turns, and whether quotes explain scores; against the float
graphs of the same run and against a teacher where those are named. Writes `results.json`, and from
it alone `plots/` and the tables of `README.md`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.aims import compare_with_aims
from benchmarks.accuracy.bootstrap import RESAMPLES, SEED
from benchmarks.accuracy.early_warning import measure_early_warning
from benchmarks.accuracy.faithfulness import measure_faithfulness
from benchmarks.accuracy.lexicons import LEXICONS
from benchmarks.accuracy.measure import (
    calibration_figures,
    confusions,
    differences,
    figures,
    guide_part,
    lexicon_figures,
    tag_figures,
    worst_answers,
)
from benchmarks.accuracy.sets import AIMED_SETS, GUIDE_SETS, EvaluationSet, read_sets, sample
from benchmarks.machine import describe_machine
from models.recipe.collect import (
    Graphs,
    HeadOutputs,
    collect_outputs,
    join_outputs,
    labelled_turns,
    open_graphs,
)
from moodline.artifact import MANIFEST_FILE, Artifact, Calibration, bundled_model_dir, load_artifact

HERE: Final = Path(__file__).parent
SERVING_RESULTS: Final = HERE.parent / "serving" / "results.json"
MAX_ROWS: Final = 3000
"""Of a set that nothing is aimed at."""
MAX_COMPARED_ROWS: Final = 7000
"""Of a set on which float graphs and teacher are compared; they are two and four times slower."""

Json = dict[str, Any]


def run(arguments: argparse.Namespace) -> Json:
    """Measure everything."""
    started_s = time.monotonic()
    artifact = load_artifact(arguments.artifact)
    graphs = open_graphs(artifact)
    others = {
        kind: open_graphs(load_artifact(graph_dir(directory)))
        for kind, directory in (("float", arguments.float_dir), ("teacher", arguments.teacher))
        if directory is not None
    }
    calibration = artifact.manifest.calibration
    sets, absent = read_sets(
        arguments.data_root,
        max_rows=arguments.sample or MAX_ROWS,
        max_aimed_rows=arguments.sample,
    )
    if not sets:
        raise SystemExit(f"{arguments.data_root}: no evaluation set; models/README.md names them")
    outputs = collect(sets, graphs)
    results: Json = {
        "model": {
            "version": artifact.model_version,
            "digest": artifact.digest,
            "megabytes": _megabytes(artifact),
        },
        "machine": describe_machine(),
        "command": _command(arguments),
        "resamples": RESAMPLES,
        "seed": SEED,
        "sets": {
            each.name: {
                "evaluated": len(each.examples),
                "available": each.available_count,
                "turns": int((outputs.sources == each.name).sum()),
            }
            for each in sets
        },
        "absent_sets": absent,
        "figures": figures(outputs, calibration),
        "tags": tag_figures(outputs, calibration),
        "calibration": calibration_figures(outputs, calibration),
        "confusions": confusions(outputs, calibration),
        "worst_answers": worst_answers(outputs, calibration),
        "lexicons": compare_with_lexicons(sets, outputs, calibration),
        "early_warning": measure_early_warning(guide_part(outputs), calibration),
        "faithfulness": measure_faithfulness(
            [e for each in sets if each.name in GUIDE_SETS for e in each.examples], graphs
        ),
    }
    compared = compared_examples(sets)
    for kind, other in others.items():
        # Against float the same calibration, so that nothing but the weights differs.
        other_calibration = calibration if kind == "float" else other.artifact.manifest.calibration
        results[kind] = compare(compared, outputs, calibration, other, other_calibration)
    serving = json.loads(SERVING_RESULTS.read_text(encoding="utf-8"))
    results["aims"] = compare_with_aims(results, serving)
    results["seconds"] = round(time.monotonic() - started_s, 1)
    return results


def collect(sets: Sequence[EvaluationSet], graphs: Graphs) -> HeadOutputs:
    """Read one set after the other, so that only one is held with all its windows."""
    parts = []
    for each in sets:
        started_s = time.monotonic()
        parts.append(collect_outputs(each.examples, graphs))
        _tell(
            f"{graphs.artifact.model_version}: {each.name}, {len(each.examples):,} of "
            f"{each.available_count:,} in {time.monotonic() - started_s:.0f} s"
        )
    return join_outputs(parts)


def compare_with_lexicons(
    sets: Sequence[EvaluationSet], outputs: HeadOutputs, calibration: Calibration
) -> Json:
    """Both lexicons on the English turns, which stand in the outputs in the order of the sets."""
    texts = [
        example.turns[index].text
        for each in sets
        for example in each.examples
        if example.language == "en"
        for index, _ in labelled_turns(example)
    ]
    predictions: dict[str, NDArray[np.int64]] = {}
    for name, load in LEXICONS.items():
        classify = load()
        predictions[name] = np.array([classify(text) for text in texts])
        _tell(f"{name}: {len(texts):,} English turns")
    return lexicon_figures(outputs.where(outputs.languages == "en"), calibration, predictions)


def compared_examples(sets: Sequence[EvaluationSet]) -> list[EvaluationSet]:
    """The sets that something is aimed at, within the rows that a slower model can read."""
    return [
        EvaluationSet(each.name, sample(each.examples, MAX_COMPARED_ROWS), each.available_count)
        for each in sets
        if each.name in AIMED_SETS
    ]


def compare(
    sets: Sequence[EvaluationSet],
    outputs: HeadOutputs,
    calibration: Calibration,
    other: Graphs,
    other_calibration: Calibration,
) -> Json:
    """Differences from another model on the same turns.

    Args:
        sets: What to compare on; all were read by our model.
        outputs: Of our model.
        calibration: Of our model.
        other: The other model.
        other_calibration: What its logits are read with.
    """
    theirs = collect(sets, other)
    names = {(e.source, e.example_id) for each in sets for e in each.examples}
    is_compared = [
        name in names
        for name in zip(outputs.sources.tolist(), outputs.example_ids.tolist(), strict=True)
    ]
    return {
        "version": other.artifact.model_version,
        "digest": other.artifact.digest,
        "differences": differences(
            outputs.where(np.array(is_compared)), theirs, (calibration, other_calibration)
        ),
    }


def graph_dir(directory: Path) -> Path:
    """Where the graphs are: in the folder itself, or in `float/` of a run of the recipe."""
    return directory if (directory / MANIFEST_FILE).exists() else directory / "float"


def _command(arguments: argparse.Namespace) -> str:
    """The command without the paths of this machine."""
    options = {
        "--data-root DATA": True,
        "--float-dir FLOAT": arguments.float_dir,
        "--teacher TEACHER": arguments.teacher,
        f"--sample {arguments.sample}": arguments.sample,
    }
    return " ".join(
        ["python -m benchmarks.accuracy", *(o for o, given in options.items() if given)]
    )


def _megabytes(artifact: Artifact) -> float:
    files = [artifact.directory / name for name in (*artifact.manifest.files, MANIFEST_FILE)]
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def dump(value: Any, indent: int = 0) -> str:
    """JSON with every innermost object or list on one line, to be read and compared by line."""
    children = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)) or not any(
        isinstance(child, (dict, list)) for child in children
    ):
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(k)}: {dump(v, indent + 1)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        lines = [f"{pad}{dump(child, indent + 1)}" for child in value]
        opening, closing = "[", "]"
    return opening + "\n" + ",\n".join(lines) + "\n" + " " * indent + closing


def write(results: Json, output: Path) -> None:
    """Write plots and tables from the raw results."""
    from benchmarks.accuracy.plots import draw_plots
    from benchmarks.accuracy.tables import write_tables

    plots = draw_plots(results, output / "plots")
    write_tables(results, plots, output / "README.md")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--data-root", type=Path, help="folder of the data sets")
    parser.add_argument("--artifact", type=Path, default=bundled_model_dir())
    parser.add_argument("--float-dir", type=Path, help="float graphs of the run of the artifact")
    parser.add_argument("--teacher", type=Path, help="another artifact, or a run of the recipe")
    parser.add_argument("--sample", type=int, help="most examples of every set, for a quick look")
    parser.add_argument("--output", type=Path, default=HERE, help="where to write")
    parser.add_argument(
        "--render", action="store_true", help="measure nothing: plots and tables from results.json"
    )
    arguments = parser.parse_args(argv)
    raw = arguments.output / "results.json"
    if arguments.render:
        results = json.loads(raw.read_text(encoding="utf-8"))
    elif arguments.data_root is None:
        parser.error("--data-root is needed: the folder of the data sets")
    else:
        results = run(arguments)
        arguments.output.mkdir(parents=True, exist_ok=True)
        raw.write_text(dump(results) + "\n", encoding="utf-8")
    write(results, arguments.output)
