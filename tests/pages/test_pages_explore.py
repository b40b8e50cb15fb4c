"""The Explore page: what it hands to the canvas, and what it takes from it."""

import base64
import itertools
import json
import re
import threading
import time
from dataclasses import replace

import pytest
import torch
from conftest import tiny_model
from streamlit.testing.v1 import AppTest
from visitor import finish, open_page, read, said
from wire import unpacked

from llmrank.analysis.neuron import Neuron, edges
from llmrank.core.errors import CancelledError
from llmrank.experiments import settings
from llmrank.experiments.pipeline import Pipeline, evidence, scores
from llmrank.report.payload import cut_crc
from pages.shared.app import assets, jobs, reading, resources

pytestmark = [  # some seconds each, together a minute
    pytest.mark.slow,
    pytest.mark.usefixtures("estimated_memory"),
]

PAGE = "pages/explore.py"


@pytest.fixture
def opened(tiny_folder, tiny_text):
    """A function that opens the page on a tiny model that has been read."""

    def with_settings(**more: str) -> AppTest:
        asked = {"model": str(tiny_folder), "calibration_text": str(tiny_text)}
        asked |= {"samples": "2", "seq_len": "32"}
        asked |= {"allocation": "uniform", "repair": "none"}
        return read(open_page(PAGE, **(asked | more)))

    return with_settings


def components(at: AppTest) -> dict:
    """What each component was given, by name."""
    found = {}
    for element in at.get("bidi_component"):
        proto = element.proto
        kind = proto.WhichOneof("data")
        data = json.loads(proto.json) if kind == "json" else proto.bytes
        found.setdefault(proto.component_name, []).append(data)
    return found


def canvas(at: AppTest) -> dict:
    (given,) = components(at)["llmrank_explorer"]
    return given


def experiment(at: AppTest):
    return settings.experiment(settings.applicable(at.session_state["settings"]))


def test_the_canvas_gets_the_settings_and_the_servers_own_cut(opened):
    at = opened(theta="0.25", sparsity="0.4", allocation="global")
    assert not at.exception
    given = canvas(at)
    assert given["settings"] == {
        "theta": 0.25, "gamma": 0.5, "sparsity": 0.4, "graph": "isolated",
        "allocation": "global", "multipleOf": 1,
    }  # fmt: skip
    e = experiment(at)
    plan = Pipeline().plan(e)
    assert given["agreed"]["crc"] == cut_crc(plan)
    assert given["agreed"]["nDropped"] == plan.n_dropped == round(0.4 * 48)


def test_widths_of_an_allocation_the_canvas_does_not_know_are_sent(opened):
    assert canvas(opened(sparsity="0.4"))["table"]["name"] == "block-influence"
    at = opened(sparsity="0.37", allocation="similarity")
    assert not at.exception
    table = canvas(at)["table"]
    assert table["name"] == "similarity"
    here = table["sparsities"].index(0.37)
    assert table["sparsities"] == sorted(table["sparsities"])
    plan = Pipeline().plan(experiment(at))
    assert tuple(table["kept"][here]) == plan.widths
    assert [sum(kept) for kept in table["kept"]] == [
        48 - int(48 * s + 0.5) for s in table["sparsities"]
    ]


def test_widths_found_for_one_sparsity_are_not_sent_for_others(
    opened, tmp_path, monkeypatch
):
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path))
    at = opened(sparsity="0.37", allocation="search", evaluations="8")
    specs = experiment(at)
    found = resources.pipeline().searched(specs).widths
    table = canvas(at.run())["table"]
    here = table["sparsities"].index(0.37)
    assert tuple(table["kept"][here]) == found
    assert [sum(kept) for kept in table["kept"]] == [
        48 - int(48 * s + 0.5) for s in table["sparsities"]
    ]


@pytest.mark.parametrize(("graph", "n_planes"), [("isolated", 3), ("chained", 11)])
def test_planes_are_sent_under_the_name_asked_for(opened, graph, n_planes):
    at = opened(graph=graph)
    assert not at.exception
    payloads = {
        header["name"]: (header, values)
        for header, values in map(unpacked, components(at)["llmrank_payload"])
    }
    given = canvas(at)
    header, values = payloads[given["planes"]]
    assert header["widths"] == [24, 24]
    assert values["planes"].shape == (n_planes, 48)
    others, _ = payloads[given["compared"]]
    assert others["names"][:5] == ["activation", "wanda", "l1", "l2", "random"]
    assert "llm-rank" not in others["names"]


