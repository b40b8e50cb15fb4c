"""One neuron asked, each answer against plain loops, masks and explicit formulas."""

import copy
import dataclasses
import math
from functools import partial

import pytest
import torch
from conftest import TEXT, tiny_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmrank.analysis.neuron import (
    Neuron,
    activations,
    contexts,
    edges,
    effect,
    firing,
    logit_lens,
    promoted,
    ranks,
    token_strings,
)
from llmrank.analysis.neuron.ablation import switch
from llmrank.calibration.activations import CalibrationSpec, calibrate, measure
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.core.statistics import t_interval
from llmrank.data.texts import sampled_windows, text
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate
from llmrank.methods.allocation import Global, Uniform
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan, prune
from llmrank.models import ffn
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import ModelSpec, load

FAMILIES = ["llama", "gpt2"]
MODELS = {family: tiny_model(family) for family in FAMILIES}
N_NEURONS = 24
N_RESIDUAL = 16


@pytest.fixture(params=FAMILIES)
def lm(request):
    return MODELS[request.param]


@pytest.fixture(scope="module")
def calibration(tiny_text):
    return CalibrationSpec(calibration_text=str(tiny_text), samples=12, seq_len=40)


@pytest.fixture(scope="module")
def held_out(tiny_text):
    return EvaluationSpec(eval_text=str(tiny_text), eval_tokens=2048)


def weights(lm):
    """Plain lists: up[layer][neuron][residual] and down[layer][residual][neuron]."""
    views = ffn.ffns(lm.model)
    return [v.up.tolist() for v in views], [v.down.tolist() for v in views]


# Which neuron


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        (Neuron(2, 0), "layer must lie in 0 to 1 for this model, got 2"),
        (Neuron(1, 24), "neuron must lie in 0 to 23 in layer 1, got 24"),
        (Neuron(10**9, 0), "layer must lie in 0 to 1 for this model, got 1000000000"),
    ],
)
def test_a_neuron_that_is_not_there_is_refused(
    tiny, calibration, held_out, neuron, message
):
    scores = Scores((torch.rand(24), torch.rand(24)))
    asked = [
        lambda: ranks(neuron, {"any": scores}),
        lambda: edges(tiny, neuron),
        lambda: firing(tiny, calibration, [Neuron(0, 0), neuron]),
        lambda: promoted(tiny, neuron),
        lambda: effect(tiny, plan(scores), neuron, held_out),
    ]
    for ask in asked:
        with pytest.raises(OptionError) as caught:
            ask()
        assert str(caught.value) == message


@pytest.mark.parametrize(("layer", "index"), [(-1, 0), (0, -1), (0, 1.5), ("0", 0)])
def test_a_neuron_has_whole_numbers_from_zero(layer, index):
    with pytest.raises(OptionError, match="must be a whole number of at least 0"):
        Neuron(layer, index)


def test_fewer_than_one_of_anything_is_refused(tiny, calibration):
    neuron = Neuron(0, 0)
    asked = {
        "n": lambda: edges(tiny, neuron, 0),
        "n ": lambda: promoted(tiny, neuron, 0),
        "n_contexts": lambda: firing(tiny, calibration, [neuron], n_contexts=0),
        "width": lambda: firing(tiny, calibration, [neuron], width=0),
    }
    for name, ask in asked.items():
        with pytest.raises(OptionError) as caught:
            ask()
        assert str(caught.value) == (
            f"{name.strip()} must be a whole number of at least 1, got 0"
        )


# Ranks


def plain_place(values, index):
    order = sorted(range(len(values)), key=lambda j: (-values[j], j))
    return order.index(index) + 1


