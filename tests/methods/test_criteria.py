"""Every criterion's contract, and each one's numbers by another road."""

import copy
import inspect
import itertools
from dataclasses import replace
from functools import partial
from typing import get_args

import networkx as nx
import pytest
import torch
from conftest import tiny_model

from llmrank.calibration import gradients
from llmrank.calibration.activations import ActivationStats, LayerStats, measure
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.registry import recipe
from llmrank.core.specs import options
from llmrank.methods import criteria, graph, pagerank
from llmrank.methods.criteria import (
    CRITERIA,
    L1,
    L2,
    Activation,
    Cfsp,
    Flap,
    Gblm,
    GPrune,
    LLMRank,
    Random,
    ReverseRank,
    Scores,
    Taylor,
    TransAct,
    Wanda,
    criterion,
    score,
)
from llmrank.models import ffn
from llmrank.models.ffn import FFN
from llmrank.models.language_model import LanguageModel

FAMILIES = ("llama", "gpt2")
WINDOWS = torch.randint(0, 257, (4, 32), generator=torch.Generator().manual_seed(9))


OTHER = torch.randint(60, 90, (4, 32), generator=torch.Generator().manual_seed(3))
"""A second text, of other tokens."""


def stats_of(lm, windows=WINDOWS):
    return ActivationStats(measure(lm, windows), windows.numel(), "random tokens", "")


def evidence_of(lm):
    """All that any criterion reads beside the statistics."""
    (layers,) = gradients.measure(lm, WINDOWS)
    backwards = gradients.Gradients(layers, len(WINDOWS), "random tokens", "")
    return {"gradients": backwards, "second": stats_of(lm, OTHER)}


@pytest.fixture(scope="module")
def measured():
    lms = {family: tiny_model(family) for family in FAMILIES}
    return {family: (lm, stats_of(lm)) for family, lm in lms.items()}


@pytest.fixture(scope="module")
def evidence(measured):
    return {family: evidence_of(lm) for family, (lm, _) in measured.items()}


def variants():
    """Each criterion with each combination of its choices."""
    for name in CRITERIA:
        cls = CRITERIA[name]
        choices = {o.name: o.choices for o in options(cls) if o.choices}
        for picked in itertools.product(*choices.values()):
            fields = dict(zip(choices, picked, strict=True))
            yield pytest.param(cls(**fields), id=" ".join([name, *picked]))


every = pytest.mark.parametrize("by", list(variants()))


# The contract


@every
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_finite_and_not_negative_one_per_neuron(
    measured, evidence, family, by
):
    scores = score(*measured[family], by, **evidence[family])
    assert [len(s) for s in scores.layers] == [24, 24]
    for layer in scores.layers:
        assert layer.dtype == torch.float64
        assert layer.isfinite().all()
        assert (layer >= 0).all()
        assert len(layer.unique()) > 1


@every
def test_normalised_scores_sum_to_one_and_keep_their_order(measured, evidence, by):
    scores = score(*measured["llama"], by, **evidence["llama"])
    for raw, normalised in zip(scores.layers, scores.normalised, strict=True):
        assert float(normalised.sum()) == pytest.approx(1)
        assert torch.equal(raw.argsort(), normalised.argsort())


@every
def test_scoring_twice_gives_the_same_and_touches_no_global_seed(
    measured, evidence, by
):
    state, more = torch.random.get_rng_state(), evidence["llama"]
    first, second = (score(*measured["llama"], by, **more) for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.random.get_rng_state(), state)


def permuted(lm, orders):
    """The same function with its neurons in another order."""
    model = copy.deepcopy(lm.model)
    for p, order in zip(ffn.projections(model), orders, strict=True):
        conv = type(p.up).__name__ == "Conv1D"
        for module in (p.gate, p.up):
            if module is not None:
                module.weight.data = module.weight.data.index_select(int(conv), order)
                if getattr(module, "bias", None) is not None:
                    module.bias.data = module.bias.data[order]
        p.down.weight.data = p.down.weight.data.index_select(1 - int(conv), order)
    return LanguageModel(lm.spec, model, lm.tokenizer)


