"""What is opened for whom, at the place where it is opened."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub.constants import HF_HUB_CACHE

from llmrank import mlp
from llmrank.core import permissions, whereabouts
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import named_path
from llmrank.core.permissions import Asker, allowed_roots, asking, check_path
from llmrank.core.variables import is_on, variable
from llmrank.data import texts
from llmrank.experiments.arena import ArenaSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.store import Store
from llmrank.methods.criteria import criterion
from llmrank.methods.method import Method
from llmrank.models import checkpoints, export, hub

STRANGER = Asker("somebody", stranger=True)


def refusal(function, *given):
    with pytest.raises(LLMRankError) as caught:
        function(*given)
    return str(caught.value)


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Return the one folder that a stranger may use, beside one that is out."""
    folder = tmp_path / "models"
    (folder / "in").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    (folder / "link").symlink_to(tmp_path / "out")
    (folder / "file.gguf").symlink_to(tmp_path / "out" / "config.json")
    (folder / "ring").symlink_to(folder / "ring")
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", str(folder))
    with asking(STRANGER):
        yield folder


# What variables say


@pytest.mark.parametrize("told", ["0", "false", "No", "OFF", "", "  "])
def test_a_switch_that_is_off_is_off(monkeypatch, told):
    monkeypatch.setenv("LLMRANK_HUB", told)
    assert not is_on("LLMRANK_HUB")
    with asking(STRANGER), pytest.raises(LLMRankError, match="nothing from the hub"):
        hub.fetch("owner/name", "main")


@pytest.mark.parametrize("told", ["1", "true", "yes"])
def test_a_switch_that_is_on_is_on(monkeypatch, told):
    monkeypatch.setenv("LLMRANK_HUB", told)
    with asking(STRANGER):
        permissions.check_hub()


