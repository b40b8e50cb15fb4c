"""The Graph page: the model's own edges, by its link, after others, at its limits."""

from pathlib import Path

import pytest
import torch
from conftest import save_folder, tiny_model
from streamlit.testing.v1 import AppTest
from visitor import buttons, open_page, read, said

import llmrank
from llmrank.core.formatting import number
from llmrank.experiments.settings import applicable, experiment
from llmrank.methods.pruning import PruningPlan
from llmrank.models.ffn import ffns, projections
from pages.shared.app import resources

pytestmark = pytest.mark.slow  # some seconds each, together a minute

PAGE = "pages/graph.py"
SMALL = {"samples": "2", "seq_len": "32"}


@pytest.fixture
def graph_page(tiny_folder, tiny_text):
    """A function that opens the page with further settings."""

    def with_settings(**more: str) -> AppTest:
        texts = {"model": tiny_folder, "calibration_text": tiny_text}
        return open_page(PAGE, **(texts | SMALL | more))

    return with_settings


@pytest.fixture(scope="module")
def ready(tiny_folder, tiny_text):
    """The page with its defaults, once read: not to be changed."""
    texts = {"model": tiny_folder, "calibration_text": tiny_text}
    return read(open_page(PAGE, **texts, **SMALL, allocation="uniform"))


def page_of(at: AppTest) -> str:
    """The mounted page: one, in no tab."""
    (frame,) = at.get("iframe")
    return frame.proto.srcdoc


def test_not_read_yet_the_page_offers_one_button_and_starts_nothing(graph_page):
    at = graph_page(samples="7")  # no other test has read so many
    assert not at.exception
    assert buttons(at) == ["Read the model"]
    assert not at.session_state["jobs"]
    assert not at.get("iframe")


def test_the_strongest_edges_are_the_models_own(ready, tiny):
    """All 24 neurons and 16 dimensions are shown: so are all edges."""
    assert not ready.exception
    assert not ready.error
    view = ffns(tiny.model)[1]
    every = torch.cat([view.up.flatten(), view.down.flatten()]).abs()
    table = ready.main.dataframe[0].value
    strongest = every.sort(descending=True).values
    assert table["weight"].tolist() == pytest.approx(strongest.tolist())
    first = table.iloc[0]
    times = f"×{every.max() / every.mean():.2f} the mean weight"
    heaviest = f"Heaviest edge drawn: {first['source']} → {first['target']}, {times}"
    assert heaviest in said(ready)


def test_it_opens_on_a_layer_that_loses_most_with_its_best_neuron_held(ready):
    """Of two layers that lose as many the middle is the second."""
    e = ready.session_state["settings"]
    asked = experiment(applicable(e))
    scores = resources.pipeline().scores(asked).normalised[1]
    best = int(scores.argmax())
    times = f"×{24 * float(scores[best]):.2f}"
    held = f"**L1·{best}**: rank 1 of 24, {times} its layer's mean, **kept**"
    assert held in said(ready)
    assert f'let held = "neuron-1-{best}"' in page_of(ready)
    assert "explore.neuron" not in ready.query_params.get("view", "")  # by nobody


def test_it_leads_with_what_separates_kept_from_removed(ready):
    """Seven of 24 are removed; the parts of the neuron held are Eq. 7's."""
    e = experiment(applicable(ready.session_state["settings"]))
    pipeline = resources.pipeline()
    scores, keep = pipeline.scores(e).normalised[1], pipeline.plan(e).keep[1]
    norm = pipeline.stats(e).layers[1].neuron_norm.double()
    of_mean = norm / norm.mean()
    removed = torch.ones(24, dtype=torch.bool).index_fill(0, keep, False)
    lead = next(m.value for m in ready.main.markdown if m.value.startswith("Layer 1 k"))
    assert lead.startswith("Layer 1 keeps 17 of 24 neurons **by ")
    kept, gone = (f"×{number(float(of_mean[mask].mean()))}" for mask in (keep, removed))
    assert kept in lead
    assert gone in lead
    table = ready.main.table[0].value
    best = int(scores.argmax())
    assert table.loc["activation", "this"] == number(float(of_mean[best]))
    edges = (scores - 0.5 * norm / norm.sum()) * 2  # γ is 0.5
    assert table.loc["edges", "this"] == number(float(24 * edges[best]))
    assert any("γ 0.50 × edges + 0.50 × activation" in c.value for c in ready.caption)