@pytest.fixture(scope="module")
def shuffled(measured):
    """Each model with its neurons in another order, and all that is measured of it."""
    generator, found = torch.Generator().manual_seed(2), {}
    for family, (lm, _) in measured.items():
        orders = [torch.randperm(24, generator=generator) for _ in range(2)]
        other = permuted(lm, orders)
        torch.testing.assert_close(
            other.model(WINDOWS).logits, lm.model(WINDOWS).logits, atol=1e-4, rtol=1e-4
        )
        found[family] = (orders, (other, stats_of(other)), evidence_of(other))
    return found


@every
@pytest.mark.parametrize("family", FAMILIES)
def test_permuting_a_models_neurons_permutes_its_scores(
    measured, evidence, shuffled, family, by
):
    if isinstance(by, Random):
        pytest.skip("random scores belong to positions")
    orders, other, more = shuffled[family]
    ours = score(*measured[family], by, **evidence[family])
    theirs = score(*other, by, **more)
    for a, b, order in zip(ours.layers, theirs.layers, orders, strict=True):
        torch.testing.assert_close(b, a[order], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def emptied():
    """A model whose first FFN has no weight but zero, and what is measured of it."""
    lm = tiny_model()
    for module in ("gate", "up", "down"):
        getattr(ffn.projections(lm.model)[0], module).weight.data.zero_()
    return (lm, stats_of(lm)), evidence_of(lm)


@every
def test_a_layer_without_any_weight_is_scored_too(emptied, by):
    """All of its neurons are alike; the other layer is scored as ever."""
    known, more = emptied
    scores = score(*known, by, **more)
    assert all(s.isfinite().all() and (s >= 0).all() for s in scores.layers)
    assert [float(s.sum()) for s in scores.normalised] == pytest.approx([1, 1])
    if not isinstance(by, Random):
        assert len(scores.layers[0].unique()) == 1
    assert len(scores.layers[1].unique()) > 1


@every
def test_half_precision_weights_are_scored_in_full(measured, evidence, by):
    (lm, stats), more = measured["llama"], evidence["llama"]
    half = LanguageModel(lm.spec, copy.deepcopy(lm.model).bfloat16(), lm.tokenizer)
    for a, b in zip(
        score(half, stats, by, **more).layers,
        score(lm, stats, by, **more).layers,
        strict=True,
    ):
        assert a.dtype == torch.float64
        torch.testing.assert_close(a, b, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("name", list(CRITERIA))
def test_a_criterion_explains_itself(name):
    cls = CRITERIA[name]
    assert cls.name == name
    assert cls().name == name
    first = inspect.getdoc(cls).splitlines()[0]
    assert first.endswith(".")
    assert not first.startswith(cls.__name__ + "(")  # dataclass's own docstring
    for o in options(cls):
        assert o.help
        cls(**{o.name: o.default})
        for choice in o.choices:
            cls(**{o.name: choice})


@every
def test_a_recipe_builds_its_criterion_again(by):
    plain = recipe(by)
    assert plain["name"] == by.name
    assert criterion(**plain) == by


# Refusals


def test_an_unknown_criterion_is_refused_with_those_there_are():
    with pytest.raises(OptionError) as caught:
        criterion("pagerank")
    assert str(caught.value) == (
        f"unknown criterion 'pagerank'; there are: {', '.join(CRITERIA)}"
    )


@pytest.mark.parametrize(
    ("name", "field", "has"),
    [
        ("wanda", "theta", "column_norm"),
        ("flap", "theta", "no parameters"),
        ("activation", "gamma", "site"),
        ("llm-rank", "seed", "theta, gamma, graph, site, variant"),
    ],
)
def test_a_foreign_parameter_is_refused_with_those_it_has(name, field, has):
    with pytest.raises(OptionError) as caught:
        criterion(name, **{field: 1})
    assert str(caught.value) == f"criterion {name} has no {field!r}; it has: {has}"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("by", [L1(), L2(), Wanda(), LLMRank()], ids=lambda by: by.name)
def test_weights_that_are_not_finite_are_refused(measured, by, bad):
    lm, stats = measured["llama"]
    broken = LanguageModel(lm.spec, copy.deepcopy(lm.model), lm.tokenizer)
    projection = ffn.projections(broken.model)[1]
    projection.up.weight.data[0, 0] = projection.down.weight.data[0, 0] = bad
    with pytest.raises(LLMRankError, match=r"finite"):
        score(broken, stats, by)


def test_statistics_of_another_model_are_refused(measured):
    lm, stats = measured["llama"]
    fewer = ActivationStats(stats.layers[:1], 5, "", "")
    with pytest.raises(ValueError, match="statistics have 1 layers, the model 2"):
        score(lm, fewer, Activation())


# Numbers by another road


def one_graph():
    """Two inputs, three neurons; all numbers small enough to check by hand."""
    up = torch.tensor([[3.0, -4.0], [0.0, 1.0], [2.0, 2.0]])
    down = torch.tensor([[1.0, 3.0, 0.0], [2.0, -4.0, 0.0]])
    stats = LayerStats(
        input_norm=torch.tensor([1.0, 3.0]),
        up_norm=torch.tensor([1.0, 1.0, 2.0]),
        neuron_norm=torch.tensor([2.0, 5.0, 1.0]),
        neuron_mean=torch.tensor([1.0, -1.0, 0.5]),
        neuron_abs_mean=torch.tensor([1.0, 2.0, 0.5]),
        output_norm=torch.tensor([1.0, 3.0]),
        block_cosine=1.0,
        block_angle=0.0,
    )
    return graph.FFNGraph(FFN(0, None, up, down, None, None, None), stats, n_tokens=4)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (L1(), [7, 1, 4]),
        (L2(), [5, 1, 8**0.5]),
        (L1(weights="all"), [7 + 3, 1 + 7, 4]),
        (L2(weights="all"), [30**0.5, 26**0.5, 8**0.5]),
        (Activation(), [2, 5, 1]),
        (Activation(site="up"), [1, 1, 2]),
        (Wanda(), [2 * 5**0.5, 5 * 5, 0]),
        (Wanda(column_norm="l1"), [2 * 3, 5 * 7, 0]),
        (TransAct(), [1, 2, 0.5]),
        # (sum of squares less 4 mean²) / 3, times 5, 25 and 0
        (Flap(), [(4 - 4) / 3 * 5, (25 - 4) / 3 * 25, 0]),
        # up: columns 5 and 7; down times the norms: 2, 15, 0 and 4, 20, 0
        (
            Cfsp(),
            [
                2 * (3 / 5 + 4 / 7 + 2 / 17 + 4 / 24) / 2,
                5 * (0 / 5 + 1 / 7 + 15 / 17 + 20 / 24) / 2,
                1 * (2 / 5 + 2 / 7) / 2,
            ],
        ),
        # each share is of the neuron's own sum: 1 in all, for `up` and for `down`
        (Cfsp(relative_to="neuron"), [2 * 2 / 2, 5 * 2 / 2, 1 * 1 / 2]),
        # |down|ᵀ = [[1, 2], [3, 4], [0, 0]], columns 4 and 6, s = (1/4, 3/4)
        (ReverseRank(theta=1, gamma=1), [5 / 16, 11 / 16, 0]),
        (ReverseRank(gamma=0), [2 / 8, 5 / 8, 1 / 8]),
        (
            ReverseRank(theta=1, gamma=1, direction="both"),
            [(5 / 16 * 81 / 140) ** 0.5, (11 / 16 * 15 / 140) ** 0.5, 0],
        ),
        # |W| = [[3, 4], [0, 1], [2, 2]], columns 5 and 7, s = (1/4, 3/4)
        (LLMRank(theta=1, gamma=1), [81 / 140, 15 / 140, 44 / 140]),
        # edges [[1, 1], [0, 1], [1, 1]], columns 2 and 3
        (LLMRank(theta=0, gamma=1), [3 / 8, 2 / 8, 3 / 8]),
        (LLMRank(gamma=0), [2 / 8, 5 / 8, 1 / 8]),
        # |W| s = (15, 3, 8) / 4, times (2, 5, 1) = (30, 15, 8) / 4
        (LLMRank(variant="modified"), [30 / 53, 15 / 53, 8 / 53]),
        (LLMRank(variant="modified", site="up"), [15 / 34, 3 / 34, 16 / 34]),
    ],
)
def test_one_layer_by_hand(by, expected):
    (found,) = by.layers([one_graph()])
    torch.testing.assert_close(found.float(), torch.tensor(expected).float())


