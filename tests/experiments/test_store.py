"""The database of results: exact, shared by threads and processes, hard to break."""

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.paths import child_environment, results_file
from llmrank.core.process import this_process
from llmrank.evaluation.accuracy import TaskResult
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.latency import Latency, Timing
from llmrank.evaluation.peak_memory import MemoryPeak
from llmrank.evaluation.perplexity import TextEvaluation, perplexity_ratio
from llmrank.evaluation.speedup import Ratio, Speedup
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report
from llmrank.experiments.store import (
    Origin,
    RunSpec,
    Store,
    fingerprint,
    measured,
    schema,
)
from llmrank.experiments.store.serialisation import plain, rebuilt
from llmrank.methods.criteria import Random, Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningSpec

ORIGIN = Origin("c" * 64, "e" * 64, {"torch": "2.13.0", "measured_at": "2026-01-01"})


def text_of(seed, sha="e" * 64):
    """Doubles with all their digits, as windows give them."""
    draw = torch.Generator().manual_seed(seed)
    nll, correct = torch.rand(2, 8, generator=draw, dtype=torch.float64) + 1 / 3
    return TextEvaluation(nll, correct, "mill.txt", sha)


def task_of(name, seed):
    draw = torch.Generator().manual_seed(seed)
    right = torch.randint(2, (2, 30), generator=draw).to(torch.float32)
    chance = torch.full((30,), 1 / 3)
    return TaskResult(name, right[0], right[1], chance, torch.arange(30).flip(0))


def latency_of(seed):
    draw = torch.Generator().manual_seed(seed)
    ms = (torch.rand(15, generator=draw, dtype=torch.float64) * 100).tolist()
    return Latency(
        prefill=Timing(tuple(ms[:3]), 3),
        decode=Timing(tuple(ms[3:]), 3),
        batch=1,
        prompt_tokens=8,
        new_tokens=4,
        device="cpu",
        dtype="float32",
        processor="a processor",
        n_threads=2,
        torch_version="2.13.0",
        measured_at="2026-01-01T00:00:00+00:00",
    )


def side_of(seed):
    widths = (24 - seed, 20)
    footprint = Footprint(1000, 500, sum(widths), widths, 4000, 3000, 900, 400, 100)
    memory = MemoryPeak(10**8 + seed, 3 * 10**8, "a child process")
    tasks = (task_of("piqa", seed), task_of("boolq", seed))
    return Side(footprint, text_of(seed), tasks, latency_of(seed), memory)


FASTER = Speedup(
    Ratio(1 / 3, 0.1, 7.7, 1.5, 1.2, 3),
    Ratio(1.1, 0.9, float("inf"), 1.5, 1.2, 3),
    ("Prefill: it is not faster.",),
)
FOUND = Comparison(side_of(0), side_of(1), FASTER)


def cell_of(sparsity=0.3, criterion=None, measures=("text",), seed=0):
    experiment = Experiment(
        method=Method(criterion or Wanda()), pruning=PruningSpec(sparsity=sparsity)
    )
    return RunSpec(experiment.to_json(), seed, measures)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.sqlite3"


@pytest.fixture
def store(path):
    return Store(path)


def refusal(call, *args, **kwargs):
    with pytest.raises(LLMRankError) as caught:
        call(*args, **kwargs)
    said = str(caught.value)
    assert "\n" not in said
    return said