def test_theta_and_gamma_do_not_change_what_is_sent(opened):
    one, other = opened(theta="0.1"), opened(theta="0.9", gamma="0.2")
    assert canvas(one)["planes"] == canvas(other)["planes"]
    assert canvas(one)["planes"] != canvas(opened(site="up"))["planes"]


def test_any_criterion_is_drawn_from_its_own_scores(opened):
    at = opened(criterion="wanda")
    assert not at.exception
    sent = {
        header["name"]: header
        for header, _ in map(unpacked, components(at)["llmrank_payload"])
    }
    assert sent[canvas(at)["planes"]]["names"] == ["wanda"]
    assert "exponents" not in sent[canvas(at)["planes"]]


def test_what_a_criterion_needs_is_read_by_a_job_before_it_is_drawn(
    tiny_folder, tiny_text
):
    """A seed of its own: nothing of this calibration has been read by others."""
    asked = {"model": tiny_folder, "calibration_text": tiny_text, "seed": 77}
    few = {"samples": 2, "seq_len": 32}
    plain = read(open_page(PAGE, **asked, **few))
    names = lambda at: {  # noqa: E731
        name
        for header, _ in map(unpacked, components(at)["llmrank_payload"])
        for name in header["names"]
    }
    assert {"flap", "cfsp"} <= names(plain)
    assert not {"taylor", "gblm", "gprune"} & names(plain)
    at = open_page(PAGE, **asked, **few, criterion="taylor")
    assert any("taylor needs gradients" in i.value for i in at.info)
    at = read(at)
    assert not at.exception
    assert {"taylor", "gblm"} <= names(at)


def test_the_sidebar_moves_what_the_canvas_does_not(opened):
    """θ and γ are the canvas's only where it has the planes for them."""
    keys = {slider.key for slider in opened(criterion="reverse-rank").slider}
    assert {"control_theta", "control_gamma"} <= keys
    assert "control_sparsity" not in keys


def test_the_sidebar_leaves_to_the_canvas_what_is_the_canvas(opened):
    at = opened()
    widgets = (*at.slider, *at.number_input, *at.selectbox)
    keys = {widget.key for widget in widgets}
    assert "control_criterion" in keys
    assert not keys & {"control_theta", "control_gamma", "control_sparsity"}


LINK = "explore.sort.index,explore.zoom.1-2-20,explore.neuron.1-5"


def test_a_link_reopens_the_view(opened):
    pin = "explore.pin.0.1_0.2_0.3_isolated_uniform_8"
    at = opened(view=f"{LINK},{pin}")
    given = canvas(at)
    assert given["view"] == {
        "sort": "index", "colour": "score", "edges": "off", "layer": 1, "from": 2,
        "to": 20, "brush": None,
    }  # fmt: skip
    assert given["chosen"] == {"layer": 1, "neuron": 5}
    assert given["pin"]["theta"] == 0.1
    assert given["pin"]["multipleOf"] == 8


@pytest.mark.parametrize(
    "view",
    ["explore.zoom.x-y-z", "explore.zoom.1", "explore.neuron.-1", "explore.neuron.9",
     "explore.pin.a_b", "explore.pin.2_0_0_isolated_uniform_1", "explore.sort.<script>",
     "explore.colour.", "explore.zoom." + "9" * 400, "nonsense"],
)  # fmt: skip
def test_a_view_that_cannot_be_is_the_usual_one(opened, view):
    at = opened(view=view)
    assert not at.exception
    given = canvas(at)
    assert (given["view"]["sort"], given["view"]["colour"]) == ("rank", "score")
    assert given["pin"] is None
    assert given["chosen"] is None


