"""The neuron graph: what is drawn, with which numbers, and what the page lets out."""

import io
import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser

import networkx as nx
import pytest
import torch
from conftest import tiny_model
from pyvis.network import Network

from llmrank.core.errors import OptionError
from llmrank.models import ffn
from llmrank.models.ffn import FFN
from llmrank.report.network import (
    NetworkSpec,
    graphml,
    html,
    network,
    network_table,
    score_parts,
)

ALL = {"n_neurons": 24, "n_residual": 16, "n_edges": 1000}
NASTY = '</script><script>alert(1)</script> <img src="//x/y" onerror=a()> href שלום'
ADDRESS = re.compile(
    r"""(src|href)\s*=\s*["']?\s*(https?:)?//|@import|url\(["']?http"""
)


def some_scores(n_layers=2, d_ff=24):
    rows = torch.rand(n_layers, d_ff, generator=torch.Generator().manual_seed(5))
    return tuple(rows / rows.sum(1, keepdim=True))


def highest(scores, n_kept):
    return tuple(s.argsort(descending=True)[:n_kept].sort().values for s in scores)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def layers(request):
    return ffn.ffns(tiny_model(request.param).model)


def hand_made(up, down):
    """One layer from two small lists of rows."""
    return FFN(0, None, torch.tensor(up), torch.tensor(down), None, None, None)


def drawn(graph, kind, layer):
    nodes = [n for _, n in graph.nodes(data=True) if n["kind"] == kind]
    return [n["index"] for n in nodes if n["layer"] == layer]


def test_every_edge_carries_the_models_weight_and_its_normalised_share(layers):
    graph = network(layers, some_scores(), None, NetworkSpec(layer=1, **ALL))
    assert graph.number_of_edges() == 2 * 16 * 24
    for source, target, edge in graph.edges(data=True):
        a, b = graph.nodes[source], graph.nodes[target]
        matrix = layers[1].up if b["kind"] == "neuron" else layers[1].down
        weight = float(matrix[b["index"], a["index"]])
        assert edge["signed"] == pytest.approx(weight)
        assert edge["weight"] == abs(edge["signed"])
        column = float(matrix[:, a["index"]].abs().sum())
        assert edge["share"] == pytest.approx(abs(weight) / column, rel=1e-5)


def test_shares_that_leave_a_node_sum_to_one(layers):
    graph = network(layers, some_scores(), None, NetworkSpec(**ALL))
    leaving = Counter()
    for source, _, share in graph.edges(data="share"):
        leaving[source] += share
    assert len(leaving) == 16 + 24
    assert list(leaving.values()) == pytest.approx([1] * len(leaving), rel=1e-5)


def test_shares_count_what_is_not_drawn(layers):
    spec = NetworkSpec(n_neurons=3, n_residual=16, n_edges=1000, which="highest")
    graph = network(layers, some_scores(), None, spec)
    source = "residual-0-0"
    shares = sum(edge["share"] for _, _, edge in graph.out_edges(source, data=True))
    neurons = drawn(graph, "neuron", 0)
    column = layers[0].up[:, 0].abs()
    assert shares == pytest.approx(float(column[neurons].sum() / column.sum()))


def test_drawn_edges_are_the_strongest_of_all_between_the_drawn_nodes(layers):
    spec = NetworkSpec(n_neurons=8, n_residual=6, n_edges=40)
    graph = network(layers, some_scores(), None, spec)
    first, last = drawn(graph, "residual", 0), drawn(graph, "residual", 1)
    neurons = drawn(graph, "neuron", 0)
    up, down = layers[0].up.abs(), layers[0].down.abs()
    all_edges = {(f"r{r}", f"L0·{n}"): float(up[n, r]) for r in first for n in neurons}
    for n, r in itertools.product(neurons, last):
        all_edges[f"L0·{n}", f"r{r}"] = float(down[r, n])
    strongest = sorted(all_edges, key=all_edges.get, reverse=True)[:40]
    table = network_table(graph)
    assert list(zip(table["source"], table["target"], strict=True)) == strongest
    assert table["weight"].is_monotonic_decreasing
    assert table["weight"].tolist() == pytest.approx([all_edges[e] for e in strongest])


@pytest.mark.parametrize(
    ("which", "places"),
    [
        ("highest", range(5)),
        ("lowest", range(19, 24)),
        ("both", [0, 1, 2, 22, 23]),
        ("boundary", range(14, 19)),
    ],
)
def test_neurons_are_chosen_by_their_place_in_score_order(layers, which, places):
    scores = some_scores()
    spec = NetworkSpec(n_neurons=5, which=which)
    graph = network(layers, scores, highest(scores, 17), spec)
    order = scores[0].argsort(descending=True).tolist()
    assert drawn(graph, "neuron", 0) == [order[place] for place in places]