def test_a_criterion_that_adds_up_nothing_has_its_score_alone(graph_page):
    at = read(graph_page(criterion="l1", allocation="uniform"))
    assert not at.exception
    assert "they score ×" in said(at)
    assert list(at.main.table[0].value.index) == ["score"]
    assert "by activation" not in page_of(at)


def test_a_neuron_held_elsewhere_is_drawn_in_its_layer_whatever_its_rank(graph_page):
    few = "graph.n_neurons.2"
    at = read(graph_page(view=f"explore.neuron.0-5,{few}", allocation="uniform"))
    assert not at.exception
    assert "**L0·5**: rank " in said(at)
    assert '"neuron-0-5"' in page_of(at)
    at.button(key="to_explore").click().run()
    assert not at.exception
    assert "Which neurons" in said(at) + "".join(h.value for h in at.main.header)


def hold(at: AppTest, layer: int, neuron: int) -> None:
    """Hold a neuron as another page's click does, and run this one."""
    at.session_state["view"]["explore.neuron"] = f"{layer}-{neuron}"
    at.session_state["view"].pop("graph.layer", None)
    at.run()
    assert not at.exception


def test_one_neuron_is_held_and_no_earlier_one_is_drawn_beside_it(graph_page):
    """Held elsewhere, then in the picture, then by another method; or let go."""
    few = "graph.n_neurons.2"
    at = read(graph_page(view=f"explore.neuron.1-5,{few}", allocation="uniform"))
    scores = resources.pipeline().scores(
        experiment(applicable(at.session_state["settings"]))
    )
    middle = scores.normalised[1].argsort()[8:12].tolist()
    for index in middle[:2]:
        hold(at, 1, index)
        assert f"**L1·{index}**: rank " in said(at)
        assert page_of(at).count('"kind": "neuron"') == 3
        assert f'"neuron-1-{index}"' in page_of(at)
    at.slider(key="look_graph.layer_0").set_value(0).run()
    assert "explore.neuron" not in at.query_params["view"][0]
    assert page_of(at).count('"kind": "neuron"') == 2
    assert any("click another's" in c.value for c in at.main.caption)
    at.switch_page("pages/scores.py").run()
    hold(at, 1, middle[2])
    at.switch_page(PAGE).run()
    assert f"**L1·{middle[2]}**: rank " in said(at)  # in its layer, not in 0


def test_who_writes_and_reads_a_dimension_that_is_held(graph_page, tiny):
    at = read(graph_page(view="graph.layer.1"))
    at.session_state["graph_dimension"] = ("residual-1-3", {})
    at.run()
    assert not at.exception
    assert "**Residual dimension 3**" in said(at)
    written, read_most = (frame.value for frame in at.main.dataframe[:2])
    first, second = ffns(tiny.model)
    for table, weights in ((written, first.down[3]), (read_most, second.up[:, 3])):
        neuron = int(table["neuron"].iloc[0])
        assert neuron == int(weights.abs().argmax())
        assert table["weight"].iloc[0] == pytest.approx(float(weights[neuron]))
        share = float(weights[neuron].abs() / weights.abs().sum())
        assert table["share"].iloc[0] == pytest.approx(100 * share)


def test_the_page_in_the_page_asks_nobody_and_has_a_name(ready):
    page = page_of(ready)
    assert "default-src 'none'" in page
    for tag in ("<link", "<script src", "<img", "<iframe"):
        assert tag not in page
    assert ready.get("iframe")[0].proto.alt == "tiny-llama, layer 1, llm-rank"


def test_dropped_neurons_are_marked_as_the_plan_drops_them(ready):
    page = page_of(ready)
    assert "neuron, removed" in page
    assert page.count('"dropped": true') == 7


