"""The reading order of `llmrank`, which is its import order, and what is kept out."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import llmrank

PACKAGE = Path(llmrank.__file__).parent
MAX_LINES = 300

ORDER = (
    "errors", "progress", "spelling", "options", "registry", "families", "variables",
    "doors", "children", "owners", "durable", "folders", "whereabouts", "memo",
    "uploads", "sizes", "checkpoint", "downloader", "hub", "hf", "devices", "ffn",
    "embedded", "ggufs", "sources", "precision", "models", "tokens", "corpora",
    "calibration",
    "gradients", "walk", "moments", "graph", "centrality", "planes", "compressibility",
    "criteria", "allocation", "pruning", "prefixes", "repair", "nearness",
    "sensitivity", "payload", "compatible", "export", "evaluation", "mlp", "tasks",
    "footprint", "decoding", "timing", "products", "memory", "benchmark", "comparison",
    "speeds", "stages", "experiment", "store", "curve", "targets", "generation",
    "settings", "summary", "pace", "bounds", "jobs", "arena", "agreement", "inspector",
    "readings", "stability", "health", "charts", "network", "lesson",
    "commands", "__main__",
)  # fmt: skip
"""A module imports only modules before it; a folder counts as one module."""

LIGHT = (
    "errors", "progress", "spelling", "options", "registry", "families", "variables",
    "doors", "folders", "whereabouts", "memo", "uploads", "pace", "bounds",
    "jobs",
)  # fmt: skip
"""What a page may import before it draws: none of these loads torch."""

SOURCES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in SOURCES]


def module_of(path):
    """`charts/theme.py` belongs to `charts`, `__init__.py` to the package itself."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(source):
    """List what a source imports anywhere in it, lazily too, as dotted names."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif is_dynamic_import(node):
            names += [a.value for a in node.args if isinstance(a, ast.Constant)]
    return names


def is_dynamic_import(node):
    called = getattr(node, "func", None)
    name = getattr(called, "attr", getattr(called, "id", None))
    return isinstance(node, ast.Call) and name in ("import_module", "__import__")


def own_modules(source):
    """List the modules of `llmrank` that a source imports."""
    names = [n.split(".")[1] for n in imported(source) if n.startswith("llmrank.")]
    return [llmrank._HOME_OF.get(name, name) for name in names]


def breaches(module, source):
    """Say which imports of a module break the order."""
    before = ORDER[: ORDER.index(module)]
    return [n for n in own_modules(source) if n not in before and n != module]


def loaded_by(statement):
    """Return the top-level modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys, json; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    return set(json.loads(run.stdout))


def test_every_module_has_its_place_in_the_reading_order():
    found = {module_of(path) for path in SOURCES} - {"__init__"}
    assert not found - set(ORDER), "new modules: give them a place in ORDER"


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_a_module_imports_only_modules_above_it(path):
    if module_of(path) != "__init__":
        assert breaches(module_of(path), path.read_text("utf-8")) == []


def test_the_package_itself_imports_no_module_until_asked():
    assert own_modules((PACKAGE / "__init__.py").read_text("utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_no_module_knows_of_streamlit(path):
    names = imported(path.read_text("utf-8"))
    assert "streamlit" not in {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_no_module_is_two_ideas(path):
    n_lines = path.read_text("utf-8").count("\n")
    assert n_lines <= MAX_LINES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from llmrank.models.language_model import load", ["models"]),
        ("from llmrank import ffn, models", ["ffn", "models"]),
        ("import llmrank.models.language_model", ["models"]),
        ("from llmrank import load", ["models"]),  # through the package's own table
        ("def f():\n    from llmrank.models.language_model import load", ["models"]),
        (
            "import importlib; importlib.import_module('llmrank.models.language_model')",
            ["models"],
        ),
        ("import torch", []),
    ],
)
def test_the_reader_of_imports_sees_every_form(source, expected):
    assert own_modules(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "import streamlit as st",
        "def f():\n    from streamlit.runtime import Runtime",
        "__import__('streamlit')",
    ],
)
def test_the_reader_of_imports_sees_streamlit(source):
    assert imported(source)[0].split(".")[0] == "streamlit"


def test_an_import_from_below_is_a_breach():
    assert breaches("ffn", "from llmrank import models, families") == ["models"]
    assert breaches("models", "from llmrank import ffn") == []


def test_importing_the_package_is_light():
    assert "llmrank" in loaded_by("import llmrank")
    assert not {"torch", "transformers", "numpy"} & loaded_by("import llmrank")


def test_what_pages_import_before_they_draw_is_light():
    statements = [f"import llmrank.{name}" for name in LIGHT]
    loaded = loaded_by("; ".join(statements))
    assert {f"llmrank.{name}" for name in LIGHT} <= loaded
    assert not {"torch", "transformers"} & loaded


def test_the_package_hands_on_every_name_it_lists():
    missing = [name for name in llmrank.__all__ if not hasattr(llmrank, name)]
    assert missing == []
