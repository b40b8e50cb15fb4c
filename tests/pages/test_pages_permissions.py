"""Two visitors of one server: neither opens what the other gave, nor finds its name."""

import hashlib
import json
import os
import threading

import pytest
import torch
from conftest import TEXT
from streamlit.testing.v1 import AppTest
from visitor import close, finish, open_page, read, said

from llmrank import mlp
from llmrank.core import cache as memo
from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.data import texts as corpora
from llmrank.experiments.store import Store
from llmrank.report.tables import runs as readings
from pages.shared.app import resources, visitors

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("database", "estimated_memory"),
]

SECRET = TEXT.replace("The river", "My secret")
SHA = hashlib.sha256(SECRET.encode()).hexdigest()
SOURCE = uploads.UPLOADED + SHA


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, tiny_folder):
    """Share the server, its one model in the one folder that visitors may name."""
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    roots = f"{tiny_folder}{os.pathsep}{tmp_path / 'allowed'}"
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", roots)
    monkeypatch.setattr("pages.shared.app.access.is_shared", lambda: True)
    return tmp_path / "cache" / "uploads"


@pytest.fixture
def visit(asked):
    """A function that opens a page as a visitor of its own."""

    def opened(page: str = "app.py", **more: str) -> AppTest:
        texts = {"calibration_text": "embedded", "eval_text": "embedded"}
        return open_page(page, **(asked | texts | more))

    return opened


def give(at: AppTest, content: str = SECRET) -> AppTest:
    """Upload a text to calibrate and to evaluate on."""
    for uploader in at.get("file_uploader"):
        uploader.upload("diary.txt", content.encode())
    return at.run()


KINDS = ("markdown", "caption", "error", "warning", "info", "code", "text")


def everything(at: AppTest) -> str:
    """Return all that a page says, its tables and its address too."""
    words = [element.value for kind in KINDS for element in at.get(kind)]
    words += [button.label for button in at.button]
    tables = [d.value.to_csv() for d in at.dataframe]
    return "\n".join([*words, *tables, str(at.query_params)]).replace("\\", "")


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def remembered(name: str) -> list[object]:
    """Return the keys in the process's memory that name something."""
    keys = [key for every in list(memo._every) for key, _ in every.items()]
    return [key for key in keys if name in repr(key)]


def link(at: AppTest, name: str) -> str:
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def of(at: AppTest) -> permissions.Asker:
    return permissions.Asker(at.session_state["holder"], stranger=True)


def test_an_upload_is_its_visitors_alone(visit):
    mine = give(visit())
    assert link(mine, "eval_text") == SOURCE
    assert any("Using diary.txt" in c.value for c in mine.caption)
    with permissions.asking(of(mine)):
        assert corpora.text(SOURCE, "evaluation").content == SECRET
    other = visit("pages/explore.py", calibration_text=SOURCE, criterion="gprune",
                  second_text=SOURCE)  # fmt: skip
    assert not other.exception
    warned = "\n".join(w.value for w in other.warning).replace("\\", "")
    assert warned.count("this upload is another visitor's, or went") == 2
    assert SHA not in everything(other)
    with (
        permissions.asking(of(other)),
        pytest.raises(LLMRankError, match="another visitor"),
    ):
        corpora.text(SOURCE, "evaluation")
    assert corpora.state_of(SOURCE) is None


def test_who_gives_the_same_text_has_it_of_its_own(visit, cache):
    mine, other = give(visit()), give(visit())
    assert link(other, "eval_text") == SOURCE
    assert len(list(cache.rglob(SHA))) == 2
    close(mine)
    assert len(list(cache.rglob(SHA))) == 1
    with permissions.asking(of(other)):
        assert corpora.text(SOURCE, "evaluation").content == SECRET


def test_what_was_measured_on_it_names_no_hash_to_others(visit):
    mine = give(visit())
    mine.button(key="measure_bar").click().run()
    mine = finish(mine, "measure", state="done")
    assert not mine.exception
    with permissions.asking(of(mine)):
        assert SHA in json.dumps(Store().runs()[0].spec.recipe)
    other = visit("pages/runs.py")
    other.session_state["runs_table"] = {"selection": {"rows": [0], "columns": []}}
    other.run()
    assert not other.exception
    assert uploads.ANOTHERS in everything(other)
    assert SHA not in everything(other)
    with permissions.asking(of(other)):
        runs = Store().runs()
        found = Store().comparisons([r.id for r in runs])
        entries = [readings.Entry(r, found[r.id]) for r in runs]
        told = json.dumps(readings.exported(entries))
        told += readings.side_by_side([*entries, *entries]).to_csv()
    assert SHA not in told
    assert "secret" not in told
    other.button(key="runs_open_Explore").click().run()
    assert not other.exception
    assert any("another visitor" in e.value for e in other.error)
    assert SHA not in everything(other)