@pytest.mark.parametrize("by", [Uniform(), Global()])
def test_ranks_are_those_of_a_plain_sort(by):
    """Few different values, so that ties are common; layers of different widths."""
    generator = torch.Generator().manual_seed(3)
    layers = [torch.randint(0, 4, (n,), generator=generator) for n in (7, 12, 5)]
    scores = Scores(tuple(s.float() for s in layers))
    planned = partial(plan, spec=PruningSpec(sparsity=0.4), allocation=by)
    keep = planned(scores).keep
    every = torch.cat(scores.normalised).tolist()
    flat = 0
    for layer, values in enumerate(s.tolist() for s in scores.layers):
        for index, value in enumerate(values):
            (found,) = ranks(Neuron(layer, index), {"a": scores}, planned)
            assert found.criterion == "a"
            assert found.score == value
            assert (found.in_layer, found.n_layer) == (
                plain_place(values, index),
                len(values),
            )
            assert (found.in_model, found.n_model) == (plain_place(every, flat), 24)
            assert found.dropped == (index not in keep[layer])
            flat += 1


def test_every_criterion_answers_in_order():
    high, low = torch.arange(10.0), torch.arange(10.0).flip(0)
    by = {"high": Scores((high,)), "low": Scores((low,))}
    found = ranks(Neuron(0, 9), by, partial(plan, spec=PruningSpec(sparsity=0.1)))
    assert [(r.criterion, r.in_layer, r.dropped) for r in found] == [
        ("high", 1, False),
        ("low", 10, True),
    ]


def test_the_global_rank_decides_what_the_global_allocation_drops():
    """No layer is emptied here, so that the two must agree neuron by neuron."""
    generator = torch.Generator().manual_seed(8)
    scores = Scores(tuple(torch.rand(n, generator=generator) for n in (20, 30)))
    planned = partial(plan, spec=PruningSpec(sparsity=0.3), allocation=Global())
    for layer, s in enumerate(scores.layers):
        for index in range(len(s)):
            (found,) = ranks(Neuron(layer, index), {"a": scores}, planned)
            assert found.dropped == (found.in_model > 35)


# Edges and paths


def test_edges_are_those_of_plain_loops(lm):
    up, down = weights(lm)
    j = 5
    for layer in (0, 1):
        found = edges(lm, Neuron(layer, j), n=4)
        into = {d: up[layer][j][d] for d in range(N_RESIDUAL)}
        out = {d: down[layer][d][j] for d in range(N_RESIDUAL)}
        for ours, signed, at in (
            (found.incoming, into, lambda d, k: up[layer][k][d]),  # noqa: B023
            (found.outgoing, out, lambda d, k: down[layer][d][k]),  # noqa: B023
        ):
            strongest = sorted(signed, key=lambda d: -abs(signed[d]))[:4]
            assert [e.residual for e in ours] == strongest
            for e in ours:
                total = sum(map(abs, signed.values()))
                there = sum(abs(at(e.residual, k)) for k in range(N_NEURONS))
                size = abs(signed[e.residual])
                assert e.weight == pytest.approx(signed[e.residual])
                assert e.share == pytest.approx(size / total)
                assert e.share_of_residual == pytest.approx(size / there)


def plain_flow(lm, j, k):
    """The share of neuron j of layer 0 that arrives at neuron k of layer 1."""
    up, down = weights(lm)
    leaving = sum(abs(down[0][d][j]) for d in range(N_RESIDUAL))
    return sum(
        abs(down[0][d][j]) / leaving
        * abs(up[1][k][d]) / sum(abs(up[1][m][d]) for m in range(N_NEURONS))
        for d in range(N_RESIDUAL)
    )  # fmt: skip


def test_paths_are_those_of_plain_loops(lm):
    following = edges(lm, Neuron(0, 3), n=5).following
    flows = [plain_flow(lm, 3, k) for k in range(N_NEURONS)]
    order = sorted(range(N_NEURONS), key=lambda k: -flows[k])[:5]
    assert [p.neuron for p in following] == [Neuron(1, k) for k in order]
    assert [p.flow for p in following] == pytest.approx([flows[k] for k in order])

    preceding = edges(lm, Neuron(1, 3), n=5).preceding
    flows = [plain_flow(lm, j, 3) for j in range(N_NEURONS)]
    order = sorted(range(N_NEURONS), key=lambda j: -flows[j])[:5]
    assert [p.neuron for p in preceding] == [Neuron(0, j) for j in order]
    assert [p.flow for p in preceding] == pytest.approx([flows[j] for j in order])
    assert [p.times_even for p in preceding] == pytest.approx(
        [24 * flows[j] for j in order]
    )