@pytest.mark.parametrize("site", get_args(graph.Site))
@pytest.mark.parametrize("kind", ["isolated", "chained"])
def test_llm_rank_without_damping_ranks_as_activation(measured, site, kind):
    lm, stats = measured["llama"]
    by = LLMRank(gamma=0, site=site, graph=kind)
    ours, theirs = score(lm, stats, by), score(lm, stats, Activation(site=site))
    for a, b in zip(ours.layers, theirs.normalised, strict=True):
        torch.testing.assert_close(a, b)
        assert torch.equal(a.argsort(), b.argsort())


@pytest.mark.parametrize("site", get_args(graph.Site))
def test_a_score_less_its_activation_is_what_the_edges_bring(measured, site):
    """On an isolated graph: γ times what γ = 1 gives."""
    lm, stats = measured["llama"]
    by = LLMRank(gamma=0.3, site=site)
    ours = score(lm, stats, by)
    edges = score(lm, stats, replace(by, gamma=1.0))
    for s, e, layer in zip(
        ours.normalised, edges.normalised, stats.layers, strict=True
    ):
        torch.testing.assert_close(s - by.activation_part(layer), 0.3 * e)
    assert replace(by, variant="modified").activation_part(layer) is None


def test_without_zero_weights_theta_zero_ranks_as_activation(measured):
    """Each input then has an edge to every neuron: the degree term is constant."""
    lm, stats = measured["llama"]
    ours = score(lm, stats, LLMRank(theta=0, gamma=0.5))
    theirs = score(lm, stats, Activation())
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        assert torch.equal(a.argsort(), b.argsort())


