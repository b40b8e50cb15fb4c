"""Every criterion's contract, and each one's numbers by another road."""

import copy
import inspect
import itertools
from typing import get_args

import pytest
import torch
from conftest import tiny_model

from llmrank import criteria, ffn, graph
from llmrank.calibration import ActivationStats, LayerStats, measure
from llmrank.criteria import (
    CRITERIA,
    L1,
    L2,
    Activation,
    LLMRank,
    Random,
    Scores,
    Wanda,
    criterion,
    score,
)
from llmrank.errors import LLMRankError, OptionError
from llmrank.ffn import FFN
from llmrank.models import LanguageModel
from llmrank.options import options
from llmrank.registry import recipe

FAMILIES = ("llama", "gpt2")
WINDOWS = torch.randint(0, 257, (4, 32), generator=torch.Generator().manual_seed(9))


def stats_of(lm):
    return ActivationStats(measure(lm, WINDOWS), WINDOWS.numel(), "random tokens", "")


@pytest.fixture(scope="module")
def measured():
    lms = {family: tiny_model(family) for family in FAMILIES}
    return {family: (lm, stats_of(lm)) for family, lm in lms.items()}


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
def test_scores_are_finite_and_not_negative_one_per_neuron(measured, family, by):
    scores = score(*measured[family], by)
    assert [len(s) for s in scores.layers] == [24, 24]
    for layer in scores.layers:
        assert layer.dtype == torch.float64
        assert layer.isfinite().all()
        assert (layer >= 0).all()
        assert len(layer.unique()) > 1


@every
def test_normalised_scores_sum_to_one_and_keep_their_order(measured, by):
    scores = score(*measured["llama"], by)
    for raw, normalised in zip(scores.layers, scores.normalised, strict=True):
        assert float(normalised.sum()) == pytest.approx(1)
        assert torch.equal(raw.argsort(), normalised.argsort())


@every
def test_scoring_twice_gives_the_same_and_touches_no_global_seed(measured, by):
    state = torch.random.get_rng_state()
    first, second = (score(*measured["llama"], by) for _ in range(2))
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


@every
@pytest.mark.parametrize("family", FAMILIES)
def test_permuting_a_models_neurons_permutes_its_scores(measured, family, by):
    if isinstance(by, Random):
        pytest.skip("random scores belong to positions")
    lm, stats = measured[family]
    generator = torch.Generator().manual_seed(2)
    orders = [torch.randperm(24, generator=generator) for _ in range(2)]
    other = permuted(lm, orders)
    torch.testing.assert_close(
        other.model(WINDOWS).logits, lm.model(WINDOWS).logits, atol=1e-4, rtol=1e-4
    )
    ours, theirs = score(lm, stats, by), score(other, stats_of(other), by)
    for a, b, order in zip(ours.layers, theirs.layers, orders, strict=True):
        torch.testing.assert_close(b, a[order], rtol=1e-4, atol=1e-6)


@every
def test_a_layer_without_any_weight_is_scored_too(by):
    """All of its neurons are alike; the other layer is scored as ever."""
    lm = tiny_model()
    for module in ("gate", "up", "down"):
        getattr(ffn.projections(lm.model)[0], module).weight.data.zero_()
    scores = score(lm, stats_of(lm), by)
    assert all(s.isfinite().all() and (s >= 0).all() for s in scores.layers)
    assert [float(s.sum()) for s in scores.normalised] == pytest.approx([1, 1])
    if not isinstance(by, Random):
        assert len(scores.layers[0].unique()) == 1
    assert len(scores.layers[1].unique()) > 1


@every
def test_half_precision_weights_are_scored_in_full(measured, by):
    lm, stats = measured["llama"]
    half = LanguageModel(lm.spec, copy.deepcopy(lm.model).bfloat16(), lm.tokenizer)
    for a, b in zip(
        score(half, stats, by).layers, score(lm, stats, by).layers, strict=True
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
        ("wanda", "theta", "no parameters"),
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
        neuron_mean=torch.zeros(3),
        output_norm=torch.tensor([1.0, 1.0]),
        block_cosine=1.0,
        block_angle=0.0,
    )
    return graph.FFNGraph(FFN(0, None, up, down, None, None, None), stats)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (L1(), [7, 1, 4]),
        (L2(), [5, 1, 8**0.5]),
        (Activation(), [2, 5, 1]),
        (Activation(site="up"), [1, 1, 2]),
        (Wanda(), [2 * 5**0.5, 5 * 5, 0]),
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
