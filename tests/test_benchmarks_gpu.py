"""The GPU benchmark, whole on a tiny model, where only torch and transformers are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ABSENT = (
    "streamlit", "sqlalchemy", "plotly", "gguf", "psutil", "pyarrow", "networkx",
    "sklearn", "PIL", "pyvis", "accelerate", "playwright",
)  # fmt: skip
CHILD = f"""
import importlib.util, runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(name, name=name)

whole = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] in {ABSENT!r} else whole(name, package)
)
sys.meta_path.insert(0, Nothing())
sys.argv = ["gpu", *sys.argv[1:]]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


def ran(*words):
    return subprocess.run(
        [sys.executable, "-c", CHILD, *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )


@pytest.mark.slow
def test_the_gpu_benchmark_runs_whole_where_there_is_little_installed(tmp_path):
    out = tmp_path / "gpu.md"
    run = ran("--device", "cpu", "--shapes", "tiny", "--out", str(out))
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert found["faults"] == []
    assert all(check["holds"] for check in found["checks"])
    assert {c["dtype"] for c in found["checks"]} == {"float32", "bfloat16"}
    assert len(found["speeds"]) == 2 * 2 * 3
    assert not [w["remark"] for w in found["works"] if "left out" in w["remark"]]
    assert "## Prefill and decode" in out.read_text("utf-8")


@pytest.mark.slow
def test_without_a_gpu_it_says_so_in_one_sentence():
    run = ran()
    assert run.returncode == 0
    assert run.stdout.startswith("There is no CUDA or MPS device here")
    assert run.stdout.count("\n") == 1
