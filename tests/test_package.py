"""What `pip install .` gives, and what a bare environment can do with it."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

BARE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"streamlit", "plotly", "pyvis"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
import llmrank
missing = [name for name in llmrank.__all__ if not hasattr(llmrank, name)]
assert not missing, missing
"""


def pinned(name):
    lines = (ROOT / name).read_text("utf-8").splitlines()
    found = re.findall(r"^([\w.-]+)==(\S+)", "\n".join(lines), re.M)
    return {name.lower(): version for name, version in found}


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        (
            "requirements.txt",
            [*PROJECT["dependencies"], *EXTRAS["app"], *EXTRAS["lora"]],
        ),
        ("requirements-dev.txt", EXTRAS["dev"]),
    ],
)
def test_what_is_pinned_is_what_the_project_asks_for(file, wanted):
    asked = {r.name.lower(): r.specifier for r in map(Requirement, wanted)}
    found = pinned(file)
    assert set(found) == set(asked)
    for name, version in found.items():
        assert asked[name].contains(version), name


def test_without_the_apps_packages_every_name_is_there():
    subprocess.run([sys.executable, "-c", BARE], check=True, cwd=ROOT)


def test_importing_it_imports_only_what_hands_its_names_on():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, llmrank, json; "
         "print(json.dumps([m for m in sys.modules if m.startswith('llmrank')]))"],
        check=True, capture_output=True, cwd=ROOT,
    )  # fmt: skip
    hands_on = {"llmrank.core", "llmrank.core.lazy"}
    assert set(json.loads(told.stdout)) == {"llmrank"} | hands_on


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_page_and_the_command(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "llmrank", "pyproject.toml", "README.md", "LICENSE"],
        check=True, capture_output=True, text=True, cwd=ROOT,
    ).stdout.split()  # fmt: skip
    for name in listed:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*build, "-w", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
        (entry,) = [n for n in there if n.endswith("entry_points.txt")]
        assert "llmrank = llmrank.__main__:main" in archive.read(entry).decode()
    assert {n for n in listed if n.startswith("llmrank/")} <= there
    assert not [n for n in there if n.startswith(("pages", "tests", "benchmarks"))]