@pytest.mark.parametrize("n_kept", [1, 24])
def test_boundary_at_either_end_still_draws_as_many_neurons(layers, n_kept):
    scores = some_scores()
    spec = NetworkSpec(n_neurons=6, which="boundary")
    graph = network(layers, scores, highest(scores, n_kept), spec)
    ranks = {n["rank"] for _, n in graph.nodes(data=True) if n["kind"] == "neuron"}
    assert ranks == (set(range(1, 7)) if n_kept == 1 else set(range(19, 25)))


def test_residuals_are_those_with_the_most_weight_to_the_drawn_neurons(layers):
    """Two of five are the heaviest of the highest neuron alone, or of one added.

    What is held among those drawn leaves the picture as it is.
    """
    scores, spec = some_scores(), NetworkSpec(n_neurons=4, n_residual=5)
    best, lowest = int(scores[0].argmax()), int(scores[0].argmin())
    for also, central in ((None, best), ((0, lowest), best), ((0, 11), 11)):
        graph = network(layers, scores, None, spec, also=also)
        neurons = drawn(graph, "neuron", 0)
        assert central in neurons
        assert len(neurons) == (4 if central == best else 5)
        sides = ((layers[0].up, 0), (layers[0].down.T, 1))
        for place, (weights, layer) in enumerate(sides):
            own = weights[central].abs().topk(2).indices.tolist()
            order = weights[neurons].abs().sum(0).argsort(descending=True).tolist()
            rest = [i for i in order if i not in own][:3]
            assert set(drawn(graph, "residual", layer)) == {*own, *rest}, place


def test_nodes_say_score_rank_strength_and_whether_they_are_dropped(layers):
    scores = some_scores()
    keep = highest(scores, 20)
    graph = network(layers, scores, keep, NetworkSpec(layer=1, **ALL))
    neurons = [n for _, n in graph.nodes(data=True) if n["kind"] == "neuron"]
    by_score = sorted(scores[1].tolist(), reverse=True)
    for n in neurons:
        i = n["index"]
        assert n["score"] == pytest.approx(float(scores[1][i]))
        assert by_score[n["rank"] - 1] == float(scores[1][i])
        assert n["dropped"] is (i not in keep[1].tolist())
        strength = layers[1].up[i].abs().sum() + layers[1].down[:, i].abs().sum()
        assert n["strength"] == pytest.approx(float(strength), rel=1e-5)
        assert n["label"] == f"L1·{i}"
    assert sum(n["dropped"] for n in neurons) == 4
    assert [n["y"] for n in neurons] == sorted(n["y"] for n in neurons)
    assert [n["rank"] for n in neurons] == list(range(1, 25))


def test_without_a_plan_nothing_is_dropped(layers):
    graph = network(layers, some_scores(), None, NetworkSpec())
    assert not any(dropped for _, dropped in graph.nodes(data="dropped"))


