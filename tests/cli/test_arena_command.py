"""`python -m llmrank arena`: a line per cell, resumed, in files, refused."""

import csv
import io
import itertools
import os
import signal
import subprocess
import sys

import pytest
from test_main import command

from llmrank.core.formatting import number
from llmrank.core.paths import child_environment
from llmrank.evaluation import other_load
from llmrank.experiments.arena import ArenaSpec, entries, find
from llmrank.experiments.store import Store
from llmrank.methods.method import method

METHODS = "wanda, wanda+least-squares ,llm-rank:theta=0.25"


@pytest.fixture(scope="module")
def small(tiny_folder, tiny_text):
    """Arguments of cells that take seconds."""
    return [
        *("arena", "--models", tiny_folder, "--device", "cpu"),
        *("--calibration-text", tiny_text, "--samples", 4, "--seq-len", 64),
        *("--eval-text", tiny_text, "--eval-tokens", 1024),
        *("--prompt-tokens", 8, "--new-tokens", 2, "--repeats", 2),
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("arena")


@pytest.fixture(scope="module")
def grid(small, folder):
    return [
        *(*small, "--methods", METHODS, "--sparsities", "0.25,0.5"),
        *("--db", folder / "results.sqlite3"),
    ]


@pytest.fixture(scope="module")
def ran(grid, folder):
    files = ("--csv", folder / "all.csv", "--latex", folder / "paper.tex")
    return command(*grid, *files)


def test_it_prints_a_line_for_each_cell(ran, folder):
    assert ran.status == 0, ran.err
    head, *lines = ran.out.splitlines()
    assert head.startswith("method")
    assert head.endswith("decode, × as fast")
    store = Store(folder / "results.sqlite3")
    found = entries(store.arenas()[0].id, store)
    assert len(found) == 6
    for line, entry in zip(lines, found, strict=False):
        text = entry.comparison.pruned.text.perplexity
        assert line.startswith(entry.method.name)
        assert f" {number(text.value)} [" in line
        assert f" {entry.run.n_params:,} " in line
    assert {e.method.name for e in found} == {
        "wanda",
        "wanda + least-squares",
        "llm-rank theta=0.25",
    }


def test_it_says_where_every_cell_stands(ran):
    _, _, said = ran.out.partition("\nperplexity and decode, × as fast:\n")
    cells = [
        cell
        for line in said.splitlines()
        for cell in line.split(": ", 1)[1].split("; ")
    ]
    assert len(cells) == 6
    assert "  cannot be told: " in said


def test_progress_and_the_forecast_go_to_stderr(ran, folder):
    assert "Cell 2 of 6, wanda at 50 %: Reading held-out text ..." in ran.err
    assert "5 of 6 cells to measure (3 methods × 2 sparsities" in ran.err
    assert f"kept in {folder / 'results.sqlite3'}; the same command goes on" in ran.err


def test_the_csv_has_every_figure_to_the_last_digit(ran, folder):
    assert ran.status == 0
    content = (folder / "all.csv").read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(content)))
    store = Store(folder / "results.sqlite3")
    found = entries(store.arenas()[0].id, store)
    assert [float(r["perplexity"]) for r in rows] == [
        e.comparison.pruned.text.perplexity.value for e in found
    ]
    assert [r["repair"] for r in rows] == ["none"] * 2 + ["least-squares"] * 2 + [
        "none"
    ] * 2
    assert [r["run"] for r in rows] == [e.run.id for e in found]


def test_the_table_for_a_paper_is_written(ran, folder):
    assert ran.status == 0
    written = (folder / "paper.tex").read_text("utf-8")
    assert written.startswith(r"\begin{tabular}")
    assert r"wanda + least-squares & 50 \% &" in written
    assert "run" not in written.splitlines()[2].split(" & ")


def test_the_same_command_measures_nothing_again(ran, grid):
    again = command(*grid)
    assert again.status == 0
    assert again.out == ran.out
    assert "Cell" not in again.err
    assert "All 6 cells are measured." in again.err


def test_more_sparsities_measure_only_those(ran, small, folder):
    assert ran.status == 0
    wider = command(
        *(*small, "--methods", "wanda", "--sparsities", "0.5,0.75"),
        *("--db", folder / "results.sqlite3"),
    )
    cells = {line.split(":")[0] for line in wider.err.splitlines() if "Cell" in line}
    assert cells == {"Cell 2 of 2, wanda at 75 %"}
    assert "is known once" not in wider.err