def test_on_an_isolated_graph_only_the_ratio_of_theta_and_gamma_ranks(measured):
    """ρ = γθ / (1 − γ) is 1 for both."""
    lm, stats = measured["llama"]
    pair = (LLMRank(theta=1, gamma=0.5), LLMRank(theta=0.25, gamma=0.8))
    one, other = (score(lm, stats, by) for by in pair)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert not torch.allclose(a, b)
        assert torch.equal(a.argsort(), b.argsort())


def test_the_first_layer_of_a_chain_is_scored_as_by_itself(measured):
    lm, stats = measured["llama"]
    one, other = (
        score(lm, stats, LLMRank(graph=g, gamma=0.9)) for g in ("isolated", "chained")
    )
    torch.testing.assert_close(one.layers[0], other.layers[0])
    assert not torch.allclose(one.layers[1], other.layers[1])


def test_a_gate_enters_through_the_activation_alone(measured):
    lm, stats = measured["llama"]
    other = LanguageModel(lm.spec, copy.deepcopy(lm.model), lm.tokenizer)
    for p in ffn.projections(other.model):
        p.gate.weight.data *= -3
    for a, b in zip(
        score(lm, stats, LLMRank()).layers,
        score(other, stats, LLMRank()).layers,
        strict=True,
    ):
        assert torch.equal(a, b)


def test_flap_is_the_variance_of_what_goes_into_down(measured):
    """Every activation kept and asked for its variance, by a copy of the model."""
    lm, stats = measured["llama"]
    model, seen = copy.deepcopy(lm.model), []
    for p in ffn.projections(model):
        p.down.register_forward_hook(lambda _, x, __: seen.append(x[0]))
    model(WINDOWS)
    for found, x, view in zip(
        score(lm, stats, Flap()).layers, seen, ffn.ffns(lm.model), strict=True
    ):
        variance = x.flatten(0, -2).double().var(0)
        expected = variance * view.down.double().square().sum(0)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)


def test_a_neuron_that_never_varies_has_no_negative_variance():
    """Rounding leaves n·mean² above the sum of squares: 3 · (0.1)² in float32."""
    g = one_graph()
    tenth = torch.full((3,), 0.1)
    still = replace(g.stats, neuron_mean=tenth, neuron_norm=(3**0.5 * tenth) * 0.9999)
    (found,) = Flap().layers([replace(g, stats=still, n_tokens=3)])
    assert found.tolist() == [0, 0, 0]
    (of_one,) = Flap().layers([replace(g, n_tokens=1)])
    assert of_one.isfinite().all()


