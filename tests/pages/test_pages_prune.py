"""Prune: what is left as it is counted, and the export in every way it can end."""

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TEXT
from safetensors.torch import load_file
from streamlit.testing.v1 import AppTest
from transformers import AutoModelForCausalLM
from visitor import buttons, finish, listed, open_page, read

import llmrank
from llmrank.core.formatting import times
from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.footprint import footprint
from llmrank.experiments import settings
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import Report
from llmrank.experiments.store import Store
from llmrank.methods.criteria import Wanda
from llmrank.methods.method import Method
from llmrank.models import ffn
from llmrank.models.language_model import ModelSpec
from pages.shared.app import resources

pytestmark = [  # some seconds each, together a minute
    pytest.mark.slow,
    pytest.mark.usefixtures("estimated_memory"),
]

PROMPT = torch.arange(1, 40)[None]


@pytest.fixture
def opened(tiny_folder, tiny_text):
    """A function that opens a page by its link, as the first of all."""

    def by_link(page: str = "pages/prune.py", **more: str) -> AppTest:
        asked = {
            "model": str(tiny_folder),
            "calibration_text": str(tiny_text),
            "eval_text": str(tiny_text),
            "samples": "2",
            "seq_len": "64",
        }
        return open_page(page, **(asked | more))

    return by_link


def export_to(at: AppTest, folder: Path | str) -> AppTest:
    field(at).set_value(str(folder))
    return at.button(key="export").click().run()


def field(at: AppTest):
    return next(t for t in at.main.text_input if t.label.startswith("Export to"))


def experiment_of(at: AppTest) -> Experiment:
    """Rebuild the experiment from the recipe that the page shows."""
    recipe = next(c.value for c in at.code if c.language == "json")
    return Experiment.from_json(json.loads(recipe))


def pruned_as_shown(at: AppTest):
    return Pipeline().pruned(experiment_of(at))


def texts(elements) -> str:
    return "\n".join(element.value for element in elements)


def test_the_first_page_of_all_offers_one_step_and_starts_nothing(opened):
    at = opened(seq_len="66")
    assert not at.exception
    assert at.header[0].value == "What fits, and how do I take it with me?"
    assert "has not been read with these settings" in at.info[0].value
    assert buttons(at) == ["Export", "Read the model", "Find the sparsity"]
    assert "rank them in Arena" in at.get("page_link")[-1].proto.label
    assert not listed(at)
    assert not at.session_state["jobs"]


def test_what_is_left_is_what_a_real_cut_has(opened):
    at = read(opened(sparsity="0.4", allocation="uniform"))
    assert not at.exception
    left = footprint(pruned_as_shown(at))
    shown = listed(at)
    assert shown["Parameters"][0] == f"{left.n_params:,}"
    assert shown["MACs per token"][0] == f"{left.macs_per_token:,}"
    assert shown["FFN neurons"] == ("28", "−41.7 % of 48")
    assert "Every layer keeps 14 of 24 neurons" in texts(at.markdown)
    assert not at.get("plotly_chart")  # equal bars say no more than the sentence


def test_widths_are_drawn_where_they_differ(opened):
    at = read(opened(sparsity="0.4", allocation="global"))
    assert not at.exception
    widths = ffn.widths(pruned_as_shown(at).model)
    assert [c.key for c in at.get("plotly_chart")] == ["widths"]
    spec = json.loads(at.get("plotly_chart")[0].proto.spec)
    assert tuple(spec["data"][1]["y"]) == widths