def test_all_paths_share_out_the_whole_mass(lm):
    """What leaves a neuron arrives; and both ends tell the same of one path."""
    following = edges(lm, Neuron(0, 3), n=1000).following
    assert sum(p.flow for p in following) == pytest.approx(1)
    assert sum(p.times_even for p in following) / 24 == pytest.approx(1)
    for p in following[:5]:
        back = {q.neuron.index: q.flow for q in edges(lm, p.neuron, 1000).preceding}
        assert back[3] == pytest.approx(p.flow)


def test_the_ends_of_the_model_have_no_neighbours_beyond(lm):
    assert edges(lm, Neuron(0, 0)).preceding == ()
    assert edges(lm, Neuron(1, 0)).following == ()


def test_a_neuron_without_weights_has_no_edges():
    lm = tiny_model()
    for layer, p in enumerate(ffn.projections(lm.model)):
        p.up.weight[7 + layer] = 0
        p.down.weight[:, 7 + layer] = 0
    first, second = edges(lm, Neuron(0, 7), 99), edges(lm, Neuron(1, 8), 99)
    assert first.incoming == first.outgoing == first.following == ()
    assert second.incoming == second.outgoing == second.preceding == ()
    assert 8 not in [p.neuron.index for p in edges(lm, Neuron(0, 0), 99).following]


# Firing


def naive_signal(lm, windows, neuron):
    """The whole model, window by window, with every activation kept."""
    model, seen = copy.deepcopy(lm.model), []
    ffn.projections(model)[neuron.layer].down.register_forward_pre_hook(
        lambda _, x: seen.append(x[0].reshape(-1, N_NEURONS))
    )
    for window in windows:
        model(window[None])
    return torch.stack(seen)[..., neuron.index]


def drawn(lm, spec):
    return sampled_windows(
        lm,
        text(spec.calibration_text, "calibration"),
        n_samples=spec.samples,
        seq_len=spec.seq_len,
        seed=spec.seed,
    )


def test_the_norm_is_what_calibration_measured(lm, calibration):
    stats = calibrate(lm, calibration)
    neurons = [Neuron(layer, j) for layer in (0, 1) for j in range(N_NEURONS)]
    found = firing(lm, calibration, neurons, n_contexts=1)
    assert [f.neuron for f in found] == neurons
    for f in found:
        layer, j = stats.layers[f.neuron.layer], f.neuron.index
        assert f.norm == pytest.approx(float(layer.neuron_norm[j]), rel=1e-5)
        assert f.mean == pytest.approx(float(layer.neuron_mean[j]), rel=1e-3, abs=1e-5)
        assert f.n_tokens == f.n_calibration_tokens == stats.n_tokens == 480
        assert f.text_source == stats.text_source


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_a_model_that_ends_early_gives_the_same_activations(model_type):
    """Every family: the blocks behind the neuron are left out, not the answer."""
    lm = tiny_model(model_type)
    windows = torch.randint(1, 257, (3, 20), generator=torch.Generator().manual_seed(1))
    for layer, stats in enumerate(measure(lm, windows)):
        (signal,) = activations(lm, windows, [Neuron(layer, 4)])
        assert signal.shape == (3, 20)
        assert float(signal.norm()) == pytest.approx(float(stats.neuron_norm[4]))
        torch.testing.assert_close(
            signal, naive_signal(lm, windows, Neuron(layer, 4)), rtol=1e-4, atol=1e-4
        )
    assert len(ffn.projections(lm.model)) == 2


def test_the_contexts_are_those_of_a_plain_search(lm, calibration):
    """One token wide: simply the largest magnitudes, signed, with their letters."""
    neuron, windows = Neuron(1, 9), drawn(lm, calibration)
    signal = naive_signal(lm, windows, neuron)
    (found,) = firing(lm, calibration, [neuron], n_contexts=7, width=1)
    places = sorted(
        ((w, t) for w in range(12) for t in range(40)),
        key=lambda at: -abs(float(signal[at])),
    )[:7]
    assert [abs(c.activation) for c in found.contexts] == pytest.approx(
        [abs(float(signal[at])) for at in places], rel=1e-4
    )
    for context in found.contexts:
        at = context.window, context.start
        assert context.activation == pytest.approx(float(signal[at]), rel=1e-4)
        assert context.tokens == (lm.tokenizer.decode([int(windows[at])]),)


