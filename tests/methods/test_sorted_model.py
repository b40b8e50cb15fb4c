"""Prefixes of sorted models against cut models, over drawn cases."""

import pytest
import torch
from conftest import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

import llmrank
from llmrank.evaluation.footprint import footprint
from llmrank.methods.allocation import Global, Uniform, allocation
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, PruningSpec, descending, plan, prune
from llmrank.methods.sorted_model import prefix, sort_neurons
from llmrank.models import ffn
from llmrank.models.families import SUPPORTED

PROMPT = torch.arange(1, 40)[None]
# few different values, so that ties are common
LAYER = st.lists(st.integers(0, 6).map(float), min_size=24, max_size=24)


def with_biases(model_type):
    """A tiny model whose biases differ from neuron to neuron, where it has any."""
    lm = tiny_model(model_type)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in lm.model.named_parameters():
        if name.endswith("bias"):
            parameter.normal_(std=0.3, generator=generator)
    return lm


MODELS = {family: with_biases(family) for family in ("llama", "gpt2", "opt")}


def scores_of(*layers):
    return Scores(tuple(torch.tensor(values) for values in layers))


def random_scores(lm, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Scores(
        tuple(torch.rand(w, generator=generator) for w in ffn.widths(lm.model))
    )


def logits(lm):
    return lm.model(PROMPT).logits


def storages(lm):
    return {p.untyped_storage().data_ptr() for p in lm.model.parameters()}


def extent(tensor):
    """The addresses from the first to beyond the last value of a view."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    last = sum((size - 1) * stride for size, stride in steps)
    start = tensor.data_ptr()
    return start, start + (last + 1) * tensor.element_size()


# What a prefix computes


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_prefix_computes_what_the_cut_model_computes_in_every_family(model_type):
    lm = with_biases(model_type)
    scores = random_scores(lm)
    made = plan(scores, PruningSpec(sparsity=0.4), Global())
    smaller = prefix(sort_neurons(lm, scores), made)
    assert ffn.widths(smaller.model) == made.widths
    expected = logits(prune(lm, made))
    torch.testing.assert_close(logits(smaller), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(expected, logits(lm), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", list(MODELS))
@given(
    st.tuples(LAYER, LAYER),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2),
    st.sampled_from(["uniform", "global"]),
    st.sampled_from([1, 5, 8]),
)
@settings(max_examples=15, deadline=None)
def test_every_plan_of_the_same_scores_is_a_prefix(
    family, layers, sparsities, by_name, multiple_of
):
    lm, scores = MODELS[family], scores_of(*layers)
    ordered = sort_neurons(lm, scores)
    for sparsity in sparsities:
        spec = PruningSpec(sparsity=sparsity, multiple_of=multiple_of)
        made = plan(scores, spec, allocation(by_name))
        smaller, pruned = prefix(ordered, made), prune(lm, made)
        torch.testing.assert_close(
            logits(smaller), logits(pruned), rtol=1e-4, atol=1e-4
        )
        assert footprint(smaller) == footprint(pruned)
        assert smaller.config.to_dict() == pruned.config.to_dict()


@pytest.mark.parametrize("family", list(MODELS))
def test_a_sorted_model_computes_what_the_dense_one_computes(family):
    lm = MODELS[family]
    ordered = sort_neurons(lm, random_scores(lm))
    torch.testing.assert_close(logits(ordered.lm), logits(lm), rtol=1e-4, atol=1e-4)
    assert ordered.dense_widths == (24, 24)


@pytest.mark.parametrize("family", list(MODELS))
def test_each_neuron_stands_in_its_place(family):
    """Row `places[j]` of the sorted layer is row j of the dense one, whole."""
    lm = MODELS[family]
    scores = random_scores(lm)
    ordered = sort_neurons(lm, scores)
    after = ffn.ffns(ordered.lm.model)
    for dense, there, places, by in zip(
        ffn.ffns(lm.model), after, ordered.places, scores.layers, strict=True
    ):
        assert torch.equal(there.up[places], dense.up)
        assert torch.equal(there.down[:, places], dense.down)
        if dense.gate is not None:
            assert torch.equal(there.gate[places], dense.gate)
        if dense.up_bias is not None:
            assert torch.equal(there.up_bias[places], dense.up_bias)
        ranked = torch.empty(24).index_put((places,), by)
        assert torch.equal(ranked, by.sort(descending=True).values)


def test_a_model_with_layers_of_different_widths_has_prefixes_too(tiny):
    uneven = prune(
        tiny, PruningPlan((torch.arange(0, 24, 3), torch.arange(5, 24)), (24, 24))
    )
    scores = random_scores(uneven)
    made = plan(scores, PruningSpec(sparsity=0.5))
    smaller = prefix(sort_neurons(uneven, scores), made)
    assert ffn.widths(smaller.model) == (4, 9)
    torch.testing.assert_close(
        logits(smaller), logits(prune(uneven, made)), rtol=1e-4, atol=1e-4
    )


def test_the_narrowest_prefix_is_the_best_neuron_of_each_layer(tiny):
    scores = random_scores(tiny)
    made = plan(scores, PruningSpec(sparsity=0.999))
    layers = ffn.ffns(prefix(sort_neurons(tiny, scores), made).model)
    for layer, dense, by in zip(
        layers, ffn.ffns(tiny.model), scores.layers, strict=True
    ):
        assert torch.equal(layer.up, dense.up[descending(by)[:1]])


# What it costs


@pytest.mark.parametrize("family", list(MODELS))
@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["uniform", "global"]))
@settings(max_examples=10, deadline=None)
def test_no_weight_is_copied(family, sparsity, by_name):
    lm = MODELS[family]
    scores = random_scores(lm)
    ordered = sort_neurons(lm, scores)
    made = plan(scores, PruningSpec(sparsity=sparsity), allocation(by_name))
    smaller = prefix(ordered, made)
    whole = dict(ordered.lm.model.named_parameters())
    for name, parameter in smaller.model.named_parameters():
        low, high = extent(whole[name])
        start, end = extent(parameter)
        assert low <= start < end <= high, name
    assert storages(smaller) <= storages(ordered.lm)
    for layer in ffn.ffns(smaller.model):
        assert layer.up.is_contiguous()
        assert layer.down.T.is_contiguous()


@pytest.mark.parametrize("family", list(MODELS))
def test_sorting_copies_the_ffn_weights_and_shares_the_rest(family):
    lm = MODELS[family]
    ordered = sort_neurons(lm, random_scores(lm))
    dense = dict(lm.model.named_parameters())
    projections = [
        id(m.weight)
        for p in ffn.projections(ordered.lm.model)
        for m in (p.gate, p.up, p.down)
        if m is not None
    ]
    for name, parameter in ordered.lm.model.named_parameters():
        shared = parameter.data_ptr() == dense[name].data_ptr()
        if name.endswith("weight"):
            assert shared == (id(parameter) not in projections), name


# Whose it is


def test_prefixes_of_one_sorted_model_stay_valid_beside_each_other(tiny):
    scores = random_scores(tiny)
    ordered = sort_neurons(tiny, scores)
    plans = [plan(scores, PruningSpec(sparsity=s)) for s in (0.25, 0.75, 0.5)]
    first, *others = [prefix(ordered, p) for p in plans]
    expected = logits(first)
    del ordered
    assert [ffn.widths(lm.model) for lm in (first, *others)] == [
        (18, 18), (6, 6), (12, 12),
    ]  # fmt: skip
    assert [lm.config.intermediate_size for lm in (first, *others)] == [18, 6, 12]
    for p in ffn.projections(others[0].model):
        p.down.register_forward_hook(lambda *_: torch.zeros(1, 39, 16))
    assert not torch.equal(logits(others[0]), logits(prune(tiny, plans[1])))
    assert torch.equal(logits(first), expected)
    modules = [{id(m) for m in lm.model.modules()} for lm in (first, *others)]
    assert not modules[0] & modules[1]
    assert not modules[1] & modules[2]


@pytest.mark.parametrize("family", list(MODELS))
def test_the_dense_model_is_left_as_it_is(family):
    lm = MODELS[family]
    before = {n: p.clone() for n, p in lm.model.named_parameters()}
    config, expected = lm.config.to_dict(), logits(lm)
    scores = random_scores(lm)
    ordered = sort_neurons(lm, scores)
    prefix(ordered, plan(scores, PruningSpec(sparsity=0.5)))
    assert all(torch.equal(p, before[n]) for n, p in lm.model.named_parameters())
    assert lm.config.to_dict() == config == ordered.lm.config.to_dict()
    assert torch.equal(logits(lm), expected)


def test_a_prefix_keeps_what_the_model_is_called_and_reads(tiny):
    scores = random_scores(tiny)
    smaller = prefix(sort_neurons(tiny, scores), plan(scores))
    assert smaller.spec == tiny.spec
    assert smaller.tokenizer is tiny.tokenizer
    assert not any(p.requires_grad for p in smaller.model.parameters())
    assert not any(p.is_inference() for p in smaller.model.parameters())


# What is refused


def test_a_plan_of_other_scores_is_refused(tiny):
    ordered = sort_neurons(tiny, random_scores(tiny))
    other = plan(random_scores(tiny, seed=1), PruningSpec(sparsity=0.5))
    with pytest.raises(ValueError, match="this plan was made from other scores"):
        prefix(ordered, other)


def test_one_neuron_out_of_its_turn_is_refused(tiny):
    scores = random_scores(tiny)
    order = [descending(s) for s in scores.layers]
    right = (order[0][:9].sort().values, order[1][:9].sort().values)
    wrong = torch.cat([order[1][:8], order[1][9:10]]).sort().values
    ordered = sort_neurons(tiny, scores)
    assert ffn.widths(prefix(ordered, PruningPlan(right, (24, 24))).model) == (9, 9)
    with pytest.raises(ValueError, match="keeps the highest scores of each layer"):
        prefix(ordered, PruningPlan((right[0], wrong), (24, 24)))


@pytest.mark.parametrize("widths", [(24, 23), (24,), (24, 24, 24)])
def test_scores_and_plans_of_another_model_are_refused(tiny, widths):
    others = Scores(tuple(torch.rand(w) for w in widths))
    with pytest.raises(ValueError, match="scores are of a model with other FFN widths"):
        sort_neurons(tiny, others)
    ordered = sort_neurons(tiny, random_scores(tiny))
    with pytest.raises(ValueError, match="made for a model with other FFN widths"):
        prefix(ordered, plan(others))


# The embedded model


@pytest.mark.slow
def test_prefixes_of_the_demo_model_read_text_as_its_cut_models():
    lm = llmrank.load("demo")
    lm.model.double()  # in float32 the order of sums moves logits by 2e-3
    scores = Scores(tuple(f.up.norm(dim=1) for f in ffn.ffns(lm.model)))
    ordered = sort_neurons(lm, scores)
    ids = lm.tokenizer("The river bends twice before the old mill, and in spring")
    prompt = torch.tensor([ids["input_ids"]], device=lm.device)
    for sparsity, by in ((0.1, Uniform()), (0.3, Global())):
        made = plan(scores, PruningSpec(sparsity=sparsity), by)
        smaller, pruned = prefix(ordered, made), prune(lm, made)
        assert storages(smaller) <= storages(ordered.lm)
        found, expected = (m.model(prompt).logits for m in (smaller, pruned))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