def test_runs_on_two_hidden_texts_open_with_their_own_numbers(visit):
    """The newest is the first row; each was measured on another text."""
    for content in (SECRET, SECRET.replace("secret", "diary")):
        mine = give(visit(), content)
        mine.button(key="measure_bar").click().run()
        finish(mine, "measure", state="done")
    kept = [f"{run.ratio.value:.3g}" for run in Store().runs()]
    assert len(set(kept)) == 2
    other = visit("pages/runs.py")
    for row, ratio in enumerate(kept):
        other.switch_page("pages/runs.py").run()
        other.session_state["runs_table"] = {
            "selection": {"rows": [row], "columns": []}
        }
        other.run()
        other.button(key="runs_open_Compare").click().run()
        assert not other.exception
        assert f"×{ratio}" in said(other)
        assert SHA not in everything(other)


def test_a_job_that_is_opened_by_its_link_names_no_text_of_another(visit, tmp_path):
    texts = {"criterion": "gprune", "seq_len": "32"}
    mine = give(visit("pages/prune.py", **texts))
    mine.session_state["settings"]["second_text"] = SOURCE
    target = tmp_path / "allowed" / "smaller"
    field = next(t for t in mine.main.text_input if t.label.startswith("Export to"))
    field.set_value(str(target))
    mine = finish(mine.button(key="export").click().run(), "export", state="done")
    assert SOURCE in everything(mine)
    assert SHA not in (target / "llmrank.json").read_text()
    other = visit("pages/prune.py", jobs=link(mine, "jobs"))
    assert not other.exception
    assert "Made with other settings than now" in everything(other)
    assert uploads.ANOTHERS in everything(other)
    assert SHA not in everything(other)


@pytest.mark.parametrize("name", ["/etc/ssh/" + "y" * 300, "~nobody/x", "~/../x"])
def test_an_export_asks_the_door_with_what_was_typed(visit, name):
    at = visit("pages/prune.py")
    field = next(t for t in at.main.text_input if t.label.startswith("Export to"))
    field.set_value(name)
    at.button(key="export").click().run()
    (told,) = (e.value.replace("\\", "") for e in at.error)
    assert told == " ".join(f"{name[:120]!r} {permissions.OUTSIDE}".split())


def test_an_uploaded_second_text_competes_in_an_arena(visit):
    plain = {"allocation": "uniform", "repair": "none"}
    mine = give(visit("pages/arena.py", criterion="gprune", **plain))
    mine.session_state["settings"]["second_text"] = SOURCE
    mine.run()
    view = f"arena.methods.gprune:second_text={SOURCE},arena.sparsities.50 %25"
    mine.button(key="add_in_hand").click().run()
    assert not mine.exception
    (box,) = [m for m in mine.main.multiselect if m.label == "Methods"]
    assert f"gprune:second_text={SOURCE}" in box.value
    other = visit("pages/arena.py", view=f"{view},arena.measures.text")
    assert not other.exception
    assert SHA not in everything(other)
    other.button(key="run_arena").click().run()
    assert any("another visitor" in e.value for e in other.error)
    assert "arena" not in other.session_state["jobs"]


def test_a_database_that_does_not_open_is_told_without_its_folder(visit, database):
    database.mkdir()
    at = visit("pages/runs.py")
    assert not at.exception
    told = "\n".join(e.value for e in at.error).replace("\\", "")
    assert "results.sqlite3 is no file" in told
    assert str(database.parent) not in everything(at)


def test_nothing_computed_from_it_is_served_from_memory(visit):
    mine = read(give(visit("pages/scores.py")))
    assert not mine.exception
    assert mine.dataframe
    other = visit("pages/scores.py")
    other.session_state["settings"] |= {"calibration_text": SOURCE}
    other.run()
    assert not other.exception
    assert any("another visitor" in e.value for e in other.error)
    assert not other.dataframe


