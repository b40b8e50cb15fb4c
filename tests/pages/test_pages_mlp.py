"""The MLP lab page: by its link, trained, with own data, and what it refuses."""

import json
import re
from dataclasses import replace

import hostile
import numpy as np
import pytest
from safetensors.torch import save_file
from visitor import finish, open_page

from llmrank import mlp
from llmrank.mlp import tables
from llmrank.report.sentences import mlp as reading

pytestmark = pytest.mark.slow  # each opens the app; together half a minute

PAGE = "pages/mlp_lab.py"
VIEW = "mlp.width0.12,mlp.width1.8,mlp.epochs.2"


def train(at):
    return finish(at.button(key="lab_train").click().run(), "mlp", state="done")


@pytest.fixture(scope="module")
def ready():
    return train(open_page(PAGE, view=VIEW))


def said(at):
    """What the page says in markdown and in captions."""
    return "\n".join(m.value for m in (*at.main.markdown, *at.main.caption))


def drawn(at):
    """The canvases that the page mounts, and what they are handed."""
    every = [e.proto for e in at.get("bidi_component")]
    return {
        p.component_name: json.loads(p.json) for p in every if "lab" in p.component_name
    }


def test_the_first_visit_opens_on_a_network_that_comes_along():
    at = open_page(PAGE)
    assert not at.exception
    assert drawn(at)["llmrank_lab_prune"]["percent"] == 30
    assert not [b for b in at.main.button if b.key == "lab_train"]
    assert not at.sidebar.children
    (recipe,) = [c.value for c in at.caption if "comes along" in c.value]
    for part in ("1,438 examples", "64 → 128 → 64 → 10", "30 epochs, seed 0"):
        assert part in recipe
    found = mlp.shipped(mlp.DataSpec(), mlp.MLPSpec())
    assert f"{100 * found.epochs[-1].test_accuracy:.3g} % [98.0, 99.8]" in recipe


def test_not_trained_the_page_offers_one_button_and_starts_nothing():
    at = open_page(PAGE, view="mlp.width0.100")
    assert not at.exception
    assert "64 → 100 → 64 → 10" in said(at)
    assert at.button(key="lab_train").label == "Train it"
    assert not at.session_state["jobs"]


def test_trained_it_says_what_it_measured_on_what(ready):
    assert not ready.exception
    assert not ready.error
    data = mlp.examples(mlp.DataSpec())
    found = mlp.train(mlp.MLPSpec(widths="12,8", epochs=2), data)
    right = 100 * found.epochs[-1].test_accuracy
    assert f" {right:.3g} % [" in said(ready)
    assert "1,438 examples to train, 359 to test, 10 classes" in said(ready)
    assert "trained here: 2 epochs, seed 0" in said(ready)
    assert "12 → 8 → 10" in said(ready)


@pytest.mark.usefixtures("ready")
@pytest.mark.parametrize(
    ("view", "text"),
    [
        ("inside", "1,438 examples to train"),
        ("paper", "6.09 % higher accuracy retention"),
        ("after", "lottery ticket"),
        ("shaken", "at four strengths each"),
    ],
)
def test_every_view_opens_by_its_link(view, text):
    at = open_page(PAGE, view=f"{VIEW},mlp.view.{view}")
    assert not at.exception
    assert not at.error
    assert text in said(at)


@pytest.mark.parametrize("view", ["paper", "after", "shaken"])
def test_a_view_opens_on_a_result_that_came_along_for_these_settings_alone(view):
    at = open_page(PAGE, view=f"mlp.view.{view}")
    assert not at.exception
    assert "came along: measured by us" in said(at)
    assert len(at.get("plotly_chart")) == 1 + (view != "paper") * 2  # the training's
    other = "mlp.seeds.2" if view == "paper" else "mlp.sparsity.40"
    at = open_page(PAGE, view=f"mlp.view.{view},{other}")
    assert not at.exception
    assert "came along: measured" not in said(at)


def test_one_data_set_of_the_papers_experiment_is_shown_at_once():
    points = mlp.shipped_result("claim", paper_experiment_key())
    digits = tuple(p for p in points if p.data == "digits")
    at = open_page(PAGE, view="mlp.view.paper,mlp.sets.digits")
    assert not at.exception
    assert reading.leads_sentence(mlp.leads(digits)) in said(at)
    assert "(95 % intervals over 9 networks)" in said(at)
    both = open_page(PAGE, view="mlp.view.paper")
    assert reading.leads_sentence(mlp.leads(points)) in said(both)
    (table,) = [d.value for d in both.main.dataframe if "50 %" in d.value]
    assert table["50 %"][0].startswith("−7.9 [")  # l1 is ahead, and that is said


def paper_experiment_key():
    training = replace(mlp.MLPSpec(), epochs=15)
    return mlp.RetentionSpec(), training, mlp.MLPRank(), 0


def test_an_own_result_replaces_the_one_that_came_along():
    at = open_page(PAGE, view="mlp.view.shaken")
    finish(at.button(key="shaken").click().run(), "shaken", state="done")
    assert "came along: measured" not in said(at)
    assert "corruption costs" in said(at)