@pytest.mark.parametrize("width", [1, 2, 9, 24, 40, 100])
def test_contexts_are_pieces_of_the_text_that_do_not_overlap(lm, calibration, width):
    content, windows = text(calibration.calibration_text, "calibration").content, {}
    (found,) = firing(lm, calibration, [Neuron(0, 2)], n_contexts=20, width=width)
    signal = found.activations
    strongest = max(found.contexts, key=lambda c: abs(c.activation))
    assert strongest is found.contexts[0]
    assert abs(strongest.activation) == float(signal.abs().max())
    for context in found.contexts:
        n = len(context.tokens)
        assert n <= width
        assert n == len(context.activations)
        assert n == width or context.start == 0 or context.start + n == 40
        assert "".join(context.tokens) in content  # one byte a token
        stop = context.start + n
        assert torch.equal(
            context.activations, signal[context.window, context.start : stop]
        )
        assert abs(context.activation) == float(context.activations.abs().max())
        taken = windows.setdefault(context.window, set())
        assert not taken & set(range(context.start, stop))
        taken |= set(range(context.start, stop))


def test_the_strongest_contexts_come_first(lm, calibration):
    (found,) = firing(lm, calibration, [Neuron(0, 2)], n_contexts=20, width=9)
    sizes = [abs(c.activation) for c in found.contexts]
    assert len(sizes) == 20
    assert sizes == sorted(sizes, reverse=True)


def test_contexts_may_touch(tiny, calibration):
    """One token wide and as many as there are: each token once."""
    (found,) = firing(tiny, calibration, [Neuron(0, 2)], n_contexts=1000, width=1)
    places = {(c.window, c.start) for c in found.contexts}
    assert len(found.contexts) == len(places) == 480


def test_a_strong_place_passed_over_is_the_peak_of_the_context_it_lies_in(tiny):
    """At 110 a context would overlap the one around 100; that around 125 holds it."""
    signal, windows = torch.zeros(1, 200), torch.full((1, 200), 65)
    for place, value in ((100, 10.0), (110, -9.0), (50, 7.0), (125, 5.0)):
        signal[0, place] = value
    found = contexts._contexts(tiny.tokenizer, windows, signal, 3, 24)
    assert [(c.start + c.peak, c.activation) for c in found] == [
        (100, 10),
        (110, -9),
        (50, 7),
    ]


def test_no_block_behind_the_neuron_runs(calibration):
    lm, ran = tiny_model(), []
    for layer, p in enumerate(ffn.projections(lm.model)):
        p.up.register_forward_hook(lambda *_, layer=layer: ran.append(layer))
    firing(lm, calibration, [Neuron(0, 3)])
    assert set(ran) == {0}


def test_the_distribution_by_hand():
    """Ten tokens; a tenth of the largest magnitude, 4, is 0.4."""
    values = [[-4.0, 0.3, 0.0, 0.41, 1.0], [0.0, -0.5, 0.39, 2.0, 0.1]]
    found = contexts.Firing(Neuron(0, 0), (), torch.tensor(values), 10, "here")
    flat = sorted(v for row in values for v in row)
    assert found.n_tokens == 10
    assert found.mean == pytest.approx(sum(flat) / 10)
    assert found.norm == pytest.approx(math.sqrt(sum(v * v for v in flat)))
    assert found.active_share == pytest.approx(5 / 10)
    assert (found.quantile(0.0), found.quantile(1.0)) == (-4, 2)
    assert found.quantile(0.5) == pytest.approx((flat[4] + flat[5]) / 2)