def options(at: AppTest) -> tuple[list[str], list[str]]:
    """Return the methods that the picture ranks, and what is beside them."""
    (spec,) = [c.proto.spec for c in at.get("plotly_chart") if c.key == "options"]
    layout = json.loads(spec)["layout"]
    written = [a["text"] for a in layout["annotations"]]
    return written[: len(written) // 2], written[len(written) // 2 :]


def test_what_fits_a_budget_is_ranked_before_anything_is_read():
    plain = {"criterion": "wanda", "allocation": "uniform", "repair": "none"}
    at = open_page("pages/prune.py", sparsity="0.3", **plain)
    assert not at.exception
    names, beside = options(at)
    best = "wanda + additive + least-squares-sequential"
    assert names[:2] == [f"{best} + distil 102,400 tokens", best]
    assert "<b>wanda</b>" in names  # what is in hand
    assert all("30 %" in text for text in beside)
    assert "l1" in names  # all that fit
    written = [text.partition("×")[2].partition("<")[0] for text in beside]
    ratios = [float(text.replace(",", "")) for text in written]
    assert ratios == sorted(ratios)
    assert f"**{names[0]}** costs least" in texts(at.markdown)
    assert "what is in hand costs ×2.19 [2.06, 2.32] (shipped, 16,384" in texts(
        at.markdown
    )
    assert set(listed(at)) >= {"Weights", "Parameters"}
    at.slider(key="look_prune.budget_0").set_value(390).run()
    assert all("50 %" in text for text in options(at)[1])
    assert at.query_params["view"] == "prune.budget.390"


@pytest.mark.usefixtures("database")
def test_what_read_most_is_ranked_and_said_as_the_bar_says_it():
    plain = {"criterion": "wanda", "allocation": "uniform", "repair": "none"}
    asked = {"sparsity": "0.3", "eval_tokens": "4096"}
    ours = next(
        run
        for run in resources.shipped().runs(columns={"sparsity": [0.3]})
        if run.experiment.method == Method(Wanda())
    )
    for more, n_windows in (({}, 8), ({"criterion": "llm-rank", "gamma": "0.85"}, 9)):
        own = settings.experiment({"model": "demo"} | asked | plain | more)
        full = resources.shipped().comparison(ours.id)
        sides = (
            replace(side, text=side.text.first(n_windows))
            for side in (full.dense, full.pruned)
        )
        origin = ours.origin.environment
        Store().add_report(Report(own, origin, "c", Comparison(*sides)))
    at = open_page("pages/prune.py", **asked, **plain)
    assert not at.exception
    names, _ = options(at)
    assert "wanda" not in names  # one's own, of fewer tokens, is a check of ours
    assert "<b>wanda</b>" in names  # in hand
    assert "llm-rank gamma=0.85" in names  # one's own, which nobody else measured
    (ratio,) = re.findall(r"ppl \*\*(×[\d.]+)\*\*", texts(at.markdown))
    assert ratio == times(ours.ratio.value)
    assert f"what is in hand costs {ratio} [" in texts(at.markdown)
    at = open_page("pages/prune.py", **asked, **plain | more)
    assert "(measured here, 4,096 tokens)" in texts(at.markdown)


def test_rounding_that_changes_the_sparsity_is_explained(opened):
    even = {"sparsity": "0.4", "allocation": "uniform"}
    at = read(opened(**even, multiple_of="8"))
    assert "multiples of 8" in at.info[0].value
    assert "33.3 % of the neurons go instead of 40 %" in at.info[0].value
    assert not read(opened(**even)).info


def test_choices_made_on_another_page_are_kept(opened):
    at = opened("app.py")
    at.slider(key="control_sparsity").set_value(50.0).run()
    at = at.switch_page("pages/prune.py").run()
    assert not at.exception
    assert experiment_of(at).pruning.sparsity == 0.5
    field(at).set_value("elsewhere/mine").run()
    at = at.switch_page("app.py").run().switch_page("pages/prune.py").run()
    assert field(at).value == "elsewhere/mine"
    assert experiment_of(at).pruning.sparsity == 0.5


def test_the_recipe_repeats_the_experiment(opened):
    at = opened(sparsity="0.25", allocation="global", criterion="wanda")
    python, shell = (
        next(c.value for c in at.code if c.language == kind)
        for kind in ("python", "bash")
    )
    assert "PruningSpec(sparsity=0.25, multiple_of=1)" in python
    assert "Wanda(column_norm='l2')" in python
    assert "--sparsity 0.25" in shell
    assert "--criterion wanda" in shell
    assert "tiny-llama-wanda-25pct-global" in shell
    assert experiment_of(at).method.criterion.name == "wanda"


def test_an_export_is_written_verified_and_opens_in_transformers(opened, tmp_path):
    target = tmp_path / "smaller"
    even = {"sparsity": "0.5", "allocation": "uniform", "repair": "none"}
    at = finish(export_to(opened(**even), target), "export")
    assert not at.exception
    assert "it computes the same" in at.success[0].value
    size = sum(f.stat().st_size for f in target.iterdir())
    assert at.text[0].value.startswith(f"{size / 1e6:,.1f} MB in {target}; reloaded, ")
    assert any(f"from_pretrained({str(target)!r})" in c.value for c in at.code)
    model = AutoModelForCausalLM.from_pretrained(target)
    expected = pruned_as_shown(at).model(PROMPT).logits
    assert torch.allclose(model(PROMPT).logits, expected, atol=1e-5)
    recipe = json.loads((target / "llmrank.json").read_text())["recipe"]
    assert Experiment.from_json(recipe) == experiment_of(at)


def test_a_finished_export_can_be_packed_and_found_again(opened, tmp_path):
    target = tmp_path / "smaller"
    at = finish(export_to(opened(), target), "export")
    at = finish(at.button(key="pack").click().run(), "pack")
    with zipfile.ZipFile(tmp_path / "smaller.zip") as archive:
        assert "smaller/model.safetensors" in archive.namelist()
    assert any("Download the zip" in b.label for b in at.get("download_button"))
    again = opened(jobs=at.query_params["jobs"])  # a reload, or the link elsewhere
    assert not again.exception
    assert str(target) in again.text[0].value
    other = opened(jobs=at.query_params["jobs"], sparsity="0.6")
    assert "Made with other settings than now:" in texts(other.caption)


def test_uneven_widths_can_be_padded(opened, tmp_path):
    at = read(opened(allocation="global", sparsity="0.3"))
    assert "`llmrank.load` opens the checkpoint" in texts(at.caption)
    uneven, padded = tmp_path / "uneven", tmp_path / "padded"
    at = finish(export_to(at, uneven), "export")
    assert f"llmrank.load({str(uneven)!r})" in at.text[0].value
    at.segmented_control(key="export_form").set_value("Padded to one width").run()
    at = finish(export_to(at, padded), "export")
    assert f"from_pretrained({str(padded)!r})" in at.text[0].value
    own = llmrank.load(ModelSpec(name=str(uneven), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(padded)
    assert len(set(ffn.widths(own.model))) == 2
    assert torch.allclose(plain(PROMPT).logits, own.model(PROMPT).logits, atol=1e-5)


def test_the_files_have_the_precision_that_is_asked_for(opened, tmp_path):
    at = read(opened(sparsity="0.5"))
    half, own = tmp_path / "half", tmp_path / "own"
    assert "Loaded and written in float32: " in texts(at.caption)
    at = at.selectbox(key="export_precision").set_value("bfloat16").run()
    assert "Loaded in float32, rounded to bfloat16: " in texts(at.caption)
    assert any("dtype='bfloat16'" in c.value for c in at.code)
    assert any("--export-dtype bfloat16" in c.value for c in at.code)
    at = finish(export_to(at, half), "export")
    assert "it computes what its rounded weights do" in at.success[0].value
    assert "The weights are in bfloat16, as asked; rounding them" in at.text[0].value
    at = at.selectbox(key="export_precision").set_value("checkpoint").run()
    at = finish(export_to(at, own), "export")
    assert "in float32, the checkpoint's own precision." in at.text[0].value
    dtypes = [
        {t.dtype for t in load_file(f / "model.safetensors").values()}
        for f in (half, own)
    ]
    assert dtypes == [{torch.bfloat16}, {torch.float32}]


def full(folder: Path) -> Path:
    (folder / "full").mkdir()
    (folder / "full" / "thesis.txt").write_text("years of work")
    return folder / "full"


def a_file(folder: Path) -> Path:
    (folder / "file").write_text("years of work")
    return folder / "file"


def test_a_bad_folder_gets_one_sentence_and_loses_nothing(opened, tmp_path):
    at = opened()
    cases = {
        full(tmp_path): "is not empty and nothing in it is overwritten",
        a_file(tmp_path): "is a file; name a new or an empty folder",
        "/proc/smaller": "cannot be written to",
        "~nobody-here/x": "check the name",
        "x" * 600: "check the name",
    }
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for target, said in cases.items():
        at = export_to(at, target)
        assert not at.exception
        assert len(at.error) == 1
        assert said in at.error[0].value.replace("\\", "")
        assert field(at).value == str(target)
    assert "export" not in at.session_state["jobs"]
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_shared_server_writes_to_its_own_folders_only(
    opened, tmp_path, tiny_folder, monkeypatch
):
    monkeypatch.setattr("pages.shared.app.access.is_shared", lambda: True)
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    allowed = [str(tiny_folder), str(tmp_path / "allowed")]
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", ":".join(allowed))
    at = opened(calibration_text="embedded", eval_text="embedded")
    for uploader in at.get("file_uploader"):
        uploader.upload("mine.txt", TEXT.encode())
    at = export_to(at.run(), tmp_path / "elsewhere")
    assert "lies outside the folders" in at.error[0].value.replace("\\", "")
    assert "export" not in at.session_state["jobs"]
    at = finish(export_to(at, tmp_path / "allowed" / "smaller"), "export")
    assert at.success
    assert (tmp_path / "allowed" / "smaller" / "config.json").exists()


def test_a_shared_server_reads_no_texts_but_uploads(opened, monkeypatch):
    monkeypatch.setattr("pages.shared.app.access.is_shared", lambda: True)
    monkeypatch.setenv("LLMRANK_MODEL_DIRS", "/")
    at = opened()
    said = [w.value.replace("\\", "") for w in at.warning]
    assert sum("upload the text" in s and "'embedded'" in s for s in said) == 2
    own = {"calibration_text": "embedded", "eval_text": "embedded"}
    at = opened(criterion="gprune", second_text="/etc/hosts", **own)
    assert any("second_text cannot" in w.value.replace("\\", "") for w in at.warning)
    at = opened(criterion="gprune", **own)
    assert not at.warning


def test_an_export_that_fails_says_why_and_the_page_lives(opened, tmp_path):
    at = opened(model="nobody/nothing")
    at = finish(export_to(at, tmp_path / "smaller"), "export")
    assert not at.exception
    assert any("no model" in e.value for e in at.error)
    assert not at.success
    assert not (tmp_path / "smaller").exists()
    assert any(c.language == "python" for c in at.code)


def test_a_link_that_asks_wrongly_is_said_and_the_page_stands(opened):
    at = opened(sparsity="1.5", multiple_of="0")
    assert not at.exception
    warned = texts(at.warning).replace("\\", "")
    assert "sparsity must lie in [0, 1), got 1.5" in warned
    assert "multiple_of must" in warned
    assert experiment_of(at).pruning.sparsity == 0.3