def test_cfsp_as_the_authors_code_ranks_as_activation(measured):
    """Each neuron's shares of its own weights add up to one, whatever they are."""
    ours = score(*measured["llama"], Cfsp(relative_to="neuron"))
    theirs = score(*measured["llama"], Activation())
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        torch.testing.assert_close(a, b * 3 / 16, rtol=1e-5, atol=0)
    other = score(*measured["llama"], Cfsp())
    assert not torch.equal(other.layers[0].argsort(), theirs.layers[0].argsort())


# Gradients


def per_sample(lm):
    """Weights and gradients of each sample, one row per neuron, by plain autograd."""
    model = copy.deepcopy(lm.model).requires_grad_()
    found = [{"gate": [], "up": [], "down": []} for _ in ffn.projections(model)]
    for ids in WINDOWS:
        model.zero_grad()
        model(ids[None], labels=ids[None]).loss.backward()
        for p, layer in zip(ffn.projections(model), found, strict=True):
            layer["gate"].append(p.gate.weight.grad.clone())
            layer["up"].append(p.up.weight.grad.clone())
            layer["down"].append(p.down.weight.grad.T.clone())
    for view, layer in zip(ffn.ffns(lm.model), found, strict=True):
        rows = {"gate": view.gate, "up": view.up, "down": view.down.T}
        yield [(rows[n].double(), torch.stack(layer[n]).double()) for n in rows]


def taylor_by_hand(members, by):
    """LLM-Pruner's importance of one layer, written out member by member."""
    parts = []
    for w, g in members:
        first, second = w * g.sum(0), (w * g).square().sum(0) / 2
        if by.granularity == "element":
            change = first - second if by.taylor_order == "second" else first
            parts.append(change.abs().sum(1))
        else:
            along = (w * g).sum(2).square().sum(0) / 2
            less = along if by.taylor_order == "second" else 0
            parts.append((first.sum(1) - less).abs())
    gate, up, down = parts
    return {
        "sum": gate + up + down,
        "product": gate * up * down,
        "max": torch.maximum(torch.maximum(gate, up), down),
        "last": down,
    }[by.aggregation]


@pytest.fixture(scope="module")
def by_autograd(measured):
    return list(per_sample(measured["llama"][0]))


@pytest.mark.parametrize(
    "by", [v.values[0] for v in variants() if v.values[0].name == "taylor"]
)
def test_taylor_is_the_papers_sum_over_each_group(measured, evidence, by_autograd, by):
    scores = score(*measured["llama"], by, **evidence["llama"])
    for found, members in zip(scores.layers, by_autograd, strict=True):
        expected = taylor_by_hand(members, by)
        scale = float(expected.max())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * scale)


@pytest.mark.parametrize("alpha", [0, 100])
def test_gblm_adds_gradient_norms_to_wanda(measured, evidence, by_autograd, alpha):
    """Weight by weight over each column of `down`, then summed."""
    lm, stats = measured["llama"]
    scores = score(lm, stats, Gblm(alpha=alpha), **evidence["llama"])
    for found, members, layer in zip(
        scores.layers, by_autograd, stats.layers, strict=True
    ):
        w, g = members[2]
        metric = w.abs() * (alpha * g.norm(dim=0) + layer.neuron_norm.double()[:, None])
        torch.testing.assert_close(found, metric.sum(1), rtol=1e-4, atol=1e-9)
    if alpha == 0:
        wanda = score(lm, stats, Wanda(column_norm="l1"))
        for a, b in zip(scores.layers, wanda.layers, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("by", "need"),
    [(Taylor(), "gradients"), (Gblm(), "gradients"), (GPrune(), "second text")],
)
def test_what_a_criterion_needs_and_has_not_is_named(measured, by, need):
    with pytest.raises(ValueError, match=f"{by.name} needs {need}, which is not given"):
        score(*measured["llama"], by)


@pytest.mark.parametrize("kind", ["gradients", "second"])
def test_evidence_of_another_model_is_refused(measured, evidence, kind):
    more = evidence["llama"]
    fewer = {**more, kind: replace(more[kind], layers=more[kind].layers[:1])}
    with pytest.raises(ValueError, match=r"have 1 layers, the model 2"):
        score(*measured["llama"], Taylor(), **fewer)


# Two texts