def assert_same(a, b):
    """Compare results to the last bit: classes, dtypes, shapes, numbers."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif dataclasses.is_dataclass(a):
        for f in dataclasses.fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name))
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def done_run(store, cell=None, found=FOUND, origin=ORIGIN):
    run_id = store.queue(cell or cell_of())
    assert store.claim(run_id, origin)
    store.finish(run_id, found)
    return run_id


# What goes in comes out


def test_what_was_measured_comes_back_to_the_last_bit(store, path):
    run_id = done_run(store)
    assert_same(store.comparison(run_id), FOUND)
    assert_same(Store(path).comparison(run_id), FOUND)


def test_what_was_measured_gives_the_same_ratios_afterwards(store):
    back = store.comparison(done_run(store))
    assert back.to_json() == FOUND.to_json()


def test_a_comparison_without_measurements_comes_back(store):
    bare = Comparison(Side(FOUND.dense.footprint), Side(FOUND.pruned.footprint))
    assert_same(store.comparison(done_run(store, found=bare)), bare)
    assert measured(bare) == ()


def test_the_codec_keeps_numbers_that_json_does_not_know():
    odd = torch.tensor([float("inf"), float("nan"), -0.0, 5e-324], dtype=torch.float64)
    text = TextEvaluation(odd, odd.float(), "x", "y")
    back = rebuilt(TextEvaluation, json.loads(json.dumps(plain(text))))
    assert back.nll.view(torch.int64).tolist() == odd.view(torch.int64).tolist()
    assert back.correct.dtype == torch.float32


def test_a_field_that_is_new_takes_its_default_and_an_old_one_is_left_out():
    values = plain(FOUND)
    del values["dense"]["memory"]
    values["dense"]["no_longer_there"] = 1
    assert rebuilt(Comparison, values).dense.memory is None


def test_what_was_measured_before_windows_were_noted_had_512_without_bos():
    values = plain(FOUND)
    for side in ("dense", "pruned"):
        del values[side]["text"]["seq_len"], values[side]["text"]["bos"]
    old = rebuilt(Comparison, values)
    assert (old.dense.text.seq_len, old.dense.text.bos) == (512, "")
    assert old.perplexity_ratio == FOUND.perplexity_ratio


def test_a_field_that_is_missing_is_said():
    values = plain(FOUND)
    del values["dense"]["footprint"]["n_params"]
    said = refusal(rebuilt, Comparison, values)
    assert "written by another version" in said
    assert "n_params" in said


def test_the_columns_are_the_measured_figures(store):
    run = store.run(done_run(store))
    assert run.n_params == FOUND.pruned.footprint.n_params
    assert run.perplexity == FOUND.pruned.text.perplexity.value
    assert run.ratio == perplexity_ratio(FOUND.dense.text, FOUND.pruned.text)


def test_a_run_keeps_its_recipe_and_its_origin(store):
    cell = cell_of(0.125, Random(seed=7), ("text", "latency"), seed=7)
    run = store.run(done_run(store, cell))
    assert run.spec == cell
    assert run.origin == ORIGIN
    assert run.experiment.method.criterion == Random(seed=7)
    assert run.experiment.pruning.sparsity == 0.125


def test_a_recipe_of_a_criterion_that_is_gone_is_listed_and_says_so(store):
    cell = cell_of()
    cell.recipe["criterion"] = {"name": "forgotten"}
    run = store.run(done_run(store, cell))
    with pytest.raises(OptionError, match="forgotten"):
        _ = run.experiment
    assert_same(store.comparison(run.id), FOUND)


def test_a_report_is_kept_without_an_arena(store):
    report = Report(Experiment(), ORIGIN.environment, "c" * 64, FOUND)
    run = store.run(store.add_report(report))
    assert (run.state, run.arenas) == ("done", ())
    assert run.spec.measures == ("text", "tasks", "latency", "memory")
    assert run.origin == ORIGIN
    assert run.experiment == report.experiment


@pytest.mark.parametrize("what", ["text", "tasks", "latency", "memory"])
def test_what_was_measured_is_told_apart(what):
    def without(side):
        empty = () if what == "tasks" else None
        return dataclasses.replace(side, **{what: empty})

    found = Comparison(
        without(FOUND.dense),
        without(FOUND.pruned),
        None if what == "latency" else FASTER,
    )
    assert what not in measured(found)
    assert len(measured(found)) == 3


# States


def test_a_run_is_queued_then_running_then_done(store):
    run_id = store.queue(cell_of())
    assert store.run(run_id).state == "queued"
    assert store.claim(run_id, ORIGIN)
    assert store.run(run_id).state == "running"
    assert store.comparison(run_id) is None
    store.finish(run_id, FOUND)
    run = store.run(run_id)
    assert run.state == "done"
    assert run.created < run.started < run.finished


def test_a_run_is_taken_once(store):
    run_id = store.queue(cell_of())
    assert store.claim(run_id, ORIGIN)
    assert not store.claim(run_id, ORIGIN)
    store.finish(run_id, FOUND)
    assert not store.claim(run_id, ORIGIN)


def test_of_many_threads_that_want_a_run_one_gets_it(store):
    run_id = store.queue(cell_of())
    barrier = threading.Barrier(8, timeout=60)

    def take(_):
        barrier.wait()
        return store.claim(run_id, ORIGIN)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_what_failed_says_why_and_may_be_tried_again(store, end):
    run_id = store.queue(cell_of())
    store.claim(run_id, ORIGIN)
    getattr(store, end)(run_id, "flap needs two texts")
    run = store.run(run_id)
    assert run.state == {"fail": "failed", "cancel": "cancelled"}[end]
    assert run.reason == "flap needs two texts"
    assert store.claim(run_id, ORIGIN)
    assert store.run(run_id).reason == ""


def test_a_run_that_was_deleted_while_it_ran_stays_deleted(store):
    run_id = store.queue(cell_of())
    store.claim(run_id, ORIGIN)
    assert store.delete([run_id]) == 1
    store.finish(run_id, FOUND)
    assert store.runs() == ()
    assert run_id in refusal(store.run, run_id)


# Found again


def test_a_finished_run_is_found_by_what_decides_its_numbers(store):
    run_id = done_run(store)
    later = dict(ORIGIN.environment, measured_at="2027-12-31")
    same = dataclasses.replace(ORIGIN, environment=later)
    assert store.done(cell_of(), same).id == run_id


@pytest.mark.parametrize(
    ("cell", "origin"),
    [
        (cell_of(0.31), ORIGIN),
        (cell_of(criterion=Random()), ORIGIN),
        (cell_of(measures=("text", "memory")), ORIGIN),
        (cell_of(), dataclasses.replace(ORIGIN, evaluation_sha256="f" * 64)),
        (cell_of(), dataclasses.replace(ORIGIN, calibration_sha256="f" * 64)),
        (cell_of(), dataclasses.replace(ORIGIN, environment={"torch": "2.14.0"})),
    ],
)
def test_what_would_measure_something_else_is_not_found(store, cell, origin):
    done_run(store)
    assert store.done(cell, origin) is None


def test_a_run_that_measured_more_is_enough(store):
    run_id = done_run(store, cell_of(measures=("text", "tasks", "latency")))
    assert store.done(cell_of(measures=("tasks",)), ORIGIN).id == run_id


def test_what_is_not_done_is_not_found(store):
    run_id = store.queue(cell_of())
    store.claim(run_id, ORIGIN)
    assert store.done(cell_of(), ORIGIN) is None
    store.fail(run_id, "no")
    assert store.done(cell_of(), ORIGIN) is None


def test_the_order_of_names_in_a_recipe_does_not_matter():
    recipe = cell_of().recipe
    turned = {k: recipe[k] for k in reversed(recipe)}
    assert fingerprint(recipe, ORIGIN) == fingerprint(turned, ORIGIN)


def test_runs_are_listed_newest_first_and_filtered(store):
    first = done_run(store, cell_of(0.1))
    other = cell_of(0.2)
    other.recipe["model"]["name"] = "another"
    second, third = store.queue(other), store.queue(cell_of(0.3))
    assert [r.id for r in store.runs()] == [third, second, first]
    assert [r.id for r in store.runs(columns={"model": ["another"]})] == [second]
    assert [r.id for r in store.runs(states=("queued",))] == [third, second]
    assert [r.id for r in store.runs(limit=1)] == [third]
    assert [r.id for r in store.runs(recipe=cell_of(0.1).recipe)] == [first]


# Arenas


def test_an_arena_keeps_its_description_and_the_order_of_its_cells(store):
    cells = [cell_of(s) for s in (0.5, 0.1, 0.3)]
    arena = store.add_arena({"models": ["demo"], "x": 1 / 3}, cells)
    done_run(store)
    assert store.arena(arena).description == {"models": ["demo"], "x": 1 / 3}
    assert [r.spec for r in store.runs(arena=arena)] == cells
    assert [r.spec for r in store.runs_by_place(arena).values()] == cells
    assert store.arena(arena).n_runs == 3


def test_an_arena_counts_what_is_done_and_what_failed(store):
    arena = store.add_arena({}, [cell_of(s) for s in (0.1, 0.2, 0.3)])
    first, second, _ = store.runs(arena=arena)
    store.claim(first.id, ORIGIN)
    store.finish(first.id, FOUND)
    store.fail(second.id, "no")
    found = store.arena(arena)
    assert (found.n_runs, found.n_done, found.n_failed) == (3, 1, 1)
    assert found.finished is None
    store.finish_arena(arena)
    assert store.arena(arena).finished is not None
    assert store.arenas() == (store.arena(arena),)


def test_a_run_may_stand_in_two_arenas(store):
    known = done_run(store)
    arenas = [store.add_arena({}, [cell_of()]) for _ in range(2)]
    for arena in arenas:
        assert store.fill(arena, 0, known) == known
    assert [r.id for r in store.runs()] == [known]  # the placeholders are gone
    assert set(store.run(known).arenas) == set(arenas)


def test_a_run_that_was_begun_is_kept_when_another_takes_its_place(store):
    arena = store.add_arena({}, [cell_of()])
    before = store.runs_by_place(arena)[0].id
    store.claim(before, ORIGIN)
    store.finish(before, FOUND)
    after = store.fill(arena, 0, cell_of(0.4))
    assert [r.id for r in store.runs(arena=arena)] == [after]
    assert store.run(before).state == "done"


def test_a_deleted_run_leaves_its_place_empty(store):
    arena = store.add_arena({}, [cell_of(s) for s in (0.1, 0.2)])
    store.delete([store.runs_by_place(arena)[0].id])
    assert list(store.runs_by_place(arena)) == [1]
    store.fill(arena, 0, cell_of(0.1))
    assert list(store.runs_by_place(arena)) == [0, 1]


def test_a_deleted_arena_leaves_its_runs(store):
    arena = store.add_arena({}, [cell_of()])
    done = store.runs_by_place(arena)[0].id
    store.claim(done, ORIGIN)
    store.finish(done, FOUND)
    store.delete_arena(arena)
    assert store.arenas() == ()
    assert [r.id for r in store.runs()] == [done]
    assert arena in refusal(store.arena, arena)


def test_what_a_deleted_arena_never_began_goes_with_it(store):
    asked = [cell_of(s) for s in (0.1, 0.2, 0.3)]
    arena, other = store.add_arena({}, asked), store.add_arena({"a": 1}, asked[:1])
    _, shared, begun = (store.runs_by_place(arena)[place].id for place in range(3))
    store.fill(other, 0, shared)
    store.claim(begun, ORIGIN)
    store.delete_arena(arena)
    assert {r.id for r in store.runs()} == {shared, begun}


def test_a_deleted_arena_takes_no_runs(store):
    arena = store.add_arena({}, [cell_of()])
    store.delete_arena(arena)
    assert arena in refusal(store.fill, arena, 0, cell_of())
    assert store.runs() == ()


# Who works on it


CHILD = """
import sys, time
from pathlib import Path
from llmrank.experiments.store import Store, Origin
store = Store(Path(sys.argv[1]))
assert store.claim(sys.argv[2], Origin("c", "e", {}))
print("running", flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def child_running(*words):
    """A child that has said that it runs; whatever happens, it ends with the test."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    with child:
        try:
            assert child.stdout.readline() == "running\n"
            yield child
        finally:
            child.kill()


@pytest.mark.slow
def test_a_killed_process_leaves_its_run_to_others(store, path):
    run_id = store.queue(cell_of())
    with child_running(path, run_id) as child:
        assert store.requeue_abandoned() == 0
        assert not store.claim(run_id, ORIGIN)
        os.kill(child.pid, signal.SIGKILL)
        # Nobody has waited for it: it stays as a zombie.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert store.requeue_abandoned() == 1
    assert store.run(run_id).state == "queued"
    assert store.claim(run_id, ORIGIN)


def test_opening_puts_abandoned_runs_back_in_line(store, path):
    dead, alive = store.queue(cell_of(0.1)), store.queue(cell_of(0.2))
    for run_id in (dead, alive):
        store.claim(run_id, ORIGIN)
    with raw(path) as file:
        file.execute("UPDATE runs SET owner_started = 1 WHERE id = ?", [dead])
    again = Store(path)
    assert again.run(dead).state == "queued"
    assert again.run(alive).state == "running"


def test_an_owner_is_its_process_and_no_other():
    me = this_process()
    assert me.is_alive
    assert not dataclasses.replace(me, started=me.started - 3600).is_alive
    assert not dataclasses.replace(me, host="another-container").is_alive
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        pass
    assert not dataclasses.replace(me, pid=gone.pid).is_alive


# Shared


def test_threads_write_side_by_side(store):
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda s: done_run(store, cell_of(s / 100)), range(24)))
    assert len(set(ids)) == len(store.runs(states=("done",))) == 24


OPENER = """
import sys
from pathlib import Path
from llmrank.experiments.store import Store, RunSpec
sys.stdin.readline()
store = Store(Path(sys.argv[1]))
recipe = {"model": {"name": "m"}, "pruning": {"sparsity": 0.5}}
for seed in range(10):
    store.queue(RunSpec(recipe, seed, ("text",)))
"""


@pytest.mark.slow
def test_processes_make_and_fill_one_file_at_once(path):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment(),
        )
        for _ in range(4)
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0] * 4, said
    assert len(Store(path).runs()) == 40


def test_a_reader_goes_on_while_another_writes(store, path):
    store.queue(cell_of())
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM runs")
        assert len(store.runs()) == 1
        other.execute("ROLLBACK")


def test_a_short_lock_is_waited_for(path):
    store = Store(path, wait_s=20.0)
    with raw(path) as other, ThreadPoolExecutor(1) as pool:
        other.execute("BEGIN IMMEDIATE")
        adding = pool.submit(store.queue, cell_of())
        time.sleep(0.3)
        assert not adding.done()
        other.execute("ROLLBACK")
        assert store.run(adding.result(30)).state == "queued"


# Faults


@contextlib.contextmanager
def raw(path):
    """The file without our code."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def test_a_locked_file_is_said_and_nothing_is_lost(path):
    store = Store(path, wait_s=0.1)
    run_id = store.queue(cell_of())
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        said = refusal(store.queue, cell_of())
        assert f"{path} is locked by another process; wait" in said
        other.execute("ROLLBACK")
    assert [r.id for r in store.runs()] == [run_id]


@contextlib.contextmanager
def full_disk(size):
    """No file of this process grows beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fails_is_said_and_nothing_is_lost(store):
    kept = done_run(store)
    run_id = store.queue(cell_of(0.4))
    store.claim(run_id, ORIGIN)
    with full_disk(8192):
        said = refusal(store.finish, run_id, FOUND)
    assert said.startswith("the disk failed while")
    assert "try again" in said
    assert_same(store.comparison(kept), FOUND)
    assert store.run(run_id).state == "running"
    store.finish(run_id, FOUND)
    assert_same(store.comparison(run_id), FOUND)


def test_a_run_whose_end_could_not_be_written_is_measured_again(store):
    run_id = store.queue(cell_of(0.4))
    store.claim(run_id, ORIGIN)
    with full_disk(8192):
        refusal(store.finish, run_id, FOUND)
        refusal(store.fail, run_id, "why")
    assert store.requeue_abandoned() == 1
    assert store.requeue_abandoned() == 0
    assert store.claim(run_id, ORIGIN)
    assert store.requeue_abandoned() == 0  # this process works on it
    store.finish(run_id, FOUND)
    assert_same(store.comparison(run_id), FOUND)


def test_a_full_disk_is_said_and_nothing_is_lost(store, monkeypatch):
    """SQLite's own limit gives the very error of a full disk."""
    kept = done_run(store)
    connect = sqlite3.connect

    def small(*args, **kwargs):
        connection = connect(*args, **kwargs)
        connection.execute("PRAGMA max_page_count = 1")  # no page more than now
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", small)
        said = refusal(lambda: [done_run(store) for _ in range(20)])
    assert said.startswith("the disk is full and")
    assert "free some space" in said
    assert_same(store.comparison(kept), FOUND)
    done_run(store)


@contextlib.contextmanager
def as_nobody():
    """Root may write anywhere, so be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_folder():
    """A folder that somebody else can look into; pytest's own are closed."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights are those of Unix")
@pytest.mark.parametrize("mode", [0o555, 0o777])
def test_a_read_only_file_is_read_and_says_that_it_cannot_be_written(
    shared_folder, mode
):
    path = shared_folder / "results.sqlite3"
    kept = done_run(Store(path))
    path.chmod(0o444)
    shared_folder.chmod(mode)
    with as_nobody():
        store = Store(path)
        assert_same(store.comparison(kept), FOUND)
        said = refusal(store.queue, cell_of())
    assert f"{path} can be read but not written to; make the file" in said
    path.chmod(0o644)
    shared_folder.chmod(0o755)
    assert [r.id for r in Store(path).runs()] == [kept]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights are those of Unix")
def test_a_file_in_a_read_only_folder_is_read(shared_folder):
    """The log cannot lie there, even though the file itself could be written."""
    path = shared_folder / "results.sqlite3"
    kept = done_run(Store(path))
    path.chmod(0o666)
    shared_folder.chmod(0o555)
    with as_nobody():
        store = Store(path)
        assert [r.id for r in store.runs()] == [kept]
        assert "not written to" in refusal(store.delete, [kept])


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights are those of Unix")
def test_a_new_file_in_a_read_only_folder_is_refused(shared_folder):
    shared_folder.chmod(0o555)
    with as_nobody():
        said = refusal(Store, shared_folder / "results.sqlite3")
        assert "cannot be opened; make the file and its folder" in said
        said = refusal(Store, shared_folder / "new" / "results.sqlite3")
        assert f"{shared_folder / 'new'} cannot be made" in said


def test_a_folder_is_no_database(tmp_path):
    assert refusal(Store, tmp_path).startswith(f"{tmp_path} is no file")


def test_a_newer_schema_is_refused_and_left_alone(store, path):
    done_run(store)
    with raw(path) as file:
        file.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        file.execute("CREATE TABLE of_the_future (x)")
    said = refusal(Store, path)
    assert f"newer version (schema {schema.VERSION + 1}; this one knows" in said
    with raw(path) as file:
        assert file.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        version = file.execute("PRAGMA user_version").fetchone()
        assert version == (schema.VERSION + 1,)


def test_another_programs_database_is_refused_and_left_alone(path):
    with raw(path) as file:
        file.execute("CREATE TABLE bookmarks (url)")
    before = path.read_bytes()
    assert "another program's database" in refusal(Store, path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"Dear diary, " * 1000)
    assert "is no database of results and was not changed" in refusal(Store, path)
    assert path.read_bytes() == b"Dear diary, " * 1000


def damage(path):
    """Overwrite all but the first page, in place."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(store, path):
    done_run(store)
    damage(path)
    broken = path.read_bytes()
    again = Store(path)
    assert again.runs() == ()
    (aside,) = path.parent.glob("results.damaged-*.sqlite3")
    assert aside.read_bytes() == broken
    assert str(aside) in again.notice
    assert "was damaged: it was moved to" in again.notice
    done_run(again)
    assert Store(path).notice is None


def test_a_file_cut_off_in_the_middle_is_moved_aside(store, path):
    for _ in range(5):
        done_run(store)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)
    assert "was damaged" in Store(path).notice


def test_rubbish_in_our_own_place_is_moved_aside(path, monkeypatch):
    monkeypatch.setenv("LLMRANK_DB", str(path))
    path.write_bytes(bytes(20_000))
    store = Store()
    assert "was damaged" in store.notice
    done_run(store)


def test_damage_that_is_met_later_is_said(store, path):
    done_run(store)
    damage(path)
    assert f"{path} is damaged; start again" in refusal(store.runs)


def test_the_default_place_is_below_the_home_folder(monkeypatch):
    monkeypatch.delenv("LLMRANK_DB")
    assert results_file() == Path.home() / ".local/share/llmrank/results.sqlite3"
    monkeypatch.setenv("LLMRANK_DB", "~/elsewhere.db")
    assert results_file() == Path.home() / "elsewhere.db"


def test_a_name_with_odd_characters_is_a_name(tmp_path):
    path = tmp_path / "a?b#c %41 ü.sqlite3"
    done_run(Store(path))
    assert path.exists()
    assert len(Store(path).runs()) == 1


# Schema


def test_the_steps_make_the_tables_that_are_asked(path):
    Store(path)
    with raw(path) as file:
        for table in (schema.arenas, schema.runs, schema.cells):
            made = file.execute(f"PRAGMA table_info({table.name})").fetchall()
            declared = [(c.name, not c.nullable or c.primary_key) for c in table.c]
            assert [(name, bool(nn or pk)) for _, name, _, nn, _, pk in made] == [
                (name, bool(needed)) for name, needed in declared
            ]
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert file.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_an_empty_file_becomes_a_database(path):
    path.touch()
    assert Store(path).runs() == ()


FIRST = """
CREATE TABLE arenas (id TEXT PRIMARY KEY, created TEXT NOT NULL, finished TEXT,
    description TEXT NOT NULL);
CREATE TABLE runs (id TEXT PRIMARY KEY, created TEXT NOT NULL, started TEXT,
    finished TEXT, state TEXT NOT NULL, reason TEXT NOT NULL, fingerprint TEXT,
    recipe TEXT NOT NULL, measures TEXT NOT NULL, seed INTEGER NOT NULL,
    calibration_sha256 TEXT, evaluation_sha256 TEXT, environment TEXT,
    owner_host TEXT, owner_pid INTEGER, owner_started REAL, model TEXT NOT NULL,
    criterion TEXT NOT NULL, allocation TEXT NOT NULL, repair TEXT NOT NULL,
    sparsity REAL NOT NULL, n_params INTEGER, perplexity REAL, ratio REAL,
    ratio_low REAL, ratio_high REAL, ratio_windows INTEGER, comparison TEXT);
CREATE TABLE cells (
    arena_id TEXT NOT NULL REFERENCES arenas(id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
    PRIMARY KEY (arena_id, place));
PRAGMA user_version = 1;
PRAGMA application_id = 1280135755;
INSERT INTO arenas VALUES ('a', '2026-01-01', NULL, '{"models": ["demo"]}');
INSERT INTO cells VALUES ('a', 0, 'r');
"""
"""A file of version 1 as it was released: it must be read for ever."""


_CHOSEN_LATER = ("bos", "control_tokens")
OLD_RECIPE = cell_of().recipe | {
    "model": {
        k: v for k, v in cell_of().recipe["model"].items() if k not in _CHOSEN_LATER
    }
}
"""As recipes were before it could be chosen how a model's tokens are read."""


@pytest.fixture
def first(path):
    """A file of version 1 with one finished run, made without our code."""
    values = {
        "id": "r",
        "created": "2026-01-01",
        "state": "done",
        "reason": "",
        "recipe": json.dumps(OLD_RECIPE),
        "measures": '["text"]',
        "seed": 0,
        "model": "demo",
        "criterion": "wanda",
        "allocation": "",
        "repair": "",
        "sparsity": 0.3,
        "comparison": json.dumps(plain(FOUND)),
    }
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    with raw(path) as file:
        file.execute("PRAGMA foreign_keys = OFF")
        file.executescript(FIRST)
        insert = f"INSERT INTO runs ({names}) VALUES ({marks})"
        file.execute(insert, list(values.values()))
    return path


def test_a_file_of_the_first_version_is_read(first):
    store = Store(first)
    (run,) = store.runs(arena="a")
    assert (run.id, run.state, run.spec.recipe) == ("r", "done", OLD_RECIPE)
    assert run.experiment.to_json() == cell_of().recipe
    assert_same(store.comparison("r"), FOUND)
    assert store.arena("a").n_done == 1
    done_run(store)


def test_a_file_of_an_older_version_takes_every_missing_step(first, monkeypatch):
    later = (
        ("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",),
        ("CREATE INDEX runs_by_note ON runs (note)",),
    )
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *later))
    monkeypatch.setattr(schema, "VERSION", len(schema.MIGRATIONS))
    for _ in range(2):  # the second time there is nothing to do
        assert_same(Store(first).comparison("r"), FOUND)
    with raw(first) as file:
        assert file.execute("SELECT id, note FROM runs").fetchall() == [("r", "")]
        assert file.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="rights are those of Unix")
def test_an_older_file_that_is_read_only_says_so(shared_folder, monkeypatch):
    path = shared_folder / "results.sqlite3"
    done_run(Store(path))
    path.chmod(0o444)
    shared_folder.chmod(0o555)
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with as_nobody():
        said = refusal(Store, path)
    assert "is of an older version" in said
    assert "make the file and its folder writable once" in said


def test_a_failed_step_leaves_the_older_file_as_it_was(store, path, monkeypatch):
    kept = done_run(store)
    steps = (*schema.MIGRATIONS, ("CREATE TABLE more (x)", "no SQL at all"))
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    monkeypatch.setattr(schema, "VERSION", len(steps))
    with pytest.raises(Exception, match="syntax error"):
        Store(path)
    monkeypatch.undo()
    assert [r.id for r in Store(path).runs()] == [kept]
    with raw(path) as file:
        names = file.execute("SELECT name FROM sqlite_master").fetchall()
        assert ("more",) not in names