def test_a_held_neuron_is_shown_with_its_rank_under_every_criterion(opened):
    at = opened(view="explore.neuron.1-5")
    assert not at.exception
    assert "##### Layer 1, neuron 5" in [m.value for m in at.markdown]
    ranks = at.dataframe[0].value
    assert ranks["criterion"].tolist()[0] == "llm-rank"
    assert {"wanda", "flap", "random"} < set(ranks["criterion"])
    assert ranks["in layer"].between(1, 24).all()


def beside(at: AppTest) -> dict:
    """What is sent of the neuron held to its place beside the canvas."""
    sent = [header for header, _ in map(unpacked, components(at)["llmrank_payload"])]
    return next(header for header in sent if header["name"] == "held")


def test_a_neuron_just_taken_in_hand_is_read_and_one_of_a_link_is_not(opened):
    at = opened(view="explore.neuron.1-5")
    told = beside(at)
    assert (told["layer"], told["neuron"], told["reading"]) == (1, 5, False)
    lm = resources.pipeline().model(experiment(at))
    wiring = edges(lm, Neuron(1, 5), 3)
    assert [e["residual"] for e in told["incoming"]] == [
        e.residual for e in wiring.incoming
    ]
    assert [p["neuron"] for p in told["preceding"]] == [
        p.neuron.index for p in wiring.preceding
    ]
    assert len(told["promotes"]) == 4
    assert "contexts" not in told
    assert "inspect" not in at.session_state["jobs"]
    at.session_state["explorer_asked"] = "contexts"  # as a click in the canvas does
    told = beside(finish(at.run(), "inspect", state="done"))
    assert max(abs(part) for context in told["contexts"] for _, part in context) == 1
    assert "worth" not in told  # measured when asked for
    at.session_state["explorer_asked"] = "worth"
    told = beside(finish(at.run(), "inspect", state="done"))
    assert all("nats per token" in said for said in told["worth"])
    assert told["contexts"]


def test_a_held_neuron_that_the_model_has_not_is_one_sentence(opened):
    at = opened(view="explore.neuron.7-5")
    assert not at.exception
    assert any("layer must lie in 0 to 1" in e.value for e in at.error)
    assert canvas(at)["planes"]


@pytest.mark.slow
def test_a_neuron_is_read_and_measured(opened):
    at = opened(view="explore.neuron.0-3")
    at.button(key="inspect").click().run()
    at = finish(at, "inspect", state="done")
    assert not at.exception
    assert "What it is worth" in said(at)
    assert "nats per token" in said(at)


def test_a_neuron_is_answered_while_heavy_work_goes_on(opened):
    at, ends = opened(view="explore.neuron.0-4"), threading.Event()

    def measuring(job):
        for done in itertools.count():
            job.progress("Measuring", done, done + 1)
            if ends.wait(0.01):
                return

    heavy = resources.worker().submit("somebody", "Measuring", measuring)
    try:
        at.button(key="inspect").click().run()
        at = finish(at, "inspect", state="done")
        assert "What it is worth" in said(at)
        assert resources.worker().snapshot(heavy.id).state == "running"
    finally:
        ends.set()


def test_what_a_text_holds_is_shown_as_text(opened, tmp_path):
    hostile = "<script>alert(1)</script> <img src=x onerror=alert(2)> 'q' \u202e\u05d0 "
    path = tmp_path / "hostile.txt"
    path.write_text(hostile * 60)
    at = opened(view="explore.neuron.1-2", calibration_text=str(path))
    at = finish(at.button(key="inspect").click().run(), "inspect", state="done")
    assert not at.exception
    bodies = [html.proto.body for html in at.get("html")]
    bodies = [body for body in bodies if not body.startswith("<style>")]  # the frame's
    assert any("&lt;" in body and "background" in body for body in bodies)
    for body in bodies:
        tags = re.findall(r"<[^>]*>", body)
        assert {re.match(r"</?(\w+)", tag)[1] for tag in tags} <= {"p", "span", "code"}
        assert not any("src" in tag or " on" in tag for tag in tags)


