"""The reading order of `llmrank`, which is its import order, and what is kept out."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import llmrank

PACKAGE = Path(llmrank.__file__).parent
MAX_LINES = 300
OWN = "llmrank."

ORDER = (
    "core", "models", "data", "calibration", "evaluation", "methods", "experiments",
    "analysis", "mlp", "lesson", "report", "cli", "__main__",
)  # fmt: skip
"""A folder imports only folders before it."""

STRANGERS = {"evaluation", "methods"}
"""What a measurement is and what a method is: neither knows the other."""

WITHIN = {
    "experiments": (
        "experiment", "pipeline", "memory_estimate", "run", "settings", "curve",
        "targets", "store", "arena",
    ),
}  # fmt: skip
"""The order inside a folder whose parts stand on each other."""

EAGER = ("core", "lesson", "cli")
"""Folders that are imported whole, or by their modules alone."""

LIGHT = (
    "core.errors", "core.progress", "core.formatting", "core.specs", "core.registry",
    "core.variables", "core.permissions", "core.paths", "core.whereabouts",
    "core.cache", "core.uploads", "core.pace", "core.job_limits", "core.jobs",
    "models.families",
)  # fmt: skip
"""What a page may import before it draws: none of these loads torch."""

SOURCES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in SOURCES]


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
    """List the modules of `llmrank` that a source imports, as dotted names in it."""
    names = [n.removeprefix("llmrank.") for n in imported(source) if n.startswith(OWN)]
    homes = {n: home for home, own in llmrank._HOMES.items() for n in own.split()}
    return [homes.get(name, name) for name in names]


def breaches(path, source):
    """Say which imports of a module, named by its place, break an order."""
    folder, _, rest = path.partition("/")
    folder, own = folder.removesuffix(".py"), rest.split("/")[0].removesuffix(".py")
    before = ORDER[: ORDER.index(folder)]
    found = []
    for name in own_modules(source):
        there, _, inner = name.partition(".")
        if there == folder:
            order, part = WITHIN.get(folder, ()), inner.split(".")[0]
            if own in order and part in order and order.index(part) > order.index(own):
                found.append(name)
        elif there not in before or {there, folder} == STRANGERS:
            found.append(name)
    return found


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


def test_every_folder_has_its_place_and_says_what_lives_there():
    found = {name.split("/")[0].removesuffix(".py") for name in NAMES} - {"__init__"}
    assert found == set(ORDER)
    for folder in ORDER[:-1]:
        said = ast.get_docstring(
            ast.parse((PACKAGE / folder / "__init__.py").read_text())
        )
        assert said, folder


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_a_module_imports_only_what_stands_before_it(path):
    name = path.relative_to(PACKAGE).as_posix()
    if name != "__init__.py":
        assert breaches(name, path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_no_folder_takes_a_private_name_of_another(path):
    folder = path.relative_to(PACKAGE).parts[0]
    for name in own_modules(path.read_text("utf-8")):
        if name.split(".")[0] != folder:
            assert not [part for part in name.split(".") if part.startswith("_")], name


def test_the_package_itself_imports_no_module_until_asked():
    own = own_modules((PACKAGE / "__init__.py").read_text("utf-8"))
    assert own == ["core.lazy.handed_on"]


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_no_module_knows_of_streamlit(path):
    names = imported(path.read_text("utf-8"))
    assert "streamlit" not in {name.split(".")[0] for name in names}


@pytest.mark.parametrize("path", SOURCES, ids=NAMES)
def test_no_module_is_two_ideas(path):
    n_lines = path.read_text("utf-8").count("\n")
    assert n_lines <= MAX_LINES


MODEL = "models.language_model"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"from llmrank.{MODEL} import load", [f"{MODEL}.load"]),
        ("from llmrank.models import ffn, hub", ["models.ffn", "models.hub"]),
        (f"import llmrank.{MODEL}", [MODEL]),
        ("from llmrank import load", [MODEL]),  # through the package's own table
        (f"def f():\n    from llmrank.{MODEL} import load", [f"{MODEL}.load"]),
        (f"import importlib; importlib.import_module('llmrank.{MODEL}')", [MODEL]),
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


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("models/hub.py", "from llmrank.data import texts", ["data.texts"]),
        ("data/texts.py", "from llmrank.models import hub", []),
        ("methods/graph.py", "from llmrank import EvaluationSpec", ["evaluation."]),
        ("experiments/store/store.py", "from llmrank.experiments.arena import run",
         ["experiments.arena.run"]),
        ("experiments/arena/runner.py", "from llmrank.experiments.store import Store",
         []),
    ],
)  # fmt: skip
def test_an_import_from_below_is_a_breach(path, source, expected):
    found = breaches(path, source)
    assert len(found) == len(expected)
    assert all(a.startswith(b) for a, b in zip(found, expected, strict=True))


def test_importing_the_package_is_light():
    assert "llmrank" in loaded_by("import llmrank")
    assert not {"torch", "transformers", "numpy"} & loaded_by("import llmrank")


def test_what_pages_import_before_they_draw_is_light():
    statements = [f"import llmrank.{name}" for name in LIGHT]
    loaded = loaded_by("; ".join(statements))
    assert {f"llmrank.{name}" for name in LIGHT} <= loaded
    assert not {"torch", "transformers"} & loaded


@pytest.mark.parametrize("folder", [f for f in ORDER[:-1] if f not in EAGER])
def test_a_folder_hands_on_names_that_are_there_and_no_modules(folder):
    package = importlib.import_module(f"llmrank.{folder}")
    modules = {path.stem for path in (PACKAGE / folder).iterdir()}
    assert package.__all__
    assert not modules & set(package.__all__)  # one name would mean two things
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_the_package_hands_on_every_name_it_lists():
    missing = [name for name in llmrank.__all__ if not hasattr(llmrank, name)]
    assert missing == []