def test_a_silent_neuron_has_no_contexts(calibration):
    lm = tiny_model()
    ffn.projections(lm.model)[0].up.weight[3] = 0
    (found,) = firing(lm, calibration, [Neuron(0, 3)])
    assert found.contexts == ()
    assert (found.norm, found.mean, found.active_share) == (0, 0, 0)


def test_a_large_calibration_is_read_in_part_and_says_so(
    tiny, calibration, monkeypatch
):
    monkeypatch.setattr(contexts, "MAX_TOKENS", 130)
    (found,) = firing(tiny, calibration, [Neuron(1, 0)])
    assert (found.n_tokens, found.n_calibration_tokens) == (120, 480)
    first = naive_signal(tiny, drawn(tiny, calibration)[:3], Neuron(1, 0))
    assert found.norm == pytest.approx(float(first.norm()))


def test_firing_reports_and_may_be_stopped(tiny, calibration, monkeypatch):
    monkeypatch.setattr(contexts, "BATCH_TOKENS", 80)
    told = []
    firing(tiny, calibration, [Neuron(0, 0)], progress=lambda *s: told.append(s))
    assert told == [("Reading calibration text", done, 6) for done in range(7)]

    def stop(*_):
        raise CancelledError

    with pytest.raises(CancelledError):
        firing(tiny, calibration, [Neuron(0, 0)], progress=stop)


def test_firing_leaves_the_dense_model_alone(lm, calibration):
    before = {n: p.clone() for n, p in lm.model.state_dict().items()}
    firing(lm, calibration, [Neuron(0, 0)])
    after = lm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(p, after[n]) for n, p in before.items())
    assert not any(m._forward_pre_hooks for m in lm.model.modules())


def test_activations_that_are_not_finite_name_their_layer(calibration):
    lm = tiny_model()
    ffn.projections(lm.model)[1].up.weight[3, 5] = float("nan")
    with pytest.raises(LLMRankError, match=r"activations of layer 1 are not finite;"):
        firing(lm, calibration, [Neuron(1, 3)])
    firing(lm, calibration, [Neuron(0, 3)])  # the layer before is sound


# Tokens


def test_bytes_that_are_no_character_show_as_bytes(tiny):
    ids = tiny.tokenizer("né €")["input_ids"]
    assert token_strings(tiny.tokenizer, ids) == (
        "n", "<0xC3>", "<0xA9>", " ", "<0xE2>", "<0x82>", "<0xAC>",
    )  # fmt: skip


def test_every_byte_is_named_as_itself(tiny):
    """UTF-8 bytes of one-byte characters are text, all others are bytes."""
    alphabet = contexts.token_strings(tiny.tokenizer, range(256))
    bytes_of = [
        s.encode() if not s.startswith("<0x") else bytes([int(s[3:5], 16)])
        for s in alphabet
    ]
    assert sorted(bytes_of) == [bytes([b]) for b in range(256)]


def test_the_space_before_a_word_is_put_back():
    vocab = {"▁the": 0, "▁mill": 1, "s": 2, "<0xE2>": 3, "▁": 4, "<unk>": 5}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    assert tokenizer.decode([0]) == "the"
    assert token_strings(tokenizer, [0, 1, 2, 3, 4]) == (
        " the", " mill", "s", "<0xE2>", " ",
    )  # fmt: skip
    core.decoder = decoders.Replace("▁", " ")  # keeps the space itself
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")
    assert token_strings(tokenizer, [0, 2]) == (" the", "s")


def test_special_tokens_and_ids_without_a_token_have_a_name(tiny):
    assert token_strings(tiny.tokenizer, [256, 5000]) == ("<eos>", "<token 5000>")


# Promoted tokens


