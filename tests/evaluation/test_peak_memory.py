"""Peak memory: a child of its own, its failures, and what it measures."""

import json
import os
import subprocess
import sys
import time
from itertools import chain, repeat

import psutil
import pytest
import torch
from conftest import tiny_model

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation import peak_memory as memory
from llmrank.evaluation.decoding import BenchmarkSpec, inference_bytes
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.peak_memory import MemoryPeak, peak_memory
from llmrank.models import ffn
from llmrank.models.language_model import load

SPEC = BenchmarkSpec(prompt_tokens=8, new_tokens=2)


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Put a shell script in the place of the child's interpreter."""

    def replace(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return replace


def resized(model_type, *widths):
    lm = tiny_model(model_type)
    ffn.resize(lm.model, widths)
    return lm


def test_child_gets_shapes_and_lengths_on_stdin(tiny, python, tmp_path):
    answer = '{"baseline_bytes": 5, "peak_bytes": 12}'
    python(
        f'head -n 1 > {tmp_path}/request; echo "$@" > {tmp_path}/args; '
        f"echo '{answer}'"
    )
    peak = peak_memory(tiny, SPEC)
    assert peak == MemoryPeak(5, 12, "child process")
    assert peak.used_bytes == 7
    assert (tmp_path / "args").read_text() == "-m llmrank.evaluation.peak_memory\n"
    request = json.loads((tmp_path / "request").read_text())
    assert request["widths"] == [24, 24]
    assert request["dtype"] == "float32"
    assert request["spec"]["prompt_tokens"] == 8
    assert json.loads(request["config"])["model_type"] == "llama"


def test_failing_child_is_told_in_its_last_words(tiny, python):
    python("echo first >&2; echo 'KeyError: twelve' >&2; exit 3")
    with pytest.raises(LLMRankError, match=r"'KeyError: twelve' \(status 3\)"):
        peak_memory(tiny, SPEC)


@pytest.mark.parametrize(
    "script",
    ["kill -9 $$", 'echo "DefaultCPUAllocator: can\'t allocate memory" >&2; false'],
)
def test_child_that_ran_out_of_memory_gives_the_estimate(tiny, python, script):
    python(script)
    with pytest.raises(LLMRankError, match=r"needs about 0\.00 GB .* more than there"):
        peak_memory(tiny, SPEC)


def test_slow_child_is_stopped(tiny, python, tmp_path):
    python(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    with pytest.raises(LLMRankError, match=r"took more than 0\.5 s"):
        peak_memory(tiny, SPEC, timeout_s=0.5)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_a_child_is_told_what_to_measure_however_busy_the_machine(tiny, monkeypatch):
    """With no time for the first look, what `communicate` had not sent was lost."""
    patience = chain([0.0], repeat(memory.POLL_S))
    communicate = subprocess.Popen.communicate
    monkeypatch.setattr(
        subprocess.Popen,
        "communicate",
        lambda *args, **kw: communicate(*args, **kw | {"timeout": next(patience)}),
    )
    assert peak_memory(tiny, SPEC).used_bytes > 0


def test_cancelling_kills_the_child(tiny, python, tmp_path):
    pid_file = tmp_path / "pid"
    python(f"echo $$ > {pid_file}; exec sleep 600")

    def cancel(*_):
        if pid_file.exists() and pid_file.read_text().endswith("\n"):
            raise CancelledError

    started = time.monotonic()
    with pytest.raises(CancelledError):
        peak_memory(tiny, SPEC, progress=cancel)
    assert not psutil.pid_exists(int(pid_file.read_text()))
    assert time.monotonic() - started < 60


def test_model_larger_than_the_free_memory_starts_no_child(tiny, python, monkeypatch):
    python("exit 3")
    memory, need = psutil.virtual_memory(), inference_bytes(tiny, SPEC)
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: memory._replace(available=need - 1)
    )
    with pytest.raises(LLMRankError, match="more than there is"):
        peak_memory(tiny, SPEC)


def test_run_beyond_the_positions_starts_no_child(tiny, python):
    python("exit 3")
    with pytest.raises(LLMRankError, match="below 512, the positions"):
        peak_memory(tiny, BenchmarkSpec(new_tokens=600))


def least(lm, spec, *, enough):
    """The least of up to four runs: a process now and then holds more (buffers of the
    matrix library, huge pages) than its tensors need, never less."""
    peak = peak_memory(lm, spec).used_bytes
    for _ in range(3):
        if peak > enough:
            peak = min(peak, peak_memory(lm, spec).used_bytes)
    return peak


@pytest.mark.slow
def test_wider_layers_take_their_bytes_more_and_half_precision_half_of_them():
    """One token: activations are next to nothing. The widths differ by layer."""
    one = BenchmarkSpec(prompt_tokens=1, new_tokens=1)
    narrow, wide = resized("gpt2", 24, 24), resized("gpt2", 1_600_000, 800_000)
    more = footprint(wide).weight_bytes - footprint(narrow).weight_bytes
    low = peak_memory(narrow, one).used_bytes
    high = least(wide, one, enough=low + 1.15 * more)
    assert high - low == pytest.approx(more, rel=0.15)
    wide.model.to(torch.bfloat16)
    half = least(wide, one, enough=low + 1.15 * more / 2)
    assert half - low == pytest.approx(more / 2, rel=0.2)


@pytest.mark.slow
def test_estimate_is_close_to_the_measured_peak():
    demo = load("demo")
    long = BenchmarkSpec(prompt_tokens=2000, new_tokens=1)
    estimate = inference_bytes(demo, long)
    measured = least(demo, long, enough=1.1 * estimate)
    assert estimate == pytest.approx(measured, rel=0.1)


@pytest.mark.slow
def test_what_this_process_holds_is_not_counted(tiny):
    """Linux hands the parent's high-water mark on to the child's `ru_maxrss`."""
    ballast = torch.ones(2**28)
    assert psutil.Process(os.getpid()).memory_info().rss > ballast.nbytes
    peak = peak_memory(tiny, SPEC)
    assert 0 < peak.used_bytes < 100e6
    assert peak.peak_bytes < ballast.nbytes