def test_mass_of_residuals_follows_the_pagerank_step(layers):
    """By the other road: the whole normalised matrix times the scores."""
    scores, mass = some_scores(), torch.arange(16.0)
    graph = network(layers, scores, None, NetworkSpec(**ALL), mass=mass)
    down = layers[0].down.double().abs()
    arriving = (down / down.sum(0)) @ scores[0].double()
    for _, node in graph.nodes(data=True):
        if node["kind"] == "residual":
            expected = (mass / mass.sum(), arriving)[node["layer"]][node["index"]]
            assert node["score"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("mass", [None, torch.zeros(16)])
def test_mass_unknown_or_zero_is_uniform(layers, mass):
    graph = network(layers, some_scores(), None, NetworkSpec(), mass=mass)
    first = [n["score"] for n in graph.nodes.values() if n["x"] == 0]
    assert first == pytest.approx([1 / 16] * 16)


def test_chained_layers_meet_in_one_column_of_residuals(layers):
    spec = NetworkSpec(n_layers=2, n_neurons=6, n_residual=4, n_edges=1000)
    graph = network(layers, some_scores(), None, spec)
    counts = Counter((n["x"], n["kind"], n["layer"]) for n in graph.nodes.values())
    assert [(kind, layer) for _, kind, layer in sorted(counts)] == [
        ("residual", 0), ("neuron", 0), ("residual", 1), ("neuron", 1), ("residual", 2)
    ]  # fmt: skip
    assert sorted(counts.values()) == [4, 4, 4, 6, 6]
    columns = sorted({x for x, _, _ in counts})
    for source, target in graph.edges:
        x = graph.nodes[source]["x"]
        assert graph.nodes[target]["x"] == columns[columns.index(x) + 1]
    assert graph.number_of_edges() == 4 * 4 * 6
    between = layers[0].down[:, drawn(graph, "neuron", 0)].abs().sum(1)
    between = between + layers[1].up[drawn(graph, "neuron", 1)].abs().sum(0)
    first, second = (int(s.argmax()) for s in some_scores())
    own = {int(layers[0].down[:, first].abs().argmax())}
    own |= {int(layers[1].up[second].abs().argmax())}
    rest = [i for i in between.argsort(descending=True).tolist() if i not in own]
    assert set(drawn(graph, "residual", 1)) == own | set(rest[: 4 - len(own)])


def test_weights_of_zero_are_no_edges_and_no_nan():
    layer = hand_made([[0.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]])
    scores = (torch.tensor([0.5, 0.5]),)
    graph = network((layer,), scores, None, NetworkSpec())
    edges = {(a, b): e["signed"] for a, b, e in graph.edges(data=True)}
    assert edges == {
        ("residual-0-1", "neuron-0-0"): 2,
        ("neuron-0-0", "residual-1-1"): 3,
    }
    out = [n["score"] for n in graph.nodes.values() if n["layer"] == 1]
    assert out == [1, 0]  # the mass of the neuron without edges is lost, then made up
    assert "NaN" not in html(graph, title="zeros", theme="light").split("<header>")[1]


def test_a_layer_of_nothing_but_zeros_is_drawn_without_edges():
    layer = hand_made([[0.0, 0.0]], [[0.0], [0.0]])
    graph = network((layer,), (torch.ones(1),), (torch.tensor([0]),), NetworkSpec())
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (5, 0)
    assert network_table(graph).empty
    assert "0 edges" in html(graph, title="zeros", theme="dark")
    assert nx.read_graphml(io.BytesIO(graphml(graph))).number_of_nodes() == 5


def test_all_equal_scores_are_drawn(layers):
    scores = (torch.full((24,), 1 / 24),) * 2
    graph = network(layers, scores, highest(scores, 12), NetworkSpec(n_neurons=4))
    assert drawn(graph, "neuron", 0) == [0, 1, 22, 23]
    assert html(graph, title="equal", theme="light")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (NetworkSpec(layer=2), "layer 2 is not there: the model has layers 0 to 1"),
        (NetworkSpec(layer=1, n_layers=2), "layer 2 is not there"),
        (NetworkSpec(which="boundary"), "which=boundary needs a pruning plan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(layers, spec, message):
    with pytest.raises(OptionError, match=message):
        network(layers, some_scores(), None, spec)


@pytest.mark.parametrize(
    "options",
    [
        {"n_edges": 1001},
        {"n_layers": 4},
        {"n_neurons": 0},
        {"layer": -1},
        {"which": "?"},
    ],
)
def test_options_outside_their_limits_are_refused(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        NetworkSpec(**options)


def test_more_than_300_nodes_are_refused():
    rows = torch.rand(200, 60, generator=torch.Generator().manual_seed(0))
    layer = FFN(0, None, rows, rows.T, None, None, None)
    scores = (torch.full((200,), 1 / 200),)
    at_most = NetworkSpec(n_neurons=200, n_residual=50, n_edges=1000)
    graph = network((layer,), scores, None, at_most)
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (300, 1000)
    with pytest.raises(OptionError, match="would draw 302 nodes, and at most 300"):
        network((layer,), scores, None, NetworkSpec(n_neurons=200, n_residual=51))


def test_graphml_comes_back_as_the_same_graph(layers):
    scores = some_scores()
    graph = network(layers, scores, highest(scores, 9), NetworkSpec(n_layers=2))
    back = nx.read_graphml(io.BytesIO(graphml(graph)))
    assert dict(back.nodes(data=True)) == dict(graph.nodes(data=True))
    assert list(back.edges(data=True)) == list(graph.edges(data=True))
    assert back.graph["n_layers"] == 2


def test_graphml_holds_any_label(layers):
    graph = network(layers, some_scores(), None, NetworkSpec(n_neurons=1, n_residual=1))
    graph.nodes["residual-0-" + str(drawn(graph, "residual", 0)[0])]["label"] = (
        NASTY + "\x00\x1b\ud800"
    )
    back = nx.read_graphml(io.BytesIO(graphml(graph)))
    labels = [label for _, label in back.nodes(data="label")]
    assert NASTY + "\ufffd\ufffd\ufffd" in labels


class Tags(HTMLParser):
    """All tags of a page with their attributes, and the text of its title."""

    def __init__(self, page):
        super().__init__()
        self.found, self.heading, self.inside = [], "", None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside == "bdi":
            self.heading += data
            self.inside = None


@pytest.fixture(scope="module")
def nasty_page(layers):
    graph = network(layers, some_scores(), highest(some_scores(), 12), NetworkSpec())
    for node in graph.nodes.values():
        node["label"] += NASTY
    return graph, html(graph, title=NASTY, theme="dark")


def test_page_requests_nothing_from_outside(layers, nasty_page):
    plain = html(
        network(layers, some_scores(), None, NetworkSpec()), title="x", theme="light"
    )
    assert not ADDRESS.search(plain)
    for page in (plain, nasty_page[1]):
        tags = Tags(page).found
        assert not [t for t, _ in tags if t in ("link", "img", "iframe", "base")]
        assert not [a for _, a in tags if {"src", "href", "srcset", "data"} & set(a)]
        policy = next(a["content"] for _, a in tags if "http-equiv" in a)
        assert policy.startswith("default-src 'none';")
        assert "//" not in policy


def test_the_search_for_addresses_finds_those_of_pyvis_own_page():
    page = Network(cdn_resources="in_line").generate_html()
    assert ADDRESS.search(page)
    assert [a["href"] for tag, a in Tags(page).found if tag == "link"]


def test_page_escapes_the_title_and_the_labels(nasty_page):
    graph, page = nasty_page
    tags = Tags(page)
    assert tags.heading == NASTY
    assert [tag for tag, _ in tags.found].count("script") == 2
    assert "alert(1)</script>" not in page
    labels = {n["label"] for n in values(page, "nodes")}
    assert labels == {label for _, label in graph.nodes(data="label")}


def values(page, name):
    return json.loads(re.search(rf"^const {name} = (.*);$", page, re.MULTILINE)[1])


def test_page_draws_the_graph_it_was_given(layers):
    scores = some_scores()
    graph = network(layers, scores, highest(scores, 12), NetworkSpec())
    page = html(graph, title="Layer 0", theme="light")
    nodes = {n["id"]: n for n in values(page, "nodes")}
    assert set(nodes) == set(graph.nodes)
    for name, node in graph.nodes.items():
        assert (nodes[name]["x"], nodes[name]["y"]) == (node["x"], node["y"])
        assert nodes[name]["dropped"] == node["dropped"]
        assert f"rank {node['rank']} of {node['size']}" in nodes[name]["title"]
    ends = [(e["from"], e["to"]) for e in values(page, "edges")]
    assert ends == list(graph.edges)
    assert "neuron, removed" in page
    neurons = {k: n for k, n in graph.nodes.items() if n["kind"] == "neuron"}
    best = next(name for name, n in neurons.items() if n["rank"] == 1)
    assert f'let held = "{best}"' in page
    assert [g["name"] for g in values(page, "columns")["groups"]] == [
        "highest 12 · kept",
        "lowest 12 · removed",
    ]
    fills = {
        n["rank"]: nodes[name]["fill"]
        for name, n in graph.nodes.items()
        if n["kind"] == "neuron"
    }
    assert (fills[1], fills[24]) == ("rgb(253, 231, 37)", "#ffffff")  # viridis, hollow
    assert "neuron, removed" not in html(
        network(layers, scores, None, NetworkSpec()), title="", theme="light"
    )


def test_a_score_is_drawn_as_what_it_adds_up_and_the_cut_is_the_least_kept(layers):
    scores = some_scores()
    keep, activation = highest(scores, 12), 0.5 * some_scores()[1]
    graph = network(layers, scores, keep, NetworkSpec(n_neurons=6))
    for part in (activation, None):
        parts = score_parts(scores[0], keep[0], part)
        page = html(graph, title="x", theme="light", parts=parts)
        for node in values(page, "nodes"):
            if node["kind"] == "residual":
                assert node["bars"] == []
                continue
            index = graph.nodes[node["id"]]["index"]
            own = float(scores[0][index])
            by_activation = 0 if part is None else min(float(part[index]), own)
            told = [own - by_activation, *([by_activation] if part is not None else [])]
            assert node["bars"] == pytest.approx([24 * v for v in told])
        least = 24 * float(scores[0].sort(descending=True).values[11])
        assert values(page, "columns")["cut"] == pytest.approx(least)
        assert ("by activation" in page) == (part is not None)
    parts = score_parts(scores[0], torch.arange(24), None)
    page = html(graph, title="x", theme="light", parts=parts)
    assert values(page, "columns")["cut"] is None


def test_page_is_made_without_writing_a_file(layers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = network(layers, some_scores(), None, NetworkSpec())
    assert html(graph, title="x", theme="light") != html(graph, title="x", theme="dark")
    assert list(tmp_path.iterdir()) == []