def explicit_logits(lm, neuron):
    """The weights as each family's code uses them, spelled out."""
    direction = ffn.ffns(lm.model)[neuron.layer].down[:, neuron.index]
    kind, model = lm.config.model_type, lm.model
    if kind == "gpt2":
        norm = model.transformer.ln_f
        direction = norm.weight * (direction - direction.mean())
    elif kind == "gemma2":
        own = model.model.layers[neuron.layer].post_feedforward_layernorm.weight
        direction = (1 + model.model.norm.weight) * (1 + own) * direction
    elif kind == "olmo":
        direction = direction - direction.mean()
    else:
        direction = model.model.norm.weight * direction
    logits = model.lm_head.weight @ direction
    return logits - logits.mean()


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2", "olmo", "qwen3"])
def test_promoted_tokens_are_those_of_the_explicit_formula(model_type):
    lm = tiny_model(model_type)
    for name, p in lm.model.named_parameters():  # norms of 1 would hide mistakes
        if p.dim() == 1:
            generator = torch.Generator().manual_seed(len(name))
            p.copy_(torch.randn(p.shape, generator=generator))
    for neuron in (Neuron(0, 0), Neuron(1, 13)):
        logits = explicit_logits(lm, neuron).tolist()
        found = promoted(lm, neuron, n=6)
        assert found.final_norm
        order = sorted(range(257), key=lambda i: -logits[i])
        assert [t.token_id for t in found.promoted] == order[:6]
        assert [t.token_id for t in found.suppressed] == order[:-7:-1]
        for t in found.promoted + found.suppressed:
            assert t.value == pytest.approx(logits[t.token_id], rel=1e-3, abs=1e-4)
            assert t.token == token_strings(lm.tokenizer, [t.token_id])[0]


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_the_logits_move_as_promised_in_every_family(model_type):
    """The final norm itself: x ± εd, times the scale of x, is what the lens says.

    Where the norm divides by the scale of x, a step along d changes that scale too:
    the difference is a multiple of the normalised x, so d is taken orthogonal to x.
    """
    lm = tiny_model(model_type)
    norm = logit_lens._final_norm(lm.model)
    generator = torch.Generator().manual_seed(2)
    for p in norm.parameters():
        p.copy_(torch.rand(p.shape, generator=generator) + 0.5)
    x = torch.randn(N_RESIDUAL, generator=generator)
    d = torch.randn(N_RESIDUAL, generator=generator)
    x = x - x.mean()  # so that a centring norm and one that does not scale alike
    d = d - x * (d @ x) / (x @ x)
    step = 1e-2
    moved = (norm(x + step * d) - norm(x - step * d)) / (2 * step)
    expected = moved * x.square().mean().sqrt()
    torch.testing.assert_close(
        logit_lens.through(norm, d), expected, rtol=1e-2, atol=1e-3
    )


def test_a_norm_in_half_precision_is_asked_in_its_own(tiny):
    norm = copy.deepcopy(tiny.model.model.norm).bfloat16()
    norm.weight.copy_(torch.linspace(-2, 2, N_RESIDUAL))
    d = torch.arange(16.0)
    torch.testing.assert_close(logit_lens.through(norm, d), norm.weight.float() * d)


def test_tokens_that_are_no_text_are_passed_over_where_they_are_to_be_read(tiny):
    every = promoted(tiny, Neuron(0, 0), n=257)
    read = promoted(tiny, Neuron(0, 0), n=257, readable=True)
    for side in ("promoted", "suppressed"):
        plain = [
            t for t in getattr(every, side)
            if t.token.strip() and not t.token.startswith("<0x")
        ]  # fmt: skip
        assert 100 < len(plain) < 129  # bytes of longer characters and blanks are not
        assert getattr(read, side) == tuple(plain)
    few = promoted(tiny, Neuron(0, 0), n=5, readable=True)
    assert few.promoted == read.promoted[:5]


def test_a_model_without_a_final_norm_says_so():
    lm = tiny_model("opt")
    lm.model.model.decoder.final_layer_norm = None
    found = promoted(lm, Neuron(0, 3), n=257)
    direction = ffn.ffns(lm.model)[0].down[:, 3]
    logits = lm.model.lm_head.weight @ direction
    assert not found.final_norm
    assert len(found.promoted) == 257
    assert [t.value for t in found.promoted] == pytest.approx(
        (logits - logits.mean()).sort(descending=True).values.tolist(), abs=1e-5
    )