def test_an_arenas_method_reads_no_file_of_the_server(visit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.txt").write_text(SECRET)
    told = set()
    for named in ("./secret.txt", "./nothing.txt"):
        method = f"gprune:second_text={named}"
        view = f"arena.methods.{method},arena.sparsities.50 %25"
        at = visit("pages/arena.py", view=view)
        assert not at.exception
        at.button(key="run_arena").click().run()
        (error,) = (e.value.replace("\\", "") for e in at.error)
        told.add(error.replace(named, ""))
        assert "arena" not in at.session_state["jobs"]
    assert "reads no files of its own" in told.pop()
    assert not told


def test_anothers_arena_is_shown_without_its_text(visit):
    view = "arena.methods.wanda,arena.sparsities.50 %25,arena.measures.text"
    mine = give(visit("pages/arena.py", view=view))
    mine.button(key="run_arena").click().run()
    mine = finish(mine, "arena", state="done")
    assert not mine.exception
    assert "another visitor" not in everything(mine)
    with permissions.asking(of(mine)):
        (found,) = Store().arenas()
        assert SHA in json.dumps(found.description)
    other = visit("pages/arena.py", view=f"arena.id.{found.id}")
    assert not other.exception
    assert "wanda" in everything(other)
    assert SHA not in everything(other)


def test_uploads_go_when_the_last_tab_of_their_browser_has_gone(
    visit, cache, monkeypatch
):
    monkeypatch.setattr("pages.shared.app.visitors.owner", lambda: "one browser")
    tabs = [give(visit()), visit("pages/prune.py")]
    for at in tabs:
        assert list(cache.rglob(SHA))
        close(at)
    assert not files(cache)
    here = {at.session_state["visitor"] for at in tabs}
    assert not any(visitors.alive(v) for v in here)


@pytest.fixture
def busy():
    """The worker has something else to do until the event is set."""
    entered, free = threading.Event(), threading.Event()

    def work(_):
        entered.set()
        assert free.wait(60)

    resources.worker().submit("somebody else", "busy", work)
    assert entered.wait(60)
    yield free
    free.set()


def measuring(at: AppTest) -> str:
    """Ask for a measurement on an upload; return the job's id."""
    at.button(key="measure_bar").click().run()
    assert not at.exception
    return at.session_state["jobs"]["measure"]


def test_a_job_that_others_watch_has_the_upload_until_it_has_ended(visit, cache, busy):
    mine = give(visit())
    job_id = measuring(mine)
    other = visit(jobs=f"measure.{job_id}")
    assert not other.exception
    close(mine)
    assert resources.worker().snapshot(job_id).state == "queued"
    assert list(cache.rglob(SHA))
    busy.set()
    finish(other, "measure", state="done")
    assert not other.exception
    assert SHA not in everything(other)
    assert not files(cache)
    assert not remembered(SHA)


def test_a_job_that_nobody_watches_any_more_lets_its_upload_go(visit, cache, busy):
    mine = give(visit())
    job_id = measuring(mine)
    close(mine)
    assert resources.worker().snapshot(job_id).state == "cancelled"
    assert not files(cache)
    assert not busy.is_set()


def test_streamlits_copy_is_let_go_and_what_is_refused_is_said(
    visit, cache, monkeypatch
):
    gone = []
    kind = "streamlit.runtime.memory_uploaded_file_manager.MemoryUploadedFileManager"
    monkeypatch.setattr(f"{kind}.remove_file", lambda *about: gone.append(about[1:]))
    at = visit()
    at.get("file_uploader")[0].upload("bad.txt", b"caf\xe9").run()
    assert not at.exception
    assert len(gone) == 1
    assert "bad.txt is not UTF-8" in at.error[0].value.replace("\\", "")
    assert not list(cache.rglob("*"))


def network_file() -> bytes:
    weights = (torch.ones(3, 64), torch.ones(10, 3))
    return mlp.as_bytes(mlp.Network(weights, (torch.zeros(3), torch.zeros(10))))


def test_a_network_that_was_loaded_opens_by_no_hash():
    mine = open_page("pages/mlp_lab.py")
    mine.get("file_uploader")[0].upload("n.safetensors", network_file()).run()
    assert not mine.exception
    assert "64 → 3 → 10" in everything(mine)
    other = open_page("pages/mlp_lab.py", view=link(mine, "view"))
    assert "64 → 3 → 10" not in everything(other)
    assert any("load it again" in c.value for c in other.caption)


def test_a_table_opens_by_no_hash():
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    view = "mlp.data.own file"
    mine = open_page("pages/mlp_lab.py", view=view)
    content = "\n".join(["x1,x2,label", *rows]).encode()
    mine.get("file_uploader")[0].upload("mine.csv", content).run()
    assert "48 examples to train" in everything(mine)
    other = open_page("pages/mlp_lab.py", view=link(mine, "view"))
    assert not other.exception
    assert "mine.csv" not in everything(other)
    assert "48 examples to train" not in everything(other)
    assert resources.lab("data")


def test_networks_and_tables_go_from_memory_with_the_last_who_gave_them(cache):
    network = network_file()
    rows = [f"{i},{i % 5},{'ab'[i % 2]}" for i in range(60)]
    table = "\n".join(["x1,x2,label", *rows]).encode()
    opened = []
    for _ in "ab":
        at = open_page("pages/mlp_lab.py")
        at.get("file_uploader")[0].upload("n.safetensors", network).run()
        assert "64 → 3 → 10" in everything(at)
        with_table = open_page("pages/mlp_lab.py", view="mlp.data.own file")
        with_table.get("file_uploader")[0].upload("mine.csv", table).run()
        assert "48 examples to train" in everything(with_table)
        opened.append((at, with_table))
    names = [hashlib.sha256(content).hexdigest() for content in (network, table)]
    assert all(remembered(name) for name in names)
    for at in opened[0]:
        close(at)
    assert all(remembered(name) for name in names)
    for at, text in zip(opened[1], ("64 → 3 → 10", "48 examples"), strict=True):
        assert text in everything(at.run())
        close(at)
    assert not any(remembered(name) for name in names)
    assert not files(cache)
