"""Importing moodline is harmless and light, and its parts depend on each other in one direction."""

import subprocess
import sys

import grimp
import pytest

_WATCH_IMPORTS = """
import importlib, logging, pkgutil, sys, threading

events = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1]):
        events.append((event, arguments[0]))
    elif event.split(".")[0] in {"socket", "subprocess"} and event != "socket.gethostname":
        events.append((event,))
    elif event in {"os.mkdir", "os.remove", "os.rename", "shutil.rmtree", "os.putenv"}:
        events.append((event, *arguments))

# What libraries do when they are imported is theirs.
import grpc, grpc.aio, onnxruntime, protovalidate, py3langid, pydantic_settings, typer
handlers = list(logging.getLogger().handlers)
threads = set(threading.enumerate())
sys.addaudithook(watch)

import moodline
for module in pkgutil.walk_packages(moodline.__path__, "moodline."):
    importlib.import_module(module.name)

assert not events, events
assert logging.getLogger().handlers == handlers
assert set(threading.enumerate()) == threads, threading.enumerate()
"""


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-B", "-W", "error", "-c", code], check=True, timeout=120)


def test_importing_any_module_does_nothing() -> None:
    run_python(_WATCH_IMPORTS)


@pytest.mark.parametrize("module", ["moodline.cli", "moodline.app", "moodline.client"])
def test_training_libraries_are_never_loaded(module: str) -> None:
    run_python(
        f"import sys, {module}\n"
        "assert not {'torch', 'transformers', 'onnx', 'sklearn'} & set(sys.modules)"
    )


def test_a_health_check_loads_no_engine() -> None:
    run_python(
        "import sys, moodline.cli, moodline.client, moodline.settings\n"
        "assert not {'onnxruntime', 'tokenizers', 'py3langid'} & set(sys.modules)"
    )


def test_extras_are_loaded_only_when_they_are_asked_for() -> None:
    run_python(
        "import sys, moodline.app, moodline.cli.score, moodline.jobs.engines.local\n"
        "import moodline.cli.report, moodline.cli.backtest, moodline.jobs.engines.ray_cluster\n"
        "assert not {'jinja2', 'matplotlib', 'pyarrow', 'pandas', 'ray'} & set(sys.modules)"
    )


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        "moodline",
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )


def importers(graph: grimp.ImportGraph, library: str) -> set[str]:
    """Return our modules and packages of the first level that import a library themselves."""
    if library not in graph.modules:
        return set()
    return {
        ".".join(module.split(".")[1:2])
        for module in graph.find_modules_that_directly_import(library)
    }


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("grpc", {"rpc", "client", "v1"}),
        ("grpc_health", {"rpc", "client"}),
        ("grpc_reflection", {"rpc"}),
        ("onnxruntime", {"engine"}),
        ("tokenizers", {"encoding"}),
        ("py3langid", {"language"}),
        ("cel_expr_python", {"rules"}),
        ("phonenumbers", {"masking"}),
        ("stdnum", {"masking"}),
        ("httpcore2", {"actions"}),
        ("standardwebhooks", {"actions"}),
        ("typer", {"cli"}),
        ("rich", {"cli"}),
        ("pyarrow", {"jobs", "reports", "transcripts"}),
        ("ray", {"jobs"}),
        ("jinja2", {"reports"}),
        ("matplotlib", {"reports"}),
        ("webvtt", {"transcripts"}),
        ("prometheus_client", {"actions", "app", "cli", "jobs", "store", "telemetry"}),
        ("sqlalchemy", {"store"}),
        ("alembic", {"store"}),
        ("asyncpg", {"store"}),
        ("torch", set()),
        ("transformers", set()),
    ],
)
def test_only_its_own_part_imports_a_library(
    graph: grimp.ImportGraph, library: str, allowed: set[str]
) -> None:
    assert importers(graph, library) <= allowed


@pytest.mark.parametrize(
    ("importer", "forbidden"),
    [
        ("batching", {"analyzer", "app", "cli", "client", "engine", "rpc"}),
        ("analyzer", {"app", "cli", "client", "rpc", "rules", "signals"}),
        ("rules", {"analyzer", "app", "batching", "cli", "client", "engine", "rpc", "signals"}),
        ("signals", {"analyzer", "app", "batching", "cli", "client", "engine", "rpc"}),
        ("masking", {"app", "batching", "cli", "client", "engine", "rpc", "settings", "store"}),
        (
            "actions",
            {"analyzer", "app", "batching", "cli", "client", "engine", "rpc", "settings", "store"},
        ),
        ("signals", {"actions", "store"}),
        ("keeping", {"analyzer", "app", "batching", "cli", "client", "engine", "rpc"}),
        (
            "backtest",
            {"analyzer", "app", "batching", "cli", "client", "engine", "jobs", "rpc", "settings"},
        ),
        ("rpc", {"app", "cli", "client"}),
        ("store", {"analyzer", "app", "batching", "cli", "client", "engine", "rpc", "settings"}),
        ("client", {"analyzer", "app", "batching", "cli", "engine", "rpc", "settings"}),
        ("app", {"cli", "client", "jobs.analyzing", "jobs.engines.local", "jobs.engines.remote"}),
        ("jobs.served", {"app", "cli", "client", "rpc", "settings"}),
        ("jobs", {"cli"}),
        (
            "reports",
            {"analyzer", "app", "batching", "cli", "client", "engine", "rpc", "rules", "signals"},
        ),
        ("transcripts", {"app", "cli", "client", "jobs", "rpc"}),
        (
            "transcripts",
            {"analyzer", "app", "batching", "cli", "client", "engine", "rpc", "settings"},
        ),
    ],
)
def test_parts_depend_in_one_direction(
    graph: grimp.ImportGraph, importer: str, forbidden: set[str]
) -> None:
    for imported in forbidden:
        chain = graph.find_shortest_chain(
            f"moodline.{importer}", f"moodline.{imported}", as_packages=True
        )
        assert chain is None, " -> ".join(chain or ())


@pytest.mark.parametrize("module", ["domain", "errors", "limits"])
def test_what_all_share_imports_nothing_of_ours(graph: grimp.ImportGraph, module: str) -> None:
    imported = graph.find_modules_directly_imported_by(f"moodline.{module}")
    assert not {name for name in imported if name.startswith("moodline")}