def test_ids_beyond_the_tokenizer_are_left_out(tiny):
    model = copy.deepcopy(tiny.model)
    model.lm_head.weight = torch.nn.Parameter(
        torch.cat([tiny.model.lm_head.weight, 100 * torch.ones(7, N_RESIDUAL)]),
        requires_grad=False,
    )
    padded = dataclasses.replace(tiny, model=model)
    assert promoted(padded, Neuron(0, 0)) == promoted(tiny, Neuron(0, 0))


def test_a_head_that_is_not_on_the_residual_is_refused(tiny):
    model = copy.deepcopy(tiny.model)
    model.lm_head = torch.nn.Linear(8, 257)
    with pytest.raises(LLMRankError, match="tiny-llama has no output head directly"):
        promoted(dataclasses.replace(tiny, model=model), Neuron(0, 0))


# Effect


def masked_nll(lm, dropped, n_windows=4):
    """The dense model with those signals set to zero, nats per token and window."""
    model = ffn.shared_copy(lm.model)
    for layer, p in enumerate(ffn.projections(model)):
        mask = torch.ones(ffn.widths(lm.model)[layer])
        mask[[j for at, j in dropped if at == layer]] = 0
        p.down.register_forward_pre_hook(lambda _, x, mask=mask: (x[0] * mask,))
    ids = torch.tensor(lm.tokenizer(TEXT[: n_windows * 512])["input_ids"])
    nll = []
    for window in ids.view(n_windows, 512):
        share = model(window[None]).logits[0].double().log_softmax(-1)
        nll.append(-float(share[:-1].gather(1, window[1:, None]).mean()))
    return torch.tensor(nll, dtype=torch.float64)


DROPPED = [(0, 3), (0, 8), (0, 20), (1, 5)]


def plan_without(dropped):
    keep = tuple(
        torch.tensor([j for j in range(24) if (layer, j) not in dropped])
        for layer in (0, 1)
    )
    return PruningPlan(keep, (24, 24))


@pytest.mark.parametrize("at", [(0, 8), (1, 6)], ids=["dropped", "kept"])
def test_the_effect_is_that_of_masking(lm, held_out, at):
    found = effect(lm, plan_without(DROPPED), Neuron(*at), held_out)
    other = [d for d in DROPPED if d != at] if at in DROPPED else [*DROPPED, at]
    assert found.kept_by_plan == (at not in DROPPED)
    for ours, before, after in (
        (found.removed, masked_nll(lm, []), masked_nll(lm, [at])),
        (found.switched, masked_nll(lm, DROPPED), masked_nll(lm, other)),
    ):
        expected = t_interval(after - before)
        assert ours.before == pytest.approx(float(before.mean()), rel=1e-5)
        assert ours.after == pytest.approx(float(after.mean()), rel=1e-5)
        assert ours.difference.n_windows == 4
        assert abs(expected.value) > 1e-4  # well above the rounding
        for name in ("value", "low", "high"):
            assert getattr(ours.difference, name) == pytest.approx(
                getattr(expected, name), abs=1e-5
            )
    assert found.n_tokens == 2048
    assert found.inputs == f"measured on 2,048 tokens ({held_out.eval_text})"


def test_known_readings_are_used_and_change_nothing(tiny, held_out):
    by, neuron = plan_without(DROPPED), Neuron(1, 0)
    known = evaluate(tiny, held_out), evaluate(prune(tiny, by), held_out)
    told = []
    found = effect(
        tiny, by, neuron, held_out, known=known, progress=lambda *s: told.append(s)
    )
    assert found == effect(tiny, by, neuron, held_out)
    assert len(told) == 10  # two readings of four windows


def test_a_known_reading_of_another_text_is_refused(tiny, held_out, tmp_path):
    path = tmp_path / "other.txt"
    path.write_text(TEXT[7:3000])
    other = evaluate(tiny, EvaluationSpec(eval_text=str(path), eval_tokens=2048))
    with pytest.raises(ValueError, match="of other windows"):
        effect(tiny, plan_without([]), Neuron(0, 0), held_out, known=(other, None))


