"""Uploads: each visitor's own, whole, bounded, and gone when they should be."""

import hashlib
import os
import time
from dataclasses import replace

import pytest
import torch

from llmrank import corpora, mlp, uploads
from llmrank.arena import ArenaSpec, Method, method, written
from llmrank.calibration import CalibrationSpec
from llmrank.comparison import Comparison, Side
from llmrank.criteria import criterion
from llmrank.curve import label
from llmrank.doors import Asker, asking
from llmrank.errors import LLMRankError
from llmrank.evaluation import EvaluationSpec, TextEvaluation
from llmrank.experiment import Experiment
from llmrank.footprint import Footprint
from llmrank.mlp import tables
from llmrank.settings import command_line, snippet
from llmrank.stages import Stages
from llmrank.store import Cell, Origin, Store
from llmrank.store.rows import as_run
from pages.shared.words import plain

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


def test_an_upload_opens_for_its_visitor_alone(folder):
    source = kept(b"a secret")
    with asking(A):
        assert uploads.content(source) == b"a secret"
    for other in (B, Asker()):
        with asking(other), pytest.raises(LLMRankError, match="another visitor's"):
            uploads.content(source)
    assert files(folder)[0].parent.stat().st_mode & 0o077 == 0


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
            corpora.text(source, "evaluation")
        assert kept(b"a secret") == source
        assert corpora.text(source, "evaluation").content == "a secret"


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
        path = folder / "a" / sources[-1].removeprefix(uploads.UPLOADED)
        os.utime(path, (time.time() - 100 + i,) * 2)
    assert sum(p.stat().st_size for p in files(folder / "a")) <= 300
    with asking(A):
        assert uploads.content(sources[-1]) == b"K" * 100
        with pytest.raises(LLMRankError, match="upload the file again"):
            uploads.content(sources[0])
    with asking(B):
        assert uploads.content(theirs) == b"t" * 100
    with pytest.raises(LLMRankError, match="until their tabs are closed"):
        kept(b"x" * 301)


def test_all_uploads_together_are_bounded(folder, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES_OF_ALL", 250)
    kept(b"a" * 100)
    kept(b"b" * 100, B)
    with pytest.raises(LLMRankError, match="cannot be kept: this server keeps"):
        kept(b"c" * 100, Asker("c"))
    uploads.remove("a")
    assert not (folder / "a").exists()
    kept(b"c" * 100, Asker("c"))


def test_what_a_killed_server_left_is_let_go_after_a_day(folder):
    kept(b"left", B)
    (left,) = files(folder)
    os.utime(left, (time.time() - uploads.FORGOTTEN_S - 10,) * 2)
    kept(b"new")
    assert left not in files(folder)
    assert len(files(folder)) == 1


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
        assert as_run(row, ()).cell.recipe == recipe
        assert as_run(row, ()).origin.calibration_sha256 == digest
    with asking(B):
        told = repr(as_run(row, ())) + repr(as_run(row, ()).cell.recipe)
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
        criterion=criterion("gprune", second_text=source),
    )


def test_runs_on_two_foreign_texts_are_two_experiments(tmp_path):
    store = Store(tmp_path / "results.sqlite3")
    first, second = kept(b"a secret"), kept(b"another")
    for source in (first, second, first):
        store.add(Cell(hidden(source).to_json(), 0, ("text",)))
    with asking(B):
        told = [run.experiment for run in reversed(store.runs())]
    assert told[0] == told[2]
    assert told[0] != told[1]
    assert len({e.calibration for e in told}) == len({e.evaluation for e in told}) == 2
    for e in told:
        for source in e.texts:
            assert source.startswith(uploads.ANOTHERS)
            with asking(B), pytest.raises(LLMRankError, match="another visitor's"):
                corpora.check(source)


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
    spec = ArenaSpec(methods=(Method.of(hidden(source)),), base=hidden(source))
    store.add_arena(spec.to_json(), [])
    run_id = store.add(Cell(hidden(source).to_json(), 0, ("text",)))
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
    of = replace(usual, criterion=criterion("gprune", second_text=source))
    stages, side = Stages(), side_of(0, "e")
    for e in (usual, of):
        found = (side.footprint, side.text)
        stages.keep_pruned_text(e.stage_specs, e.evaluation, found)
    for whose, told in ((A, [usual, of]), (B, [usual])):
        with asking(whose):
            found = stages.known_pruned_texts(usual.model, usual.evaluation)
        assert list(found) == [e.stage_specs for e in told]