@pytest.mark.usefixtures("ready")
def test_the_method_and_its_rivals_follow_the_link():
    at = open_page(PAGE, view=f"{VIEW},mlp.rivals.l2|flap,mlp.variant.modified")
    assert not at.exception
    assert at.multiselect(key="look_mlp.rivals_0_Compared with").value == ["l2", "flap"]
    labels = [s.label for s in at.main.slider]
    assert "θ: weight against degree" not in labels  # the modified variant has none


def test_a_link_with_nonsense_keeps_the_page():
    nonsense = "mlp.width0.0,mlp.data.dogs,mlp.view.x,mlp.net.abc,mlp.epochs.-3"
    at = open_page(PAGE, view=nonsense)
    assert not at.exception
    assert len(at.warning) == 4  # seen: none of them inside a popover
    assert any("load it again" in c.value for c in at.caption)


def test_own_data_are_read_and_bad_ones_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    at = open_page(PAGE, view=f"{VIEW},mlp.data.own file")
    assert not at.exception
    assert any("No usable file yet" in c.value for c in at.caption)
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    content = "\n".join(["x1,x2,label", *rows]).encode()
    at.get("file_uploader")[0].upload("mine.csv", content).run()
    assert not at.exception
    assert "**mine.csv**: 48 examples to train, 12 to test, 2 classes" in said(at)
    read = "60 rows × 2 features, 2 classes in `label`"
    assert read in [c.value.replace("\\", "") for c in at.main.caption]
    assert "2 → 12 → 8 → 2" in said(at)
    trained = train(at)
    assert not trained.exception
    at.get("file_uploader")[0].upload("bad.csv", b"a,label\n1,x\n2,y\n").run()
    assert not at.exception
    assert "at least 20 are needed" in at.error[0].value.replace("\\", "")


@pytest.fixture(scope="module")
def own_file():
    return open_page(PAGE, view=f"{VIEW},mlp.data.own file")


@pytest.mark.parametrize(
    "name",
    [
        "underscore.csv", "many.csv", "quote.csv", "ragged.csv", "encrypted.npz",
        "corrupt.npz", "directory.npz", "text.npz", "vast.npz", "minus.npz",
    ],
)  # fmt: skip
def test_a_file_that_breaks_readers_is_one_sentence_on_the_page(own_file, name):
    content, expected = hostile.SMALL[name]
    own_file.get("file_uploader")[0].upload(name, content).run()
    assert not own_file.exception
    (error,) = own_file.error
    assert re.search(expected, error.value.replace("\\", ""))
    assert "1,438 examples to train" in said(own_file)  # the digits


def test_a_file_is_read_once_however_often_the_page_runs(own_file, monkeypatch):
    calls = []
    read = tables.keep
    monkeypatch.setattr(tables, "keep", lambda *file: calls.append(file) or read(*file))
    own_file.get("file_uploader")[0].upload("t.csv", hostile.TABLE.encode()).run()
    own_file.run()
    assert len(calls) == 1
    assert "**t.csv**: 48 examples to train" in said(own_file)


def test_a_wide_table_opens_and_is_trained(own_file):
    """20,000 columns, as many as are allowed, in what an upload may have."""
    row = ",".join(["1.5", "2"] * 10_000)
    rows = [f"{row},{i % 2}" for i in range(100)]
    head = ",".join(f"c{i}" for i in range(20_000))
    content = "\n".join([f"{head},label", *rows]).encode()
    own_file.get("file_uploader")[0].upload("wide.csv", content).run()
    assert not own_file.exception
    assert "20,000 → 12 → 8 → 2" in said(own_file)
    assert not train(own_file).exception


def test_a_link_names_no_file_of_the_server(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("\n".join(["a,label", *(f"{i},{i % 2}" for i in range(40))]))
    at = open_page(PAGE, view=f"mlp.data.own file,mlp.file.{path}")
    assert not at.exception
    assert "1,438 examples to train" in said(at)


def test_a_pickle_in_an_npz_is_refused(tmp_path):
    at = open_page(PAGE, view="mlp.data.own file")
    path = tmp_path / "p.npz"
    np.savez(path, x=np.array([{}], dtype=object), y=np.ones(1))
    at.get("file_uploader")[0].upload("p.npz", path.read_bytes()).run()
    assert not at.exception
    assert "pickled objects" in at.error[0].value


def test_a_loaded_network_is_shown_or_told_that_it_does_not_fit(tmp_path):
    data = mlp.examples(mlp.DataSpec())
    found = mlp.train(mlp.MLPSpec(widths="8", epochs=1), data).network
    at = open_page(PAGE)
    at.get("file_uploader")[0].upload("net.safetensors", mlp.as_bytes(found)).run()
    assert not at.exception
    right = 100 * mlp.accuracy(found, data.test_x, data.test_y)
    assert f" {right:.3g} % [" in said(at)
    save_file({"a.weight": found.weights[0]}, tmp_path / "net.safetensors")
    broken = (tmp_path / "net.safetensors").read_bytes()
    at.get("file_uploader")[0].upload("net.safetensors", broken).run()
    assert "is no MLP" in at.error[0].value
    long = f"{'n' * 300}.safetensors"  # longer than any disk takes
    at.get("file_uploader")[0].upload(long, b"\0" * 100).run()
    assert not at.exception
    assert "cannot be read as safetensors" in at.error[0].value
    other = mlp.Network(found.weights[1:], found.biases[1:])
    assert other.sizes == (8, 10)