def test_a_stranger_is_told_no_folder_that_the_server_keeps_things_in(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LLMRANK_DB", str(tmp_path / "kept" / "results.sqlite3"))
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    said = f"{tmp_path}/kept/results.sqlite3 is locked; {tmp_path}/cache is full"
    assert whereabouts.without_folders(said) == said
    with asking(STRANGER):
        told = whereabouts.without_folders(said)
        hub_cache = whereabouts.without_folders(f"in {HF_HUB_CACHE}/models--a--b/blobs")
    assert told == "results.sqlite3 is locked; its folder is full"
    assert hub_cache == "in models--a--b/blobs"


def test_an_empty_variable_is_not_set(monkeypatch):
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", "")
    assert variable("LLMRANK_MODEL_DIRS") is None
    assert allowed_roots() == (Path.home().resolve(), Path.cwd().resolve())
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", f"/srv{os.pathsep}~/models")
    home = Path("~/models").expanduser().resolve()
    assert allowed_roots() == (Path("/srv").resolve(), home)


@pytest.mark.parametrize(
    ("told", "address", "shared"),
    [("1", "127.0.0.1", True), ("0", "127.0.0.1", False), ("", "::1", False),
     ("false", "localhost", False), ("0", "0.0.0.0", True), ("", None, True)],
)  # fmt: skip
def test_who_shares_a_server_says_so_or_its_address_does(
    monkeypatch, told, address, shared
):
    from pages.shared.app import access

    monkeypatch.setenv("LLMRANK_SHARED", told)
    monkeypatch.setattr(access.st, "get_option", {"server.address": address}.get)
    assert access.is_shared() is shared
    assert permissions.asker() == Asker(stranger=shared)  # no page runs in this thread


def test_the_server_answers_to_this_machines_names_and_tells_no_traceback():
    root = Path(__file__).parents[2]
    told = tomllib.loads((root / ".streamlit" / "config.toml").read_text("utf-8"))
    assert set(told["server"]["allowedHosts"]) == {"127.0.0.1", "localhost", "::1"}
    assert told["client"]["showErrorDetails"] == "none"


# Paths


def test_a_path_below_an_allowed_folder_is_taken(inside):
    check_path(inside)
    check_path(inside / "new" / "model")
    check_path(inside / "in" / ".." / "model")


@pytest.mark.parametrize(
    "way",
    ["../out", "in/../../out", "link", "link/config.json", "link/nothing", "../nothing",
     "../models-of-others", "ring", "file.gguf", "/etc/passwd", "/etc/nothing", "~",
     "~root/x", "~nobody-of-that-name/x", "x" * 5000, "/root/x", "../zero\0byte"],
)  # fmt: skip
def test_what_lies_outside_is_answered_the_same_whatever_is_there(inside, way):
    name = way if way[0] in "/~" else f"{inside}/{way}"
    if way == "x" * 5000:
        name = f"{inside}/../{way}"
    for check in (
        check_path,
        whereabouts.check_there,
        lambda n: checkpoints.locate(n, "main"),
    ):
        said = refusal(check, name)
        assert said == f"{name[:120]!r} {permissions.OUTSIDE}"
        assert str(inside.parent / "out" / "config.json") not in said.replace(name, "")
    assert not whereabouts.is_here(name)


def test_the_hub_is_refused_where_it_is_asked_whatever_lies_under_that_name(
    inside, monkeypatch
):
    monkeypatch.delenv("LLMRANK_HUB", raising=False)
    monkeypatch.chdir(inside.parent)
    said = {refusal(checkpoints.locate, name, "main") for name in ("out", "owner/name")}
    assert len(said) == 1
    assert "fetches nothing from the hub" in said.pop()
    assert "from the hub" in refusal(mlp.examples, mlp.DataSpec("mnist"))


@pytest.mark.usefixtures("inside")
@pytest.mark.parametrize(
    "name",
    ["/etc/ssh/" + "y" * 300, "~nobody/x", "~daemon/x", "~of-no-such-user/x", "~/../x"],
)
def test_a_path_is_asked_for_at_the_door_before_it_is_looked_at(name):
    """Else what the system says of it tells which folders and users there are."""
    said = refusal(named_path, name)
    assert said == f"{name[:120]!r} {permissions.OUTSIDE}"


@pytest.mark.usefixtures("inside")
def test_what_the_server_keeps_may_lie_outside_the_folders_of_strangers(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    assert Store(tmp_path / "kept" / "results.sqlite3").runs() == ()
    assert texts.keep(b"a text", "mine.txt").startswith("upload:")
    assert not whereabouts.is_file("demo")


def test_a_home_is_told_as_it_was_typed(inside, monkeypatch):
    monkeypatch.setenv("HOME", str(inside))
    (inside / "notes.txt").write_text("notes")
    said = refusal(checkpoints.locate, "~/notes.txt", "main")
    assert said.startswith("~/notes.txt is not a .gguf file")
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    told = whereabouts.without_folders(f"written to {inside}/exports/new")
    assert told == "written to ~/exports/new"


def test_a_folder_whose_root_is_a_link_is_taken(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", str(tmp_path / "models"))
    with asking(STRANGER):
        check_path(tmp_path / "models" / "tiny")
        check_path(tmp_path / "disk" / "tiny")


def test_an_export_is_checked_where_it_is_written(inside, tiny):
    for target in (inside.parent / "elsewhere", inside / "link" / "elsewhere"):
        assert permissions.OUTSIDE in refusal(export.save, tiny, target)
    assert permissions.OUTSIDE in refusal(export.zipped, inside)
    assert not (inside.parent / "elsewhere").exists()


# Texts and tables


@pytest.mark.parametrize("there", [True, False])
def test_a_stranger_reads_no_file_of_the_server(inside, there):
    path = inside / "secret.csv"
    if there:
        path.write_text("a,label\n1,x\n")
    asked = {
        refusal(texts.text, str(path), "calibration"),
        refusal(mlp.examples, mlp.DataSpec(str(path))),
        refusal(mlp.load_network, str(path)),
    }
    assert len(asked) == 1
    assert "this server is shared and reads no files of its own" in asked.pop()
    assert texts.state_of(str(path)) is None


def test_a_second_text_within_a_method_opens_no_file(tiny, tiny_text, monkeypatch):
    """It was typed nowhere: an arena's method and a link name it in a parameter."""
    monkeypatch.setattr(
        "llmrank.experiments.pipeline.evidence.load", lambda *_, **__: tiny
    )
    by = criterion("gprune", second_text=str(tiny_text))
    spec = ArenaSpec(methods=(Method(by),), sparsities=(0.5,), measures=("text",))
    asked = replace(spec.base, model=tiny.spec, method=Method(by))
    with asking(STRANGER):
        said = refusal(Pipeline().scores, asked)
    assert "reads no files of its own" in said


def test_what_another_has_read_is_not_served_from_memory(tiny, tiny_text, monkeypatch):
    """Checked before the memory of results, not only where the file is opened."""
    from llmrank.calibration.activations import CalibrationSpec
    from llmrank.methods.criteria import LLMRank

    monkeypatch.setattr(
        "llmrank.experiments.pipeline.evidence.load", lambda *_, **__: tiny
    )
    pipeline = Pipeline()
    asked = Experiment(
        tiny.spec, CalibrationSpec(str(tiny_text), samples=2, seq_len=32)
    )
    pipeline.scores(asked)
    with asking(STRANGER):
        for ask in (pipeline.stats, pipeline.stats.peek, pipeline.scores):
            assert "reads no files" in refusal(ask, asked)
        chained = asked.using(criterion=LLMRank(graph="chained"))
        assert "reads no files" in refusal(pipeline.planes, chained)


def test_work_asks_for_whom_it_was_handed_over_by():
    with asking(STRANGER):
        work = permissions.carried(permissions.asker)
    assert permissions.asker() == Asker()
    assert work() == STRANGER
    assert permissions.asker() == Asker()
