"""Uploads: each visitor's own, whole, bounded, and gone when they should be."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmrank import mlp
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core import durable, uploads
from llmrank.core.cache import Cache
from llmrank.core.errors import LLMRankError
from llmrank.core.permissions import Asker, asking
from llmrank.core.process import this_process
from llmrank.data import texts
from llmrank.evaluation.comparison import Comparison, Side
from llmrank.evaluation.footprint import Footprint
from llmrank.evaluation.perplexity import EvaluationSpec, TextEvaluation
from llmrank.experiments.arena import ArenaSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.settings import command_line, snippet
from llmrank.experiments.store import Origin, RunSpec, Store
from llmrank.experiments.store.row_mapping import as_run
from llmrank.methods.criteria import criterion
from llmrank.methods.method import Method, label, method, written
from llmrank.mlp import tables
from pages.shared.app.escape import plain

A, B = Asker("a", stranger=True), Asker("b", stranger=True)
TABLE = "\n".join(["x,label", *(f"{i},{'ab'[i % 2]}" for i in range(40))]).encode()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    return tmp_path / "uploads"


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def kept(content: bytes, whose: Asker = A) -> str:
    with asking(whose):
        return uploads.keep(content, "mine.txt")


def opens(source: str, whose: Asker = A) -> bool:
    with asking(whose):
        return uploads.is_open(source)


def used(source: str, seconds: float, whose: Asker = A) -> None:
    """Have an upload been used at a time."""
    with asking(whose):
        os.utime(uploads.path(source), (seconds, seconds))


def test_an_upload_opens_for_its_visitor_alone(folder):
    source = kept(b"a secret")
    with asking(A):
        assert uploads.content(source) == b"a secret"
    for other in (B, Asker()):
        with asking(other), pytest.raises(LLMRankError, match="another visitor's"):
            uploads.content(source)
    assert files(folder)[0].parent.stat().st_mode & 0o077 == 0
    assert next(folder.iterdir()).stat().st_mode & 0o077 == 0


def test_a_table_opens_for_its_visitor_alone():
    with asking(A):
        source = tables.keep(TABLE, "mine.csv")
        assert len(mlp.examples(mlp.DataSpec(source)).train_y) == 32
    with asking(B), pytest.raises(LLMRankError, match="another visitor's"):
        mlp.examples(mlp.DataSpec(source))


@pytest.mark.parametrize(
    "name", ["../a/{}", "{}/../{}", "{}\0", "", "..", "/etc/hosts"]
)
def test_no_name_leads_to_anothers_folder(name):
    digest = kept(b"a secret").removeprefix(uploads.UPLOADED)
    with asking(B), pytest.raises(LLMRankError, match="another visitor's"):
        uploads.path(uploads.UPLOADED + name.replace("{}", digest))


@pytest.mark.parametrize("damaged", [b"", b"a sec", b"another"])
def test_a_damaged_upload_is_not_read_and_is_written_again(folder, damaged):
    source = kept(b"a secret")
    files(folder)[0].write_bytes(damaged)
    with asking(A):
        with pytest.raises(LLMRankError, match="damaged on the disk; upload the file"):
            texts.text(source, "evaluation")
        assert kept(b"a secret") == source
        assert texts.text(source, "evaluation").content == "a secret"


def test_a_disk_that_refuses_tells_no_path(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "file"))
    with pytest.raises(LLMRankError, match="cannot be kept: the server") as caught:
        kept(b"a secret")
    assert str(tmp_path) not in str(caught.value)


def test_a_visitors_uploads_are_bounded_and_the_oldest_makes_room(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 300)
    theirs = kept(b"t" * 100, B)
    sources = []
    for i in range(11):
        sources.append(kept(bytes([65 + i]) * 100))
        used(sources[-1], 1000 + i)
    mine = [p for p in files(folder) if p.parent.name == "a"]
    assert sum(p.stat().st_size for p in mine) <= 300
    with asking(A):
        assert uploads.content(sources[-1]) == b"K" * 100
        with pytest.raises(LLMRankError, match="upload the file again"):
            uploads.content(sources[0])
    with asking(B):
        assert uploads.content(theirs) == b"t" * 100
    with pytest.raises(LLMRankError, match="until their tabs are closed"):
        kept(b"x" * 301)
    assert [p for p in files(folder) if p.parent.name == "a"] == mine


def test_what_is_used_makes_no_room_before_what_is_not(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 200)
    first, second = kept(b"1" * 100), kept(b"2" * 100)
    used(first, 1000)
    used(second, 2000)
    assert opens(first)
    kept(b"3" * 100)
    assert opens(first)
    assert not opens(second)


def test_what_a_job_reads_makes_no_room(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 200)
    tab, read = uploads.visit("a"), kept(b"1" * 100)
    let_go = uploads.hold("a")
    later = kept(b"2" * 100)
    used(read, 1000)
    newest = kept(b"3" * 100)
    assert opens(read)
    assert not opens(later)
    with pytest.raises(LLMRankError, match="what a job reads until it has ended"):
        kept(b"4" * 101)
    assert opens(newest)
    used(read, 1000)
    let_go()
    kept(b"4" * 100)
    assert opens(newest)
    assert not opens(read)
    tab()


def test_all_uploads_together_are_bounded(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES_OF_ALL", 250)
    kept(b"a" * 100)
    kept(b"b" * 100, B)
    with pytest.raises(LLMRankError, match="cannot be kept: this server keeps"):
        kept(b"c" * 100, Asker("c"))
    uploads.visit("a")()
    kept(b"c" * 100, Asker("c"))


def test_uploads_stay_until_the_last_tab_and_the_last_job_have_let_go(folder):
    first, second = uploads.visit("a"), uploads.visit("a")
    source = kept(b"a secret")
    theirs = kept(b"theirs", B)
    jobs = [uploads.hold("a"), uploads.hold("a")]
    for let_go in (first, jobs[0], second):
        let_go()
        let_go()
        assert opens(source)
    jobs[1]()
    assert not opens(source)
    assert opens(theirs, B)
    assert len(files(folder)) == 1
    assert "a" not in uploads._holders


def test_who_comes_back_while_a_job_reads_keeps_what_is_there():
    tab, source = uploads.visit("a"), kept(b"a secret")
    job = uploads.hold("a")
    tab()
    back = uploads.visit("a")
    job()
    assert opens(source)
    back()
    assert not opens(source)


def test_what_was_made_of_an_upload_is_forgotten_with_it():
    """But not what somebody else has given too, nor what is another's."""
    memo = Cache(8)
    shared, mine = kept(b"known to both"), kept(b"a secret")
    kept(b"known to both", B)
    for key in ((mlp.DataSpec(mine), 1), mlp.DataSpec(shared), mlp.DataSpec("digits")):
        memo.put(key, "made of it")
    uploads.visit("a")()
    left = [key for key, _ in memo.items()]
    assert left == [mlp.DataSpec(shared), mlp.DataSpec("digits")]
    uploads.visit("b")()
    assert [key for key, _ in memo.items()] == [mlp.DataSpec("digits")]


