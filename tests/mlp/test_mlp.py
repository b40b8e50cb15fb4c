"""MLPs small enough to check by hand: graphs, criteria, cuts, training, the claim."""

import itertools
import math
import statistics
import struct
import tempfile
from dataclasses import astuple, replace

import networkx as nx
import numpy as np
import pytest
import torch
from torch.nn import functional

from llmrank import mlp
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.core.statistics import proportion
from llmrank.methods.criteria import CRITERIA
from llmrank.mlp import digits_results, retraining, robustness
from llmrank.mlp.criteria import SHARED
from llmrank.mlp.example_sets import split
from llmrank.mlp.experiment import (
    BASELINES,
    PAPERS_GAIN,
    Point,
    record,
    retention_table,
)
from llmrank.mlp.graphs import graphs
from llmrank.mlp.network import initial, signals
from llmrank.mlp.preferred_inputs import preferred_inputs
from llmrank.report.sentences import mlp as reading

SMALL = mlp.MLPSpec(widths="8,6", epochs=3, batch=32)


def drawn(sizes, activation="relu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    network = initial(sizes, activation, generator)
    biases = tuple(torch.randn(n, generator=generator) for n in sizes[1:])
    return replace(network, biases=biases)


@pytest.fixture(scope="module")
def blobs():
    """Three heaps of points in six dimensions, 120 in all."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 3
    x = 4 * torch.eye(6)[y] + torch.randn(120, 6, generator=generator)
    names = ("a", "b", "c")
    return split(x, y, names, shape=None, source="blobs", seed=0)


@pytest.fixture(scope="module")
def digits():
    return mlp.examples(mlp.DataSpec("digits"))


@pytest.fixture(scope="module")
def trained(digits):
    return mlp.train(mlp.MLPSpec(widths="32,16", epochs=4), digits)


# Data


def test_the_split_keeps_a_fifth_of_every_class_and_loses_nothing(digits):
    assert (len(digits.train_y), len(digits.test_y)) == (1438, 359)
    share = torch.bincount(digits.test_y) / torch.bincount(
        torch.cat([digits.train_y, digits.test_y])
    )
    assert share.tolist() == pytest.approx([0.2] * 10, abs=0.01)
    assert mlp.examples(mlp.DataSpec("digits")).sha256 == digits.sha256
    assert mlp.examples(mlp.DataSpec("digits", 1)).sha256 != digits.sha256


def test_mnist_5k_has_five_hundred_of_each_digit():
    found = mlp.examples(mlp.DataSpec("mnist-5k"))
    assert torch.bincount(found.train_y).tolist() == [400] * 10
    assert found.shape == mlp.Shape(28, 28)
    assert (float(found.train_x.min()), float(found.train_x.max())) == (0, 1)


# The network


def test_logits_are_those_of_torch_modules():
    network = drawn((5, 4, 3, 2), "tanh")
    modules = []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], len(weight))
        linear.load_state_dict({"weight": weight, "bias": bias})
        modules += [linear, torch.nn.Tanh()]
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.Sequential(*modules[:-1])(x)
    torch.testing.assert_close(mlp.logits(network, x), expected)
    torch.testing.assert_close(signals(network, x).sums[-1], expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_cut_equals_masked_and_is_smaller(activation):
    """Of relu and tanh nothing comes out where nothing goes in: masks are zeros."""
    network = drawn((5, 6, 4, 3), activation)
    keep = (torch.tensor([0, 2, 5]), torch.tensor([1]))
    small = mlp.cut(network, keep)
    assert small.sizes == (5, 3, 1, 3)
    assert small.n_params == 5 * 3 + 3 + 3 + 1 + 3 + 3
    weights, biases = list(network.weights), list(network.biases)
    for layer, kept in enumerate(keep):
        mask = torch.zeros(len(weights[layer]))
        mask[kept] = 1
        weights[layer], biases[layer] = (
            weights[layer] * mask[:, None],
            biases[layer] * mask,
        )
    masked = replace(network, weights=tuple(weights), biases=tuple(biases))
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mlp.logits(small, x), mlp.logits(masked, x))


def test_a_file_gives_the_same_network_back(tmp_path):
    network = drawn((5, 4, 3), "gelu")
    mlp.save_network(network, tmp_path / "net.safetensors")
    found = mlp.load_network(tmp_path / "net.safetensors")
    assert found.activation == "gelu"
    for a, b in zip(
        network.weights + network.biases, found.weights + found.biases, strict=True
    ):
        assert torch.equal(a, b)


def test_a_plain_sequential_of_twelve_layers_is_read_in_its_order(tmp_path):
    from safetensors.torch import save_file

    sizes = [3, *range(4, 15), 2]
    pairs = itertools.pairwise(sizes)
    layers = [m for a, b in pairs for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    model = torch.nn.Sequential(*layers[:-1])
    save_file(model.state_dict(), tmp_path / "net.safetensors")
    found = mlp.load_network(tmp_path / "net.safetensors")
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mlp.logits(found, x), model(x))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a.weight": torch.ones(2, 3)}, "is no MLP"),
        ({"a.weight": torch.ones(2, 3), "b.weight": torch.ones(2, 4)}, "is no MLP"),
        ({"a.weight": torch.ones(2, 3, 3), "b.weight": torch.ones(2, 2)}, "is no MLP"),
        ({}, "no weights"),
        (
            {"a.weight": torch.full((2, 3), math.nan), "b.weight": torch.ones(2, 2)},
            "layer 0 holds NaN",
        ),
        (
            {"a.weight": torch.ones(2, 3), "a.bias": torch.ones(3),
             "b.weight": torch.ones(2, 2)},
            "2 neurons and biases of shape .3.",
        ),
        (
            {"a.weight": torch.ones(2, 3), "a.running_mean": torch.ones(2),
             "b.weight": torch.ones(2, 2)},
            "'a.running_mean' too, which is neither a weight nor a bias",
        ),
        ({"a.weight": torch.ones(2, 3).long()}, "weights of type I64; those of F64"),
        ({"a.weight": torch.ones(2, 3, dtype=torch.complex64)}, "type C64"),
        ({"a.weight": torch.ones(2, 3).to(torch.float8_e4m3fn)}, "type F8_E4M3"),
        (
            {"a.weight": torch.full((2, 3), 1e300, dtype=torch.float64),
             "b.weight": torch.ones(2, 2)},
            "layer 0 holds NaN or infinite",
        ),
        (
            {"a.weight": torch.ones(9000, 3), "b.weight": torch.ones(2, 9000)},
            "hidden layer of 9,000 neurons; at most 8,192",
        ),
        ({f"{i}.weight": torch.ones(2, 2) for i in range(101)}, "101 weights and"),
        ({"9" * 5000 + ".weight": torch.ones(2, 2)}, "is no MLP"),
    ],
)  # fmt: skip
def test_files_that_hold_no_mlp_are_refused(tmp_path, tensors, said):
    from safetensors.torch import save_file

    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(LLMRankError, match=said):
        mlp.load_network(tmp_path / "net.safetensors")


def headed(text, size=None):
    """A safetensors file of a header alone, which may lie about its length."""
    return struct.pack("<Q", len(text) if size is None else size) + text


TENSOR = b'{"a.weight":{"dtype":"F32","shape":%s,"data_offsets":[0,%d]}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(7),
        headed(b"{}", 2**63),
        headed(b"{}", 100_000_001),
        headed(b"{}", 5000),
        headed(b"{{{{"),
        headed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        headed(b'{"a.weight":Infinity}'),
        headed(b"\xff" * 50),
        headed(TENSOR % (b"[2,2]", 16)),
        headed(TENSOR % (b"[1000000000000,1000000000000]", 16)) + bytes(16),
        headed(TENSOR % (b"[-2,-2]", 16)) + bytes(16),
        headed(TENSOR.replace(b"F32", b"X9") % (b"[2,2]", 16)) + bytes(16),
    ],
)
def test_a_damaged_network_is_one_sentence_without_its_folder(tmp_path, content):
    (tmp_path / "mine").write_bytes(content)
    for refused in (
        lambda: mlp.network_of(content, "mine"),
        lambda: mlp.load_network(tmp_path / "mine"),
    ):
        with pytest.raises(LLMRankError, match="'mine' cannot be read as saf") as told:
            refused()
        assert str(tmp_path) not in str(told.value)
        assert tempfile.gettempdir() not in str(told.value)
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("n_bytes", "said"),
    [(400_000_000, "100,000,000 weights; at most 50,"), (4_000_000_000, "4,000 MB")],
)
def test_a_large_network_is_refused_by_its_header(tmp_path, n_bytes, said):
    """No tensor is read: the numbers are a hole in the file."""
    text = TENSOR % (b"[%d,4]" % (n_bytes // 16), n_bytes)
    with (tmp_path / "net").open("wb") as file:
        file.write(headed(text))
        file.truncate(len(headed(text)) + n_bytes)
    with pytest.raises(LLMRankError, match=said):
        mlp.load_network(tmp_path / "net")


def test_a_pickle_is_never_loaded(tmp_path):
    torch.save({"a.weight": torch.ones(2, 2)}, tmp_path / "net.pt")
    with pytest.raises(LLMRankError, match=r"pickles .* are never loaded"):
        mlp.load_network(tmp_path / "net.pt")


# The graph and the criteria


def hand():
    """Two inputs, two hidden layers of two and one neuron, two classes."""
    weights = (
        torch.tensor([[1.0, 3.0], [1.0, 1.0]]),
        torch.tensor([[2.0, -2.0], [6.0, 2.0]]),
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    )
    return mlp.Network(weights, tuple(torch.zeros(2) for _ in weights), "relu")


def test_mlp_rank_worked_by_hand():
    """One example (3, 1): its shares are 3/4 and 1/4, and so is everything known.

    Ŵ of layer 1: columns (1/2, 1/2) and (3/4, 1/4); Ŵ s = (9/16, 7/16). Activations
    (6, 4): b = (3/5, 2/5). At θ = 1, γ = 1/2: s' = (93/160, 67/160).
    Ŵ of layer 2: columns (1/4, 3/4) and (1/2, 1/2); sums (4, 44): b = (1/12, 11/12).
    Ŵ s' = (93/640 + 67/320, …) = (227/640, 413/640); s'' = half of it and half of b.
    """
    x, y = torch.tensor([[3.0, 1.0]]), torch.tensor([0])
    drawn_graphs = graphs(hand(), x, y)
    first, second = mlp.MLPRank(theta=1, gamma=0.5).layers(drawn_graphs)
    assert first.tolist() == pytest.approx([93 / 160, 67 / 160])
    expected = [(227 / 640 + 1 / 12) / 2, (413 / 640 + 11 / 12) / 2]
    assert second.tolist() == pytest.approx(expected)
    # Each layer by itself: the second starts from its inputs' norms (6, 4).
    _, alone = mlp.MLPRank(theta=1, gamma=1, graph="isolated").layers(drawn_graphs)
    assert alone.tolist() == pytest.approx([0.6 / 4 + 0.4 / 2, 0.6 * 3 / 4 + 0.4 / 2])
    # Modified: |W| s times b: (3/2, 1) · (3/5, 2/5) = (9/10, 2/5).
    modified, _ = mlp.MLPRank(variant="modified").layers(drawn_graphs)
    assert modified.tolist() == pytest.approx([9 / 13, 4 / 13])


def test_the_chain_is_networkxs_pagerank_times_its_layers(digits, trained):
    """DESIGN §5: a chain of T node layers, alpha = γ, personalisation b_t / T."""
    theta, gamma = 0.7, 0.6
    network = trained.network
    found = graphs(network, digits.train_x, digits.train_y)
    ours = mlp.MLPRank(theta=theta, gamma=gamma).layers(found)
    graph, mass = nx.DiGraph(), {}
    priors = [found[0].stats.input_norm, *(g.stats.neuron_norm for g in found)]
    layers = len(priors)
    for t, prior in enumerate(priors):
        shares = prior.double() / prior.double().sum()
        mass |= {(t, i): float(v) / layers for i, v in enumerate(shares)}
    graph.add_nodes_from(mass)
    for t, g in enumerate(found):
        w = g.in_edges.double().abs()
        sums, links = w.sum(0), (w > 0).double().sum(0)
        mixed = theta * w / sums + (1 - theta) * (w > 0) / links
        for j, i in (mixed > 0).nonzero().tolist():
            graph.add_edge((t, i), (t + 1, j), weight=float(mixed[j, i]))
    start = {node: v * layers for node, v in mass.items() if node[0] == 0}
    theirs = nx.pagerank(
        graph,
        alpha=gamma,
        personalization=mass,
        dangling=start,
        tol=1e-12,
        max_iter=500,
    )
    for t, scores in enumerate(ours, start=1):
        expected = [layers * theirs[t, i] for i in range(len(scores))]
        assert scores.tolist() == pytest.approx(expected, rel=1e-4)


def every_criterion():
    for name in mlp.MLP_CRITERIA:
        yield mlp.criterion(name)
    yield mlp.MLPRank(variant="modified")
    yield mlp.AUTHORS


@pytest.mark.parametrize("by", list(every_criterion()), ids=str)
def test_every_criterion_scores_every_neuron(by, digits, trained):
    scores = mlp.score(trained.network, digits, by)
    assert [len(s) for s in scores.layers] == [32, 16]
    for layer in scores.layers:
        assert layer.isfinite().all()
        assert (layer >= 0).all()
        assert len(layer.unique()) > 1
    assert by.formula
    assert type(by).__doc__


def test_the_other_criteria_are_the_registered_ones():
    assert {mlp.MLP_CRITERIA[name] for name in SHARED} == {CRITERIA[n] for n in SHARED}


def test_gradients_are_autograds_example_by_example():
    network = drawn((4, 5, 3))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(6, 4, generator=generator)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    up, down = network.weights
    squares = torch.zeros(5, 4), torch.zeros(5, 3)
    change, curvature = torch.zeros(5), torch.zeros(5)
    for i in range(6):
        w = up.clone().requires_grad_(), down.clone().requires_grad_()
        own = replace(network, weights=w)
        loss = functional.cross_entropy(mlp.logits(own, x[i : i + 1]), y[i : i + 1]) / 6
        a, b = torch.autograd.grad(loss, w)
        squares[0].add_(a.square())
        squares[1].add_(b.T.square())
        change += (a * up).sum(1)
        curvature += (a * up).sum(1).square()
    (found,) = graphs(network, x, y)
    gradients = found.gradients
    torch.testing.assert_close(gradients.up.change, change)
    torch.testing.assert_close(gradients.up.curvature, curvature)
    scaled = (up.abs() * squares[0].sqrt()).sum(1)
    torch.testing.assert_close(gradients.up.scaled_norm, scaled)
    scaled = (down.T.abs() * squares[1].sqrt()).sum(1)
    torch.testing.assert_close(gradients.down.scaled_norm, scaled)


def test_signals_that_overflow_are_refused(blobs):
    network = drawn((6, 4, 3))
    huge = replace(network, weights=tuple(w * 1e30 for w in network.weights))
    with pytest.raises(LLMRankError, match="signals of layer 1 are not finite"):
        mlp.score(huge, blobs, mlp.MLPRank())


@pytest.mark.parametrize("by", list(every_criterion()), ids=str)
def test_a_dead_layer_and_a_layer_of_one_neuron_are_scored_and_pruned(by, blobs):
    network = drawn((6, 5, 1, 4, 3))
    weights = (network.weights[0] * 0, *network.weights[1:])
    biases = (network.biases[0] * 0 - 1, *network.biases[1:])
    dead = replace(network, weights=weights, biases=biases)
    scores = mlp.score(dead, blobs, by)
    found = mlp.sweep(dead, scores, blobs.test_x, (0.0, 0.5, 0.99))
    assert list(found.widths[2]) == [1, 1, 1]
    assert found.predictions.shape == (3, len(blobs.test_y))


# Every sparsity


def test_the_sweep_is_what_cut_networks_predict(digits, trained):
    scores = mlp.score(trained.network, digits, mlp.MLPRank())
    found = mlp.sweep(trained.network, scores, digits.test_x)
    assert len(found.sparsities) == 100
    for percent in (0, 25, 50, 90, 99):
        plan = mlp.planned(scores, percent / 100)
        small = mlp.prune(trained.network, plan)
        assert plan.widths == found.widths[percent]
        assert small.n_params == found.n_params[percent]
        same = mlp.predictions(small, digits.test_x) == found.predictions[percent]
        assert same.double().mean() > 0.99  # sums in another order may tip a tie
    dense = mlp.accuracy(trained.network, digits.test_x, digits.test_y)
    assert found.accuracies(digits.test_y)[0] == pytest.approx(dense)


def test_prefixes_are_views():
    network = drawn((5, 6, 4, 3))
    small = mlp.cut(network, [slice(3), slice(2)])
    assert small.sizes == (5, 3, 2, 3)
    assert small.weights[1].data_ptr() == network.weights[1].data_ptr()


# Training


def test_a_digits_network_has_97_per_cent_on_held_out_data(digits):
    found = mlp.train(mlp.MLPSpec(widths="64", epochs=12), digits)
    assert found.epochs[-1].test_accuracy >= 0.97
    assert found.epochs[-1].loss < found.epochs[0].loss / 5
    again = mlp.accuracy(found.network, digits.test_x, digits.test_y)
    assert again == pytest.approx(found.epochs[-1].test_accuracy)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_seed_trains_the_same_network_and_another_another(blobs, dropout):
    spec = replace(SMALL, dropout=dropout)
    torch.manual_seed(99)  # the global seed has no say
    first = mlp.train(spec, blobs)
    second = mlp.train(spec, blobs)
    other = mlp.train(replace(spec, seed=1), blobs)
    for a, b, c in zip(
        *(t.network.weights for t in (first, second, other)), strict=True
    ):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert first.epochs == second.epochs


def test_the_network_that_comes_along_is_what_its_recipe_says(digits):
    spec = mlp.MLPSpec()
    made = mlp.shipped(mlp.DataSpec(), spec)
    assert len(made.epochs) == spec.epochs
    last = made.epochs[-1]
    for accuracy, x, y in (
        (last.train_accuracy, digits.train_x, digits.train_y),
        (last.test_accuracy, digits.test_x, digits.test_y),
    ):
        assert mlp.accuracy(made.network, x, y) == accuracy > 0.98
    begun = mlp.train(replace(spec, epochs=1), digits).start
    assert torch.equal(made.start.weights[0], begun.weights[0])
    assert mlp.shipped(mlp.DataSpec(), replace(spec, seed=1)) is None
    assert mlp.shipped(mlp.DataSpec(data_seed=1), spec) is None


@pytest.mark.slow
def test_trained_anew_the_network_that_comes_along_is_as_good(digits):
    shipped = mlp.shipped(mlp.DataSpec(), mlp.MLPSpec())
    anew = mlp.train(mlp.MLPSpec(), digits)
    for theirs, ours in zip(shipped.epochs, anew.epochs, strict=True):
        assert ours.test_accuracy == pytest.approx(theirs.test_accuracy, abs=0.02)
    assert anew.epochs[-1].loss == pytest.approx(shipped.epochs[-1].loss, rel=0.1)


@pytest.mark.slow
def test_the_results_that_come_along_are_what_their_keys_measure(digits):
    """A network of the experiment, and the cells of the two others, made anew."""
    kept = {kind: result for kind, (_, result) in digits_results._read().items()}
    spec = mlp.RetentionSpec(sets="digits", networks="128", seeds=1, baselines="l1")
    anew = mlp.retention(spec, mlp.MLPSpec(epochs=15))
    kept_there = {astuple(p)[:5]: p for p in kept["claim"]}
    assert len(anew) == 36
    for ours in anew:
        point = kept_there[astuple(ours)[:5]]
        assert ours.dense_accuracy == pytest.approx(point.dense_accuracy, abs=0.02)
        assert ours.accuracy == pytest.approx(point.accuracy, abs=0.1)
    dense = mlp.shipped(mlp.DataSpec(), mlp.MLPSpec())
    by = mlp.score(dense.network, digits, mlp.MLPRank())
    plan = mlp.planned(by, 0.3)
    small = mlp.prune(dense.network, plan)
    clean = mlp.accuracy(small, digits.test_x, digits.test_y)
    assert kept["after"].at_start["fine-tune"] == pytest.approx(clean, abs=0.006)
    again = mlp.recover(dense, plan, mlp.MLPSpec(epochs=15), digits)
    for way, curve in kept["after"].curves.items():
        end = curve[-1].test_accuracy
        assert again.curves[way][-1].test_accuracy == pytest.approx(end, abs=0.02)
    shaken = mlp.robustness_results({"mlp-rank": small}, digits, dense=dense.network)
    told = [r for r in kept["shaken"] if r.network == "mlp-rank"]
    assert len(told) == len(shaken) == 17
    for theirs, ours in zip(told, shaken, strict=True):
        assert (theirs.corruption, theirs.strength) == (ours.corruption, ours.strength)
        assert int((theirs.right != ours.right).sum()) <= 2
        assert int((theirs.dense_right != ours.dense_right).sum()) <= 2


def test_training_publishes_each_epoch_and_stops_when_told(blobs):
    seen = []
    mlp.train(SMALL, blobs, publish=seen.append)
    assert [len(epochs) for epochs in seen] == [1, 2, 3]

    def impatient(_, done, __):
        if done == 1:
            raise CancelledError

    with pytest.raises(CancelledError):
        mlp.train(SMALL, blobs, progress=impatient)


def test_training_that_diverges_is_told(blobs):
    huge = replace(blobs, train_x=blobs.train_x * 1e37)
    with pytest.raises(
        LLMRankError, match=r"diverged in epoch 1: .* lower the learning"
    ):
        mlp.train(replace(SMALL, learning_rate=1000), huge)


@pytest.mark.parametrize("widths", ["", "8,", "0", "3000", "8;8", "-1", "1.5"])
def test_widths_that_are_none_are_refused(widths):
    with pytest.raises(OptionError, match="widths must be whole numbers"):
        _ = mlp.MLPSpec(widths=widths).hidden


# After the cut


def test_three_ways_back_start_where_they_say(digits, trained):
    scores = mlp.score(trained.network, digits, mlp.MLPRank())
    plan = mlp.planned(scores, 0.7)
    seen = []
    spec = mlp.MLPSpec(epochs=2, batch=512)
    found = mlp.recover(trained, plan, spec, digits, publish=seen.append)
    assert list(found.curves) == ["fine-tune", "rewind", "from scratch"]
    assert {len(c) for c in found.curves.values()} == {2}
    cut = mlp.accuracy(mlp.prune(trained.network, plan), digits.test_x, digits.test_y)
    begun = mlp.accuracy(mlp.prune(trained.start, plan), digits.test_x, digits.test_y)
    assert found.at_start["fine-tune"] == pytest.approx(cut)
    assert found.at_start["rewind"] == pytest.approx(begun)
    assert {n.widths for n in found.networks.values()} == {plan.widths}
    assert len(seen) == 6
    assert "of 359 test examples right, one training each" in reading.recovery_sentence(
        found
    )
    assert retraining.REWIND in found.at_start


def test_from_scratch_sees_the_examples_in_the_order_of_the_others(digits, trained):
    plan = mlp.planned(mlp.score(trained.network, digits, mlp.MLPRank()), 0.7)
    spec = mlp.MLPSpec(epochs=1, batch=512, seed=5)
    found = mlp.recover(trained, plan, spec, digits)
    sizes = (digits.d_in, *plan.widths, digits.n_classes)
    drawn = initial(sizes, "relu", torch.Generator().manual_seed(6))
    own = replace(spec, widths=",".join(map(str, plan.widths)))
    alike = mlp.train(own, digits, start=drawn).network
    for a, b in zip(alike.weights, found.networks["from scratch"].weights, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.99, 0.99, 0.99), "fine-tune, rewind, from scratch** cannot be told apart"),
        ((1.0, 1.0, 0.90), "fine-tune, rewind** cannot be told apart"),
        ((0.95, 0.99, 0.90), "ends highest by **rewind**"),
        ((0.985, 0.99, 0.90), "fine-tune, rewind** cannot be told apart"),
    ],
)
def test_a_way_back_that_wins_by_chance_does_not_win(ends, said):
    """Of 359 examples 0.5 points are two: 1.96 √(2 · 0.99 · 0.01 / 359) is 1.5."""
    ways = (retraining.FINE_TUNE, retraining.REWIND, retraining.SCRATCH)
    curves = {n: (mlp.Epoch(0.1, 1.0, e),) for n, e in zip(ways, ends, strict=True)}
    found = retraining.Recovery(0.99, {}, curves, {}, 359)
    assert said in reading.recovery_sentence(found)


# Robustness


def test_corruptions_do_what_they_are_called():
    shape = mlp.Shape(8, 8)
    x = torch.zeros(1, 64)
    x[0, 8 * 2 + 4] = 1.0  # one bright pixel above the middle
    turned = mlp.corrupt(x, shape, "rotation", 90.0)[0].reshape(8, 8)
    assert turned.argmax() in (8 * 4 + 2, 8 * 3 + 2, 8 * 4 + 5, 8 * 3 + 5)
    assert float(turned.sum()) == pytest.approx(1, abs=1e-4)
    blurred = mlp.corrupt(x, shape, "blur", 0.5)
    assert float(blurred.sum()) == pytest.approx(1, abs=1e-3)
    assert float(blurred.max()) < 0.9
    flat = mlp.corrupt(x, shape, "contrast", 0.1)
    assert float(flat.std()) == pytest.approx(0.1 * float(x.std()), rel=1e-3)
    half = torch.full((200, 64), 0.5)
    noisy = mlp.corrupt(half, shape, "noise", 0.1)
    assert float((noisy - half).std()) == pytest.approx(0.1, rel=0.05)
    assert torch.equal(noisy, mlp.corrupt(half, shape, "noise", 0.1))


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),  # Wilson's score interval, by its formula
    [(8, 10, 0.490, 0.943), (10, 10, 0.722, 1.0), (0, 5, 0.0, 0.434)],
)
def test_the_interval_of_a_share_stays_within_0_and_1(n_right, n, low, high):
    found = proportion(n_right, n)
    assert found.value == n_right / n
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def test_the_clean_row_is_the_accuracy_and_dense_is_never_brittle(digits, trained):
    small = mlp.prune(
        trained.network,
        mlp.planned(mlp.score(trained.network, digits, mlp.MLPRank()), 0.5),
    )
    networks = {"dense": trained.network, "pruned": small}
    found = mlp.robustness_results(networks, digits, dense=trained.network)
    assert len(found) == 2 * 17
    clean = {s.network: s.accuracy for s in found if s.corruption == "clean"}
    assert clean["pruned"] == mlp.accuracy(small, digits.test_x, digits.test_y)
    table = mlp.brittleness(found).set_index("network")
    ends = ["extra_low", "extra", "extra_high"]
    assert table.loc["dense", ends].tolist() == pytest.approx([0, 0, 0])
    own = [s for s in found if s.network == "pruned"]
    fall = own[0].accuracy - statistics.mean(s.accuracy for s in own[1:])
    assert table.loc["pruned", "loss"] == pytest.approx(fall)
    extra = fall - table.loc["dense", "loss"]
    low, middle, high = table.loc["pruned", ends]
    assert middle == pytest.approx(extra)
    assert low < middle < high
    rows = robustness.robustness_table(found)
    worst = rows[(rows["corruption"] == "noise") & (rows["network"] == "dense")]
    assert worst["accuracy"].iloc[-1] < clean["dense"]


def test_brittle_is_what_falls_further_than_dense_for_certain():
    """Of 100 examples dense loses 10 by noise, one network 10 others, one 60."""
    every = torch.ones(100, dtype=torch.bool)
    lost = {name: every.clone() for name in ("dense", "even", "glass")}
    lost["dense"][:10] = lost["even"][10:20] = lost["glass"][:60] = False
    found = tuple(
        mlp.RobustnessResult(name, kind, strength, right, dense)
        for kind, strength, at in (("clean", 0.0, {}), ("noise", 0.1, lost))
        for name in lost
        for right, dense in [(at.get(name, every), at.get("dense", every))]
    )
    table = mlp.brittleness(found)
    assert table["extra"].tolist() == pytest.approx([0, 0, 0.5])
    said = reading.brittleness_sentence(table, 0.3)
    assert "costs **glass** 50.0 [40.0, 60.0] points more than dense" in said
    assert said.endswith("Brittle at 95 %: **glass**.")
    tame = reading.brittleness_sentence(table[table["network"] != "glass"], 0.3)
    assert tame.endswith("None is brittle at 95 %.")


def test_rows_of_a_table_take_only_noise(blobs):
    assert robustness.kinds(blobs) == ("noise",)
    network = drawn((6, 4, 3))
    found = mlp.robustness_results({"one": network}, blobs, dense=network)
    assert {s.corruption for s in found} == {"clean", "noise"}


# What neurons like


def test_the_first_layer_likes_its_weights_and_top_images_are_the_strongest(
    digits, trained
):
    first, second = preferred_inputs(trained.network, digits.test_x)
    assert torch.equal(first.pattern, trained.network.weights[0])
    answers = signals(trained.network, digits.test_x).inputs[2]
    best = answers[:, 3].sort(descending=True).values[:8]
    torch.testing.assert_close(answers[second.top[3], 3], best)


def test_a_deeper_neurons_pattern_is_the_mean_of_its_paths(digits, trained):
    """W2 · diag(slope) · W1, with relu's slopes on the neuron's own images."""
    _, second = preferred_inputs(trained.network, digits.test_x)
    w1, w2, _ = trained.network.weights
    sums = signals(trained.network, digits.test_x[second.top[5]]).sums[0]
    slope = (sums > 0).float().mean(0)
    torch.testing.assert_close(
        second.pattern[5], (w2[5] * slope) @ w1, atol=1e-5, rtol=0
    )


# The paper's experiment


def test_the_experiment_repeats_from_its_seed_and_random_is_drawn_anew():
    spec = mlp.RetentionSpec(sets="digits", networks="16", seeds=2)
    training = mlp.MLPSpec(epochs=2, batch=512)
    seen = []
    first = mlp.retention(spec, training, publish=seen.append)
    assert first == mlp.retention(spec, training)
    assert [len(points) for points in seen] == [54, 108]
    assert len(first) == 2 * 9 * (3 + len(BASELINES))
    kept = mlp.summary(first)
    assert set(kept["networks"]) == {2}
    plain = record(first, spec, training, mlp.MLPRank(), 0)
    assert plain["recipe"]["criteria"]["mlp-rank, authors' code"]["gamma"] == 0.9
    assert "accuracy kept, per cent" in reading.summary_sentence(first)
    said = reading.gains_sentence(first, spec)
    assert f"{100 * PAPERS_GAIN:.2f} %" in said
    (best,) = set(mlp.leads(first)["rival"])
    means = kept.groupby("criterion")["mean"].mean()[list(BASELINES)]
    assert best == means.idxmax()
    assert "Against the best of them: " in said
    assert said.endswith("(95 % intervals over 2 networks).")


def points(**kept):
    return tuple(
        Point("d", "8", seed, name, 0.5, 0.8, 0.8 * value)
        for name, values in kept.items()
        for seed, value in enumerate(values)
    )


def test_a_gain_is_the_mean_difference_with_its_interval():
    found = points(**{"mlp-rank": [0.9, 0.8], "random": [0.5, 0.6], "l1": [0.7, 0.6]})
    (gain,) = mlp.gains(found, ("random", "l1"))
    assert gain.value == pytest.approx(0.25)  # 0.9 - 0.6 and 0.8 - 0.6
    t = 12.7062  # Student's, one degree of freedom, 97.5 %: any table of it
    half = t * np.std([0.3, 0.2], ddof=1) / math.sqrt(2)
    assert gain.high - gain.value == pytest.approx(half)


def test_the_lead_is_over_the_best_baseline_of_the_same_networks():
    kept = {"mlp-rank": [0.9, 0.8, 0.85], "l1": [0.5, 0.4, 0.46], "random": [0.3] * 3}
    (lead,) = mlp.leads(points(**kept), ("random", "l1")).to_dict("records")
    assert (lead["criterion"], lead["rival"]) == ("mlp-rank", "l1")
    assert (lead["sparsity"], lead["networks"]) == (0.5, 3)
    assert lead["value"] == pytest.approx(np.mean([0.4, 0.4, 0.39]))
    half = 4.30265 * np.std([0.4, 0.4, 0.39], ddof=1) / math.sqrt(3)
    assert lead["high"] - lead["value"] == pytest.approx(half)
    assert lead["value"] - lead["low"] == pytest.approx(half)


def test_the_table_holds_the_points_in_their_order():
    found = points(**{"mlp-rank": [0.9, 0.8], "random": [0.5, 0.6]})
    assert retention_table(found)["retention"].tolist()[:2] == pytest.approx([0.9, 0.8])


def test_who_keeps_more_is_said_sparsity_by_sparsity_whichever_way():
    """Four networks; by hand: −10, even, +20 and +30 points, all but the even sure."""
    shifts = {0.1: -0.1, 0.2: 0.0, 0.3: 0.2, 0.4: 0.3}
    found = tuple(
        Point("d", "8", seed, name, sparsity, 1.0, 0.5 + shift + noise)
        for sparsity, lead in shifts.items()
        for seed, noise in enumerate([-0.01, 0.01, -0.01, 0.01])
        for name, shift, noise in (("mlp-rank θ 1", lead, noise), ("l1", 0, 0))
    )
    said = reading.leads_sentence(mlp.leads(found, ("l1",)))
    more = "**mlp-rank θ 1 keeps more than l1 at 30 to 40 % removed**"
    assert said.startswith(f"{more}, most at 40 %: 30.0 [")
    assert "**l1 keeps more than mlp-rank θ 1 at 10 % removed**: 10.0 [" in said
    assert said.endswith(
        "at 20 % the two cannot be told apart (95 % intervals over 4 networks)."
    )
    table = reading.leads_table(mlp.leads(found, ("l1",)))
    assert [*table] == ["criterion", "10 %", "20 %", "30 %", "40 %"]
    assert table["10 %"][0].startswith("−10.0 [−")


def test_of_one_network_nothing_can_be_told():
    found = points(**{"mlp-rank": [0.9], "l1": [0.1]})
    said = reading.leads_sentence(mlp.leads(found, ("l1",)))
    assert (
        said == "at 50 % the two cannot be told apart (95 % intervals over 1 network)."
    )


def test_unknown_data_and_criteria_are_refused():
    with pytest.raises(LLMRankError, match=r"name digits, mnist-5k, .* or a \.csv"):
        mlp.retention(mlp.RetentionSpec(sets="dogs.csv", networks="8"))
    with pytest.raises(OptionError, match="unknown criterion of MLPs 'magic'"):
        mlp.retention(mlp.RetentionSpec(baselines="magic"))


# What the browser gets


def test_what_is_packed_for_the_browser_is_read_back(digits, trained):
    from wire import unpacked

    from llmrank.mlp.criteria import SHARED
    from llmrank.report import mlp_payload

    scores = mlp.score(trained.network, digits, mlp.MLPRank())
    found = mlp.sweep(trained.network, scores, digits.test_x, (0.0, 0.5))
    packed = mlp_payload.of_sweeps("s", {"mlp-rank": found, "other": found})
    header, values = unpacked(packed)
    assert header["criteria"] == ["mlp-rank", "other"]
    assert header["places"] == [0, 1 + len(SHARED)]
    expected = torch.stack([found.predictions, found.predictions])
    assert values["predictions"].dtype == np.uint8
    assert values["predictions"].tolist() == expected.tolist()
    network = mlp_payload.of_network(
        "n",
        trained.network,
        preferred_inputs(trained.network, digits.test_x),
        scores,
    )
    header, values = unpacked(network)
    for layer, weight in enumerate(trained.network.weights):
        assert values[f"w{layer}"].tolist() == weight.tolist()
    assert header["sizes"] == list(trained.network.sizes)
    header, values = unpacked(mlp_payload.of_images("i", digits))
    assert values["images"].reshape(359, -1).shape == (359, 64)
    assert values["labels"].tolist() == digits.test_y.tolist()


# Charts


def test_the_charts_hold_what_was_measured():
    import pandas as pd

    from llmrank.report import charts

    table = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0]})
    (curve,) = charts.learning_curve(table, ("loss",), "mean loss").data
    assert list(curve.y) == [2.0, 1.0]
    kept = pd.DataFrame(
        {"data": ["d", "d"], "criterion": ["a", "a"], "sparsity": [0.1, 0.2],
         "mean": [0.9, 0.5], "spread": [0.05, 0.6]}
    )  # fmt: skip
    lead = pd.DataFrame(
        {"criterion": ["a"], "rival": ["b"], "sparsity": [0.1], "value": [0.02],
         "low": [-0.01], "high": [0.04]}
    )  # fmt: skip
    band, line, other, ahead = charts.retention_chart(
        pd.concat([kept, kept[:1].assign(criterion="c")]), lead, dark=True
    ).data
    assert list(line.y) == [0.9, 0.5]
    assert min(band.y) == 0  # a spread does not go below nothing
    assert other.name == "c"  # of which no band is drawn: the sentence names a and b
    assert (ahead.y[0], ahead.error_y.array[0]) == (2, pytest.approx(2))
    ways = charts.recovery_chart({"rewind": [0.1, 0.8]}, 0.9, "l1").data
    assert [list(t.y) for t in ways] == [[0.9, 0.9], [0.1, 0.8]]
    rows = [("dense", "clean", 0.0, 0.9), ("dense", "noise", 0.1, 0.5)]
    shaken = pd.DataFrame(
        rows, columns=["network", "corruption", "strength", "accuracy"]
    )
    fell = pd.DataFrame(
        {"network": ["dense", "l1"], "extra": [0, 0.05], "extra_low": [0, 0.02],
         "extra_high": [0, 0.09]}
    )  # fmt: skip
    with_l1 = pd.concat([shaken, shaken.assign(network="l1")])
    point, only, _ = charts.shaken_chart(with_l1, fell, robustness.UNITS).data
    assert list(only.y) == [0.9, 0.5]
    assert list(only.x) == ["none", "0.1"]
    assert (point.x[0], point.y[0]) == (pytest.approx(5), "l1")
    assert point.error_x.array[0] == pytest.approx(4)


def test_a_criterion_has_one_colour_in_every_view():
    """In curves, bands of forms, points and the canvas, whoever stands beside it."""
    import pandas as pd

    from llmrank.report import charts
    from llmrank.report.charts.mlps import criterion_place
    from llmrank.report.charts.theme import LIGHT

    names = ["random", "l1", "mlp-rank θ 0.5 γ 0.5", "mlp-rank, authors' code"]
    rows = [(name, "clean", 0.0, 0.9) for name in names]
    rows += [(name, "noise", 0.1, 0.9) for name in names]
    columns = ["network", "corruption", "strength", "accuracy"]
    fell = pd.DataFrame({"network": [], "extra": []})
    fig = charts.shaken_chart(
        pd.DataFrame(rows, columns=columns), fell, robustness.UNITS
    )
    colours = {trace.name: trace.line.color for trace in fig.data}
    assert colours == {n: LIGHT.series[criterion_place(n)] for n in names}
    assert len(set(colours.values())) == 3  # both forms of MLP-Rank have one
    dashes = [trace.line.dash for trace in fig.data if trace.name.startswith("mlp")]
    assert dashes[0] != dashes[1]
    usual = ("mlp-rank", "random", "l1", "activation", "wanda")
    assert len({criterion_place(n) for n in usual}) == len(usual) < len(LIGHT.series)
    by_l1 = charts.recovery_chart({"fine-tune": [0.5]}, 0.9, "l1").data[1]
    assert by_l1.line.color == colours["l1"]