def two_texts(first, second, weights):
    """A layer of neurons with these norms on two texts, and these norms of weights."""
    ends, zeros = torch.ones(1), torch.zeros(len(weights))
    up = torch.tensor(weights)[:, None]
    view = FFN(0, None, up, torch.zeros(1, len(weights)), None, None, None)
    stats = [
        LayerStats(ends, zeros, torch.tensor(norms), zeros, zeros, ends, 1.0, 0.0)
        for norms in (first, second)
    ]
    return graph.FFNGraph(view, stats[0], 4, second=stats[1])


def test_gprune_ranks_each_part_within_itself():
    """By hand: ranks move by 0 0 0 0 and, of the others, 3 1 1 3 (of 8).

    Half is sensitive: the last four. Their signals are √65, √61, √61, √65, the median
    (the lower of the middle two) √61: the two at it go by their weights, 9 and 2.
    """
    g = two_texts(
        [1.0, 2.0, 3.0, 4.0, 8.0, 6.0, 5.0, 1.5],
        [1.0, 2.0, 3.0, 4.0, 1.5, 5.0, 6.0, 8.0],
        [1.0, 1.0, 1.0, 1.0, 1.0, 9.0, 2.0, 1.0],
    )
    (found,) = GPrune(sensitive_share=0.5).layers([g])
    robust = [1 / 8, 3 / 8, 5 / 8, 7 / 8]
    assert found.tolist() == [*robust, 2 / 4, 3 / 4, 1 / 4, 2 / 4]


def test_gprune_on_one_text_twice_ranks_as_activation(measured):
    lm, stats = measured["llama"]
    ours = score(lm, stats, GPrune(), second=stats)
    for a, b in zip(ours.layers, score(lm, stats, Activation()).layers, strict=True):
        assert torch.equal(a.argsort(), b.argsort())


def test_no_share_or_all_of_it_may_be_sensitive(measured, evidence):
    lm, stats = measured["llama"]
    second = evidence["llama"]["second"]
    none = score(lm, stats, GPrune(sensitive_share=0), second=second)
    for found, a, b in zip(none.layers, stats.layers, second.layers, strict=True):
        both = torch.hypot(a.neuron_norm, b.neuron_norm)
        assert torch.equal(found.argsort(), both.argsort())
    every = score(lm, stats, GPrune(sensitive_share=1), second=second)
    assert all(s.isfinite().all() and (s > 0).all() for s in every.layers)


def test_the_part_that_goes_by_weights_does_not_hear_its_activation():
    """A weak and sensitive neuron keeps its score while its activation varies."""
    first, second = [1.0, 2.0, 5.0, 9.0, 6.0], [1.0, 2.0, 9.0, 5.0, 3.0]
    weights = [1.0, 1.0, 1.0, 1.0, 7.0]
    by = GPrune(sensitive_share=0.6)
    (before,) = by.layers([two_texts(first, second, weights)])
    (after,) = by.layers([two_texts([*first[:4], 5.5], second, weights)])
    assert before[4] == after[4]


def test_weights_that_are_no_numbers_have_no_place(measured, evidence):
    lm, stats = measured["llama"]
    broken = LanguageModel(lm.spec, copy.deepcopy(lm.model), lm.tokenizer)
    ffn.projections(broken.model)[1].up.weight.data[:] = float("nan")
    with pytest.raises(LLMRankError, match=r"scores of layer 1 are not finite"):
        score(broken, stats, GPrune(), **evidence["llama"])


# The graph turned round


@pytest.mark.parametrize("site", get_args(graph.Site))
def test_reverse_rank_is_networkx_on_the_graph_turned_round(measured, site):
    """Outputs as sources, |down| as edges, one step of PageRank with a prior.

    On two node layers networkx's walk and ours agree in the second (DESIGN, section 5).
    """
    lm, stats = measured["llama"]
    by = ReverseRank(theta=1, gamma=0.6, site=site)
    found = score(lm, stats, by)
    views = ffn.ffns(lm.model)
    for ours, view, layer in zip(found.layers, views, stats.layers, strict=True):
        turned = nx.DiGraph()
        for i, j in itertools.product(range(16), range(24)):
            weight = abs(float(view.down[i, j]))
            turned.add_edge(("output", i), ("neuron", j), weight=weight)
        starts = distributed(layer.output_norm, "output")
        prior = getattr(layer, f"{site}_norm")
        ends = distributed(prior, "neuron")
        ranks = nx.pagerank(
            turned,
            alpha=0.6,
            personalization={n: v / 2 for n, v in (starts | ends).items()},
            dangling=starts,
            tol=1e-12,
            max_iter=1000,
        )
        theirs = torch.tensor([2 * ranks["neuron", j] for j in range(24)])
        torch.testing.assert_close(ours, theirs.double(), rtol=1e-4, atol=1e-7)


