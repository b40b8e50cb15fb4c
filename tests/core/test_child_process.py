"""Processes that we start end with us, however we end."""

import ast
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from hub_server import gone

import llmrank
from llmrank.core.paths import child_environment
from llmrank.evaluation import peak_memory
from llmrank.evaluation.decoding import BenchmarkSpec

PACKAGE = Path(llmrank.__file__).parent

CHILD = """
import sys, time
from pathlib import Path
from llmrank.core.child_process import end_with_parent

end_with_parent(last=Path(sys.argv[1]).touch)
print("begun", flush=True)
time.sleep(60)
"""
PARENT = """
import subprocess, sys, time

with subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE):
    time.sleep(60)
"""


def test_a_child_ends_with_a_parent_that_was_killed(tmp_path):
    command = [sys.executable, "-c", CHILD, str(tmp_path / "last")]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *command],
        stdout=subprocess.PIPE,
        env=child_environment(),
    ) as parent:
        assert parent.stdout.readline() == b"begun\n"
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        parent.wait()
        assert gone(child.pid)
    assert (tmp_path / "last").exists()


def test_a_child_that_is_done_ends_by_itself():
    code = "from llmrank.core.child_process import end_with_parent; end_with_parent()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env=child_environment()
    ) as child:
        assert child.wait(timeout=30) == 0


def started_modules():
    """List the modules of ours that any module starts as a process."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.List):
                words = [w.value for w in node.elts if isinstance(w, ast.Constant)]
                if "-m" in words:
                    yield words[words.index("-m") + 1]


def test_every_process_of_ours_ends_with_its_parent():
    started = set(started_modules())
    assert started >= {"llmrank.models.downloader", "llmrank.evaluation.peak_memory"}
    for name in started:
        source = PACKAGE.parent / f"{name.replace('.', '/')}.py"
        assert "end_with_parent(" in source.read_text("utf-8"), name


def test_nothing_else_starts_processes():
    starting = ("subprocess", "multiprocessing", "os.fork", "os.spawn", "os.system")
    found = {
        path.stem
        for path in PACKAGE.rglob("*.py")
        if any(word in path.read_text("utf-8") for word in starting)
    }
    assert found == {"hub", "peak_memory"}


@pytest.mark.slow  # it imports torch
def test_the_process_that_measures_memory_ends_with_its_parent(tiny):
    request = peak_memory._request(tiny, BenchmarkSpec(prompt_tokens=8, new_tokens=500))
    with subprocess.Popen(
        [sys.executable, "-m", "llmrank.evaluation.peak_memory"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    ) as child:
        child.stdin.write(f"{request}\n")
        child.stdin.close()  # as the system does for a parent that was killed
        assert child.stdout.read() == ""
        assert child.wait(timeout=60) == 1