def test_the_four_readings_are_told_as_one(tiny, held_out):
    told = []
    effect(
        tiny,
        plan_without(DROPPED),
        Neuron(0, 0),
        held_out,
        progress=lambda *s: told.append(s),
    )
    assert {(what, total) for what, _, total in told} == {("Reading held-out text", 16)}
    assert list(dict.fromkeys(done for _, done, _ in told)) == list(range(17))


def test_the_effect_can_be_stopped(tiny, held_out):
    def stop(_, done, __):
        if done == 6:
            raise CancelledError

    with pytest.raises(CancelledError):
        effect(tiny, plan_without([]), Neuron(0, 0), held_out, progress=stop)


def test_a_layer_is_never_emptied(tiny, held_out):
    """The plan keeps one neuron of layer 1: it cannot be dropped too."""
    by = PruningPlan((torch.arange(24), torch.tensor([5])), (24, 24))
    found = effect(tiny, by, Neuron(1, 5), held_out)
    assert found.removed is not None
    assert found.kept_by_plan
    assert found.switched is None
    assert found.n_tokens == 2048


def test_switching_twice_is_the_plan_itself():
    by = plan_without(DROPPED)
    for layer in (0, 1):
        for j in range(24):
            once = switch(by, Neuron(layer, j))
            assert (j in once.keep[layer]) != (j in by.keep[layer])
            assert torch.equal(once.keep[1 - layer], by.keep[1 - layer])
            again = switch(once, Neuron(layer, j))
            assert all(map(torch.equal, again.keep, by.keep))


# The embedded model


@pytest.fixture(scope="module")
def demo():
    return load(ModelSpec(device="cpu"))


@pytest.fixture(scope="module")
def demo_firing(demo):
    spec = CalibrationSpec(samples=4, seq_len=256)
    wanted = [Neuron(0, 222), Neuron(10, 222), Neuron(29, 7)]
    return calibrate(demo, spec), firing(demo, spec, wanted)


@pytest.mark.slow
def test_real_neurons_fire_where_calibration_measured(demo_firing):
    stats, found = demo_firing
    content = text("embedded", "calibration").content
    for f in found:
        measured = stats.layers[f.neuron.layer].neuron_norm[f.neuron.index]
        assert f.norm == pytest.approx(float(measured), rel=1e-5)
        assert abs(f.contexts[0].activation) == float(f.activations.abs().max())
        assert 0 < f.active_share < 1
        assert f.quantile(0.0) <= f.quantile(0.5) <= f.quantile(1.0)
        assert len(f.contexts) == 8
        plain = [c for c in f.contexts if not any("<0x" in t for t in c.tokens)]
        assert plain
        assert all("".join(c.tokens) in content for c in plain)


@pytest.mark.slow
def test_a_real_neurons_tokens_are_those_of_the_explicit_formula(demo):
    logits = explicit_logits(demo, Neuron(10, 222))
    found = promoted(demo, Neuron(10, 222), n=5)
    assert [t.token_id for t in found.promoted] == logits.topk(5).indices.tolist()
    assert [t.token_id for t in found.suppressed] == (-logits).topk(5).indices.tolist()
    assert found.promoted[0].value > 0 > found.suppressed[0].value


@pytest.mark.slow
def test_removing_a_real_neuron_equals_masking_it(demo):
    """The strongest neuron of layer 10 by llm-rank, and by Wanda too."""
    spec, neuron = EvaluationSpec(eval_tokens=1024), Neuron(10, 222)
    whole = PruningPlan((torch.arange(1536),) * 30, (1536,) * 30)
    dense = evaluate(demo, spec)
    found = effect(demo, whole, neuron, spec, known=(dense, dense))
    model = ffn.shared_copy(demo.model)
    mask = torch.ones(1536)
    mask[neuron.index] = 0
    ffn.projections(model)[10].down.register_forward_pre_hook(
        lambda _, x: (x[0] * mask,)
    )
    masked = evaluate(dataclasses.replace(demo, model=model), spec)
    expected = float((masked.nll - dense.nll).mean())
    assert found.removed == found.switched  # the plan drops nothing
    assert found.removed.difference.value == pytest.approx(expected, abs=2e-6)
    assert expected > 1e-3  # the strongest neuron of its layer is missed
