"""Recovery on the pages: asked for in the bar, drawn while it runs, ended early."""

import json
import threading
import time

import pytest
from streamlit.testing.v1 import AppTest
from visitor import finish, open_page, said

from llmrank.core.formatting import times
from llmrank.methods.recovery import Moment, Reading, training
from llmrank.models.language_model import ModelSpec
from llmrank.report.charts import training_chart
from pages.shared.app import resources


@pytest.fixture
def overview(asked, tiny_text, tmp_path, monkeypatch):
    """The page on a tiny model with a recovery of a second or two."""
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    long = tmp_path / "long.txt"
    long.write_text(tiny_text.read_text("utf-8") * 2, "utf-8")
    trained = {
        "recovery": "distil",
        "recovery_text": str(long),
        "train_tokens": "2048",
        "lr": "0.01",
    }
    return lambda **more: open_page("app.py", **(asked | trained | more))


def chart(at: AppTest, key: str) -> dict:
    (spec,) = [c.proto.spec for c in at.get("plotly_chart") if c.key == key]
    return json.loads(spec)


def test_a_recovery_is_in_the_bar_with_its_budget(overview):
    at = overview(minutes="7")
    assert not at.exception
    labels = [block.proto.popover.label for block in at.get("popover")]
    assert any("distil 2,048 tokens" in label for label in labels)
    shown = {c.label: c.value for c in at.number_input}
    assert shown["Tokens of training, not minutes"] == 2048
    assert shown["Learning rate"] == 0.01


def test_what_minutes_buy_is_told_once_the_model_has_read(overview, tiny_folder):
    evidence = resources.pipeline().evidence
    model = ModelSpec(str(tiny_folder), device="cpu")
    evidence.note_pace(model, 1000, time.perf_counter() - 1)
    at = overview(minutes="8", train_tokens="0")
    (about,) = [c.value for c in at.caption if "as fast as it has read" in c.value]
    assert about.startswith("About 120,000 tokens here")


@pytest.mark.slow
@pytest.mark.usefixtures("estimated_memory")
def test_a_recovery_is_drawn_while_it_runs_and_may_be_ended_early(
    overview, monkeypatch
):
    goes_on, step = threading.Event(), training.Training._step
    begun = threading.Event()

    def slow(self, ids):
        if self._n_tokens >= 1024:
            begun.set()
            assert goes_on.wait(60)
        return step(self, ids)

    monkeypatch.setattr(training.Training, "_step", slow)
    at = overview(train_tokens="1000000")
    at.button(key="measure_bar").click().run()
    try:
        assert begun.wait(60)
        at.run()
        assert not at.exception
        drawn = {t["name"]: t for t in chart(at, "training")["data"]}
        assert drawn["fresh batches"]["x"] == [512, 1024]
        assert drawn["held out of this text"]["x"] == [0]
        assert "Fresh batches are of the text that is trained on" in said(at)
        at.slider(key="control_sparsity").set_value(40.0).run()
        assert not [c for c in at.get("plotly_chart") if c.key == "training"]
        at.slider(key="control_sparsity").set_value(50.0).run()
        at.button(key="enough_measure").click().run()
    finally:
        goes_on.set()
    at = finish(at, "measure", state="done")
    report = resources.worker().snapshot(at.session_state["jobs"]["measure"]).result
    assert report.environment["recovery"].endswith("; stopped by hand")
    assert report.comparison.perplexity_ratio is not None
    looks = {t["name"]: t for t in chart(at, "recovered")["data"]}
    assert looks["held out of this text"]["x"][-1] < 10_000


def test_the_picture_has_every_moment_and_says_what_they_are_of():
    start = {"a": Reading(0.3, 3.0, 3.5), "b": Reading(0.2, 2.0, 2.1)}
    curve = [
        Moment(0, 1.0, None, start),
        *(Moment(512 * i, 2.0, Reading(0.3, 3.0, 3.4), {}) for i in range(1, 4)),
        Moment(2048, 4.0, Reading(0.2, 3.0, 3.2), start),
    ]
    fresh, a, b = training_chart(curve).data[:3]
    assert fresh.x == (512, 1024, 1536, 2048)
    assert fresh.y[0] == pytest.approx(curve[1].batch.ratio)
    assert fresh.y[3] == pytest.approx(sum(m.batch.ratio for m in curve[1:]) / 4)
    assert times(a.y[0]) == "×1.65"
    assert a.x == (0, 2048)
    assert b.x == (0, 2048)