def test_a_point_is_measured_and_joins_the_others(opened, tiny_text):
    more = {"eval_text": str(tiny_text), "eval_tokens": "1024"}
    at = opened(sparsity="0.45", **more)
    assert not at.get("plotly_chart")
    at.button(key="measure_here").click().run()
    at = finish(at, "probe", state="done")
    assert not at.exception
    assert len(at.get("plotly_chart")) == 1
    assert at.button(key="measure_here").disabled
    other = opened(sparsity="0.2", **more)
    assert len(other.get("plotly_chart")) == 1
    assert not other.button(key="measure_here").disabled


def test_a_shape_is_timed_once_for_every_criterion_that_leaves_it(opened):
    more = {"prompt_tokens": "8", "new_tokens": "2", "repeats": "3"}
    at = opened(sparsity="0.4", **more)
    at.button(key="time_here").click().run()
    at = finish(at, "timing", state="done")
    assert not at.exception
    assert any("its arithmetic allows" in m.value for m in at.markdown)
    assert at.button(key="time_here").disabled
    assert opened(sparsity="0.4", criterion="l1", **more).button("time_here").disabled
    assert not opened(sparsity="0.2", **more).button(key="time_here").disabled


@pytest.mark.parametrize(
    "other", [{"repair": "least-squares"}, {"repeats": "4"}, {"prompt_tokens": "9"}]
)
def test_a_speed_stands_under_the_setting_it_was_timed_with_alone(opened, other):
    """A repair that adds biases, or another prompt, is another model or another run."""
    more = {"prompt_tokens": "8", "new_tokens": "2", "repeats": "3"}
    at = opened(sparsity="0.3", **(more | other))
    at.button(key="time_here").click().run()
    at = finish(at, "timing", state="done")
    assert any("its arithmetic allows" in m.value for m in at.markdown)
    assert any(c.value.startswith("Times") for c in at.caption)
    plain = opened(sparsity="0.3", **more)
    assert not any("30 % of the neurons removed" in m.value for m in plain.markdown)
    assert not plain.button(key="time_here").disabled


def test_halves_of_the_calibration_answer_for_every_setting(opened):
    at = opened(samples="4")
    at.button(key="steady").click().run()
    at = finish(at, "steady", state="done")
    assert not at.exception
    assert "halves" in said(at)
    shown = at.dataframe[-1].value
    assert not [name for name in shown.columns if "_" in name]
    assert shown["Compared"].tolist()[0] == "Two halves"
    for name in ("Dropped by both", "Rank correlation, mean"):
        assert shown[name].iloc[0] in said(at)
    other = opened(samples="4", gamma="0.9", sparsity="0.6")
    assert any("halves" in m.value for m in other.markdown)


def test_a_large_models_scores_are_made_by_a_job(opened, monkeypatch):
    """The canvas stands meanwhile, and is told when the server has its own."""
    monkeypatch.setattr(reading, "MAX_AT_ONCE", 10)
    gate, made = threading.Event(), scores.planes

    def slow(*given, **more):
        assert gate.wait(60)
        return made(*given, **more)

    monkeypatch.setattr(scores, "planes", slow)
    gate.set()
    at = opened(samples="9")  # no other test has read so many
    gate.clear()
    at.session_state["settings"]["graph"] = "chained"
    at.run()  # its planes are asked for by themselves: the text is read already
    waiting = canvas(at)
    assert waiting["agreed"] is None
    assert waiting["settings"]["graph"] == "chained"
    assert waiting["widths"] == [24, 24]
    assert "llmrank_payload" not in components(at)
    assert not at.tabs
    gate.set()
    at = finish(at, "read", state="done")
    assert not at.exception
    assert canvas(at)["planes"] == waiting["planes"]
    assert canvas(at)["agreed"]["nDropped"] == Pipeline().plan(experiment(at)).n_dropped
    assert canvas(at)["compared"] is None
    assert len(components(at)["llmrank_payload"]) == 1
    at.toggle(key="compare_others").set_value(True).run()
    at = finish(at, "read", state="done")
    assert canvas(at)["compared"]
    assert len(components(at)["llmrank_payload"]) == 2