def test_seeds_and_models_have_columns_where_there_are_several(small, tmp_path):
    ran = command(
        *(*small, "--methods", "random", "--seeds", "3,4", "--measures", "text"),
        *("--db", tmp_path / "r.sqlite3"),
    )
    head, first, second, *_ = ran.out.splitlines()
    assert head.split()[:4] == ["method", "seed", "sparsity", "parameters"]
    assert first.split()[:2] == ["random", "3"]
    assert second.split()[:2] == ["random", "4"]
    figures = [line.split()[5] for line in (first, second)]
    assert figures[0] != figures[1]
    assert "decode" not in head


def test_a_cell_that_fails_says_why_in_its_line(small, tmp_path):
    ran = command(
        *(*small, "--methods", "wanda", "--measures", "text"),
        *("--models", f"{small[2]},/no/such/folder", "--db", tmp_path / "r.sqlite3"),
    )
    assert ran.status == 0
    (line,) = [line for line in ran.out.splitlines() if "failed: " in line]
    assert line.split()[:2] == ["wanda", "/no/such/folder"]
    assert "/no/such/folder" in line.split("failed: ")[1]


def test_an_arena_of_failures_is_an_error(small, tmp_path):
    ran = command(
        *(*small, "--methods", "wanda", "--models", "/no/such/folder"),
        *("--db", tmp_path / "r.sqlite3"),
    )
    assert ran.status == 2
    assert "error: no cell could be measured; the first says: " in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--methods", "wnda"), "unknown part of a method 'wnda'; there are: "),
        (("--methods", ","), "an arena needs methods; name at least one"),
        (("--methods", "l1", "--sparsities", "a"), "sparsities must be numbers"),
        (("--methods", "l1", "--sparsities", "1"), "sparsity must lie in [0, 1)"),
        (("--methods", "l1", "--seeds", "0.5"), "seeds must be numbers separated by"),
        (("--methods", "l1", "--measures", "speed"), "unknown measure 'speed'"),
        (("--methods", "l1", "--measures", "tasks"), "none is named"),
        (("--methods", "l1", "--csv", "/no/such/x.csv"), "does not exist"),
        (("--methods", "l1", "--db", "/dev/null"), "is no file"),
    ],
)
def test_bad_input_is_one_sentence(words, said):
    ran = command("arena", *words)
    assert ran.status == 2
    (line,) = ran.err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert ran.out == ""


@pytest.mark.slow
def test_an_interrupted_arena_goes_on(small, tmp_path):
    """Control-C in a cell: it is put down as cancelled, the rest waits.

    The pipe holds what half of the cells say, and nobody reads ahead, so that the
    command cannot end before it is stopped.
    """
    names = [f"llm-rank:theta=0.12345{n}:gamma=0.12345{n}" for n in (6, 7)]
    sparsities = ",".join(str(n / 25) for n in range(1, 21))
    words = [
        *(*small, "--methods", ",".join(names), "--sparsities", sparsities),
        *("--measures", "text", "--db", tmp_path / "r.sqlite3"),
    ]
    # where the tests run in the background, Control-C is ignored and would stay so
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(
        [sys.executable, "-m", "llmrank", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pipesize=4096,
        env=child_environment(),
    )
    signal.signal(signal.SIGINT, before)
    with child:
        for line in child.stderr:
            if line.startswith(b"Cell 2 "):
                os.kill(child.pid, signal.SIGINT)
                break
        out, err = (said.decode() for said in child.communicate())
    assert child.returncode == 130
    assert "stopped; nothing half-written was left" in err
    assert "the same command goes on" in err
    store = Store(tmp_path / "r.sqlite3")
    kept = [r.state for r in store.runs(arena=store.arenas()[0].id)]
    assert kept[0] == "done"
    assert "running" not in kept
    assert "llm-rank theta=0.123456" in out
    again = command(*words)
    assert again.status == 0
    assert "Cell 1 of 40" not in again.err
    spec = ArenaSpec.from_json(store.arenas()[0].description)
    assert spec.methods == tuple(method(name) for name in names)
    assert {r.state for r in store.runs(arena=find(spec, store))} == {"done"}


def test_where_every_timing_is_disturbed_sizes_are_compared(
    small, tmp_path, monkeypatch
):
    clock = itertools.count()

    def crowded():
        at_s = float(next(clock))
        return other_load.Load(at_s, busy_s=100 * at_s, own_s=at_s, thread_s=at_s)

    monkeypatch.setattr(other_load, "now", crowded)
    found = command(
        *(*small, "--methods", "wanda", "--sparsities", "0.5"),
        *("--db", tmp_path / "results.sqlite3"),
    )
    assert found.status == 0, found.err
    assert "perplexity and parameters:" in found.out
    assert "disturbed" in found.out