def test_what_was_made_of_an_upload_that_made_room_is_forgotten(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 100)
    memo, source = Cache(8), kept(b"1" * 100)
    memo.put(source, "made of it")
    kept(b"2" * 100)
    assert memo.peek(source) is None


SERVER = """
import sys
from llmrank.core import uploads
uploads.keep(b"of another server", "theirs.txt")
print("kept", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(folder):
    """Another server on the same cache, with an upload that is days old."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout.readline() == b"kept\n"
        for path in folder.rglob("*"):
            os.utime(path, (1000, 1000))
        yield child
        child.kill()


def test_what_a_living_server_keeps_stays_and_what_a_killed_one_left_goes(
    folder, server
):
    (theirs,) = files(folder)
    kept(b"mine")
    uploads.sweep()
    assert theirs.is_file()
    server.kill()
    server.wait()
    uploads.sweep()
    assert [p.read_bytes() for p in files(folder)] == [b"mine"]


def test_what_a_killed_server_left_takes_no_room(folder, server, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES_OF_ALL", 20)
    kept(b"1")
    with pytest.raises(LLMRankError, match="MB for all"):
        kept(b"2" * 10)
    server.kill()
    server.wait()
    kept(b"2" * 10)
    assert len(files(folder)) == 2


def test_a_server_that_ends_by_itself_leaves_nothing(folder, server):
    server.communicate()
    assert not list(folder.iterdir())


@pytest.mark.usefixtures("server")
def test_one_server_removes_nothing_of_another_for_the_same_browser(folder):
    (theirs,) = files(folder)
    with asking(Asker(theirs.parent.name)):
        assert not uploads.is_open(uploads.UPLOADED + theirs.name)
        uploads.keep(b"mine", "mine.txt")
    uploads.visit(theirs.parent.name)()
    assert files(folder) == [theirs]


def test_uploads_of_earlier_versions_go_and_nothing_else_does(tmp_path, folder):
    name = hashlib.sha256(b"x").hexdigest()
    old = [
        tmp_path / "texts" / f"{name}.txt", tmp_path / "tables" / f"{name}.csv",
        tmp_path / "tables" / "mine.csv", folder / "holder" / name,
        tmp_path / "other" / f"{name}.txt",
    ]  # fmt: skip
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    mine = durable.begin(folder)
    assert str(this_process().pid) in mine.name
    uploads.sweep()
    left = {path for path in old if path.exists()}
    assert left == {old[2], old[4]}
    assert not (tmp_path / "texts").exists()
    assert mine.is_dir()


def test_a_run_names_a_foreign_text_nowhere():
    source = kept(b"a secret")
    digest = hashlib.sha256(b"a secret").hexdigest()
    recipe = {
        "calibration": {"calibration_text": source},
        "evaluation": {"eval_text": "embedded"},
        "criterion": {"name": "gprune", "second_text": source},
    }
    row = dict.fromkeys(
        ["started", "finished", "n_params", "perplexity", "ratio"]
    ) | {
        "id": "1", "state": "failed", "reason": f"{source} was too short",
        "recipe": recipe, "seed": 0, "measures": ["text"], "created": "2026",
        "calibration_sha256": digest, "evaluation_sha256": "e",
        "environment": {"second_text": digest, "device": "cpu"},
    }  # fmt: skip
    with asking(A):
        assert as_run(row, ()).spec.recipe == recipe
        assert as_run(row, ()).origin.calibration_sha256 == digest
    with asking(B):
        told = repr(as_run(row, ())) + repr(as_run(row, ()).spec.recipe)
        told += repr(as_run(row, ()).origin)
    assert digest not in told
    assert told.count(uploads.ANOTHERS) == 5
    assert "'eval_text': 'embedded'" in told


def side_of(seed: int, digest: str) -> Side:
    nll = torch.rand(8, generator=torch.Generator().manual_seed(seed)).double()
    text = TextEvaluation(nll, nll, "an uploaded text", digest)
    return Side(Footprint(9, 5, 40, (20, 20), 9, 9, 9, 9, 9), text)


def hidden(source: str) -> Experiment:
    """An experiment that reads an upload at all three places."""
    return Experiment(
        calibration=CalibrationSpec(source),
        evaluation=EvaluationSpec(source),
        method=Method(criterion("gprune", second_text=source)),
    )


def test_runs_on_two_foreign_texts_are_two_experiments(tmp_path):
    store = Store(tmp_path / "results.sqlite3")
    first, second = kept(b"a secret"), kept(b"another")
    for source in (first, second, first):
        store.queue(RunSpec(hidden(source).to_json(), 0, ("text",)))
    with asking(B):
        told = [run.experiment for run in reversed(store.runs())]
    assert told[0] == told[2]
    assert told[0] != told[1]
    assert len({e.calibration for e in told}) == len({e.evaluation for e in told}) == 2
    for e in told:
        for source in e.texts:
            assert source.startswith(uploads.ANOTHERS)
            with asking(B), pytest.raises(LLMRankError, match="another visitor's"):
                texts.check(source)


def test_what_hides_a_text_cannot_be_tried_on_a_guess(monkeypatch):
    source = kept(b"a secret")
    with asking(B):
        told = uploads.masked(source)
        assert told == uploads.masked(source)
        monkeypatch.setattr(uploads, "_KEY", b"that of another process")
        assert told != uploads.masked(source)


def test_an_arena_and_what_it_measured_name_a_foreign_text_nowhere(tmp_path):
    store, source = Store(tmp_path / "results.sqlite3"), kept(b"a secret")
    digest = hashlib.sha256(b"a secret").hexdigest()
    spec = ArenaSpec(methods=(hidden(source).method,), base=hidden(source))
    store.add_arena(spec.to_json(), [])
    run_id = store.queue(RunSpec(hidden(source).to_json(), 0, ("text",)))
    store.claim(run_id, Origin(digest, digest, {"second_text": digest}))
    store.finish(run_id, Comparison(side_of(0, digest), side_of(1, digest)))
    with asking(A):
        assert ArenaSpec.from_json(store.arenas()[0].description) == spec
        assert digest in repr(store.comparison(run_id))
    with asking(B):
        told = ArenaSpec.from_json(store.arenas()[0].description)
        named = [repr(told), label(told.methods[0].criterion), told.methods[0].name]
        found = store.comparison(run_id)
        named += [repr(store.run(run_id)), repr(store.run(run_id).origin), repr(found)]
    assert found.perplexity_ratio is not None
    assert not [text for text in named if digest[:8] in text]


def test_what_repeats_an_experiment_names_a_foreign_text_nowhere():
    source = kept(b"a secret")
    of = hidden(source)
    with asking(A):
        assert command_line(of).count(source) == 3
        assert source in snippet(of)
        assert source in plain(source).replace("\\", "")
    with asking(B):
        for told in (command_line(of), snippet(of), plain(f"{source} is too short")):
            assert source not in told.replace("\\", "")
            assert uploads.ANOTHERS in told
        assert f"'{uploads.masked(source)}'" in command_line(of)  # one word of a shell


def test_a_second_text_that_was_given_competes_in_an_arena():
    source = kept(b"a secret")
    with asking(A):
        by = Method(criterion("gprune", second_text=source))
        assert method(f"gprune:second_text={source}") == by
        assert method(written(by)) == by
    with asking(B):
        told = uploads.masked(written(by))
        assert source not in told
        assert method(told).criterion.second_text == uploads.masked(source)


def test_what_a_foreign_second_text_gave_stands_in_no_list_of_points():
    source, usual = kept(b"a secret"), Experiment()
    of = usual.using(criterion=criterion("gprune", second_text=source))
    pipeline, side = Pipeline(), side_of(0, "e")
    for experiment in (usual, of):
        with asking(A):
            pipeline.pruned_text.put(experiment, (side.footprint, side.text))
    for whose, told in ((A, [usual, of]), (B, [usual])):
        with asking(whose):
            found = pipeline.evaluator.known_on_text(usual)
        assert list(found) == told