def test_a_first_look_is_drawn_while_the_rest_is_read(
    tiny_folder, tiny_text, monkeypatch
):
    """It is another experiment, of one window, and says so; what follows is whole."""
    gate, made = threading.Event(), evidence.calibrate

    def slow(model, spec, **more):
        assert spec.samples == 1 or gate.wait(60)
        return made(model, spec, **more)

    monkeypatch.setattr(evidence, "calibrate", slow)
    asked = {"model": tiny_folder, "calibration_text": tiny_text, "seed": 78}
    at = open_page(PAGE, **asked, samples=2, seq_len=32)
    assert canvas(at)["agreed"] is None
    at = at.button(key="read").click().run()
    specs = experiment(at)
    for _ in range(300):
        if resources.pipeline().scores.peek(reading.first_look(specs)):
            break
        time.sleep(0.1)
    given = canvas(at.run())
    assert given["look"] == "a first look: 1 of 2 windows of the text is read"
    few = replace(specs, calibration=replace(specs.calibration, samples=1))
    assert given["agreed"]["crc"] == cut_crc(Pipeline().plan(few))
    gate.set()
    whole = canvas(finish(at, "read", state="done"))
    assert whole["look"] is None
    assert whole["planes"] != given["planes"]
    assert whole["agreed"]["crc"] == cut_crc(Pipeline().plan(specs))


def test_a_job_that_was_stopped_is_not_begun_again_unasked(opened, monkeypatch):
    monkeypatch.setattr(reading, "MAX_AT_ONCE", 10)

    def stopped(*_, **__):
        raise CancelledError

    made = scores.planes
    at = opened(samples="11")
    monkeypatch.setattr(scores, "planes", stopped)
    at.session_state["settings"]["graph"] = "chained"
    at = finish(at.run(), "read", state="cancelled").run()
    assert [b.label for b in at.main.button if b.key == "read"] == ["Score its neurons"]
    first = at.session_state["jobs"]["read"]
    assert at.run().session_state["jobs"]["read"] == first
    monkeypatch.setattr(scores, "planes", made)
    at = finish(at.button(key="read").click().run(), "read", state="done")
    assert canvas(at)["agreed"]


def test_only_the_demo_model_is_read_unasked(tiny_folder, tiny_text, monkeypatch):
    """And no more of its own text than usual: a link starts nothing long."""
    started = []
    monkeypatch.setattr(jobs, "start", lambda kind, *_, **__: started.append(kind))
    asked = {"model": tiny_folder, "calibration_text": tiny_text, "seed": 79}
    assert open_page(PAGE, **asked).button(key="read").label == "Read the model"
    for more in ({"samples": 4096}, {"criterion": "taylor"}, asked | {"model": "demo"}):
        assert open_page(PAGE, **({"seed": 79} | more)).button(key="read")
    assert not started
    open_page(PAGE, seed=79, samples=2)
    assert started == ["read"]


def test_what_makes_a_setting_doubtful_is_said(opened):
    assert not opened().info
    at = opened(gamma="0.0")
    assert any("the graph has no say" in i.value for i in at.info)


def test_memory_that_runs_out_is_said_before_it_does(opened, monkeypatch):
    assert not opened().error
    monkeypatch.setattr(
        "llmrank.experiments.memory_estimate.free_bytes", lambda _: 1000
    )
    at = opened()
    assert not at.exception
    assert any("GB" in e.value and "memory" in e.value for e in at.error)


def test_modules_carry_what_they_import():
    source = assets.module("explorer/explorer.js")
    assert not re.search(r'from "\./', source)
    inner = re.findall(r'base64,([A-Za-z0-9+/=]+)"', source)
    assert any("class Engine" in base64.b64decode(b).decode() for b in inner)


def test_a_model_with_uneven_layers_is_drawn(tmp_path, tiny_text):
    import llmrank
    from llmrank.methods.pruning import PruningPlan

    keep = (torch.arange(24), torch.arange(7))
    llmrank.save(
        llmrank.prune(tiny_model(), PruningPlan(keep, (24, 24))), tmp_path / "m"
    )
    asked = {"model": tmp_path / "m", "calibration_text": tiny_text, "samples": 2}
    at = read(open_page(PAGE, **asked, seq_len=32))
    assert not at.exception
    header, _ = unpacked(components(at)["llmrank_payload"][0])
    assert header["widths"] == [24, 7]