def distributed(mass, kind):
    shares = (mass.double() / mass.double().sum()).tolist()
    return {(kind, place): value for place, value in enumerate(shares)}


def test_the_last_layer_of_a_reversed_chain_is_scored_as_by_itself(measured):
    one, other = (
        score(*measured["llama"], ReverseRank(graph=g, gamma=0.9))
        for g in ("isolated", "chained")
    )
    torch.testing.assert_close(one.layers[1], other.layers[1])
    assert not torch.allclose(one.layers[0], other.layers[0])


def test_a_reversed_chain_is_a_chain_from_the_last_layer_back(measured):
    """Step by step: outputs → neurons → the inputs, which the block before puts out."""
    lm, stats = measured["llama"]
    found = score(lm, stats, ReverseRank(graph="chained", theta=0.7, gamma=0.9))
    mass = stats.layers[1].output_norm
    for place in (1, 0):
        view, layer = ffn.ffns(lm.model)[place], stats.layers[place]
        step = partial(pagerank.weighted_pagerank, theta=0.7, gamma=0.9)
        neurons = step(view.down.T, mass, layer.neuron_norm)
        torch.testing.assert_close(found.layers[place].float(), neurons)
        mass = step(view.up.T, neurons, layer.input_norm)


def test_both_directions_are_the_geometric_mean(measured):
    numbers = {"theta": 0.3, "gamma": 0.8}
    both, back, forth = (
        score(*measured["llama"], by).layers
        for by in (
            ReverseRank(direction="both", **numbers),
            ReverseRank(**numbers),
            LLMRank(**numbers),
        )
    )
    for m, b, f in zip(both, back, forth, strict=True):
        torch.testing.assert_close(m.square(), b * f, rtol=1e-6, atol=0)


def test_the_seed_decides_random_scores(measured):
    lm, stats = measured["llama"]
    one, two = (score(lm, stats, Random(seed=s)).layers for s in (1, 2))
    assert not torch.equal(one[0], two[0])
    assert not torch.equal(one[0], one[1])
    expected = torch.rand(48, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.cat(one), expected.double())


def test_all_zero_scores_normalise_to_uniform():
    zero = Scores((torch.zeros(4), torch.tensor([1.0, 3.0])))
    assert zero.normalised[0].tolist() == [0.25] * 4
    assert zero.normalised[1].tolist() == [0.25, 0.75]


def test_the_registry_holds_what_the_command_line_promises():
    assert list(CRITERIA)[:6] == [
        "llm-rank", "activation", "wanda", "l1", "l2", "random",
    ]  # fmt: skip
    assert criteria.CRITERIA.noun == "criterion"


# The formulas that are shown


@every
def test_a_formula_is_whole(by):
    assert by.formula.count("{") == by.formula.count("}")
    assert by.formula.count(r"\begin") == by.formula.count(r"\end")
    assert by.formula.count(r"\bigl") == by.formula.count(r"\bigr")
    assert "s" in by.formula


@pytest.mark.parametrize(
    ("theta", "gamma", "rho", "shown"),
    [
        (0.5, 0.5, 0.5, "= 0.5"),
        (1, 0.5, 1, "= 1"),
        (0.25, 0.8, 1, "= 1"),
        (0.7, 0, 0, "= 0"),
        (0.5, 1, float("inf"), r"= \infty"),
    ],
)
def test_rho_is_shown_as_it_is(theta, gamma, rho, shown):
    by = LLMRank(theta=theta, gamma=gamma)
    assert by.rho == pytest.approx(rho)
    assert rf"\frac{{\gamma\,\theta}}{{1-\gamma}} {shown} " in by.formula


def test_where_all_neurons_tie_there_is_no_rho(measured):
    by = LLMRank(theta=0, gamma=1)
    assert by.rho is None
    assert r"\rho" not in by.formula
    for layer in score(*measured["llama"], by).layers:
        torch.testing.assert_close(layer.float(), torch.full((24,), 1 / 24))