def test_three_files_can_be_taken_along(ready):
    labels = [b.label for b in ready.get("download_button")]
    assert labels == ["Page (HTML)", "GraphML", "CSV"]


def test_a_chain_is_drawn_and_kept_over_another_page_and_in_the_link(graph_page):
    at = read(graph_page())
    at.slider(key="look_graph.layer_0").set_value(0).run()
    assert said(at).count("Layer 0 joins 24 neurons") == 1
    at.slider(key="look_graph.n_layers_0").set_value(2).run()
    assert not at.exception
    assert "Layers 0 to 1 join 48 neurons" in said(at)
    link = at.query_params["view"]
    at.switch_page("pages/scores.py").run()
    assert not at.exception
    at.switch_page(PAGE).run()
    assert not at.exception
    assert "Layers 0 to 1 join 48 neurons" in said(at)
    reopened = read(graph_page(view=link))
    assert "Layers 0 to 1 join 48 neurons" in said(reopened)
    assert reopened.get("iframe")[0].proto.alt == "tiny-llama, layers 0 to 1, llm-rank"


def test_a_view_that_cannot_be_is_said_and_the_page_lives(graph_page):
    wrong = ("graph.layer.99", "graph.n_neurons.x", "graph.which.<script>", "graph.foo")
    at = read(graph_page(view=",".join(wrong)))
    assert not at.exception
    warned = [w.value.replace("\\", "") for w in at.main.warning]
    assert len(warned) == 3
    assert (
        "layer must be a whole number and lie in [0, 1], got 99; showing 1." in warned
    )
    assert "Layer 1 joins" in said(at)


@pytest.mark.parametrize("which", ["boundary", "lowest"])
def test_at_sparsity_zero_no_neuron_is_marked(graph_page, which):
    at = read(graph_page(sparsity="0", view=f"graph.which.{which},graph.n_neurons.5"))
    assert not at.exception
    assert not at.error
    assert "neuron, removed" not in page_of(at)
    assert any("no boundary" in c.value for c in at.caption) == (which == "boundary")


def test_layers_of_different_widths_are_drawn_as_wide_as_they_are(graph_page, tmp_path):
    kept = PruningPlan((torch.arange(20), torch.arange(9)), (24, 24))
    folder = tmp_path / "uneven"
    llmrank.save(llmrank.prune(tiny_model(), kept), str(folder))
    at = read(graph_page(model=str(folder), view="graph.layer.1"))
    assert not at.exception
    assert "Layer 1 joins 9 neurons" in said(at)
    assert at.slider(key="look_graph.n_neurons_0").max == 20


def test_a_wide_model_with_too_many_nodes_says_what_to_lower(graph_page, tmp_path):
    """300 nodes are what a browser moves; the controls stay to lower one of them."""
    folder = tmp_path / "wide"
    save_wide(folder)
    view = "graph.n_layers.2,graph.n_neurons.200"
    at = read(graph_page(model=str(folder), view=view))
    assert not at.exception
    assert "at most 300 are allowed" in at.main.error[0].value.replace("\\", "")
    at.slider(key="look_graph.n_neurons_0").set_value(24).run()
    assert not at.error
    assert page_of(at)


def save_wide(folder: Path) -> None:
    """Save a tiny model whose FFNs have 250 random neurons."""
    lm = tiny_model()
    for p in projections(lm.model):
        shapes = {p.gate: (250, 16), p.up: (250, 16), p.down: (16, 250)}
        for module, shape in shapes.items():
            weight = torch.rand(shape, generator=torch.Generator().manual_seed(0))
            module.weight = torch.nn.Parameter(weight - 0.5)
    lm.model.config.intermediate_size = 250
    save_folder(lm, folder)


def test_a_folders_name_is_text_in_the_page(graph_page, tiny, tmp_path):
    folder = save_folder(tiny, tmp_path / "a<img src=x onerror=alert(1)>")
    at = read(graph_page(model=str(folder)))
    assert not at.exception
    assert "<img" not in page_of(at)
    assert "a&lt;img" in page_of(at)
