"""Tables and sentences about scores and networks, against other roads to the same."""

import numpy as np
import pandas as pd
import pytest
import torch

from llmrank.analysis.agreement import agreement
from llmrank.analysis.neuron import Neuron
from llmrank.core.formatting import number
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import Activation, LLMRank, Scores, Wanda
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan
from llmrank.models.ffn import ffns
from llmrank.report import sentences
from llmrank.report.network import NetworkSpec, network, score_parts


def random_scores(*widths, seed=0):
    """Uneven layers of scores that sum to 1, as a criterion's normalised ones do."""
    generator = torch.Generator().manual_seed(seed)
    return Scores(tuple(torch.rand(n, generator=generator) ** 3 for n in widths))


@pytest.fixture
def cut():
    """Scores of three uneven layers and the plan of one threshold over all."""
    scores = random_scores(40, 31, 7)
    by = plan(scores, PruningSpec(sparsity=0.4), Global())
    return scores.normalised, by.keep


def test_every_neuron_is_listed_with_its_score_and_whether_it_is_kept(cut):
    scores, keep = cut
    table = sentences.neuron_table(scores, keep)
    assert len(table) == 78
    for layer, rows in table.groupby("layer"):
        assert rows["score"].tolist() == pytest.approx(scores[layer].tolist())
        assert rows["times_uniform"].mean() == pytest.approx(1)
        kept = rows.loc[rows["kept"], "neuron"].tolist()
        assert kept == keep[layer].tolist()
        order = rows.sort_values("rank")["score"]
        assert order.is_monotonic_decreasing


def test_layers_are_described_as_pandas_describes_their_neurons(cut):
    table, neurons = sentences.layer_table(*cut), sentences.neuron_table(*cut)
    lowest = neurons["score"].rank() <= 31  # as many as are dropped
    for layer, rows in neurons.groupby("layer"):
        row, score = table.iloc[layer], rows["score"]
        kept, dropped = score[rows["kept"]], score[~rows["kept"]]
        assert row["n_neurons"] == len(rows)
        assert row["n_dropped"] == len(dropped)
        assert row["dropped_score"] == pytest.approx(dropped.sum(), abs=1e-6)
        assert row["median"] == pytest.approx(score.median())
        assert row["p95"] == pytest.approx(score.quantile(0.95))
        assert row["n_dropped_globally"] == lowest[rows.index].sum()
        assert row["n_effective"] == pytest.approx(1 / (score**2).sum())
        if len(dropped):
            assert row["threshold"] == pytest.approx(kept.min())
            assert dropped.max() <= row["threshold"]
            far = (score / kept.min() - 1).abs() > 0.05
            assert row["n_close"] == (~far).sum()
    assert table["n_dropped"].sum() == 31


def test_where_nothing_is_dropped_there_is_no_threshold():
    scores = random_scores(12, 5).normalised
    table = sentences.layer_table(scores, [torch.arange(12), torch.arange(5)])
    columns = ["threshold", "n_dropped", "n_close", "n_tied", "dropped_score"]
    assert (table[columns] == 0).all(axis=None)


def by_layer(**columns):
    """A layer table of which only some columns matter."""
    n = len(next(iter(columns.values())))
    usual = {"layer": range(n), "n_neurons": 10, "n_dropped": 3, "n_tied": 0}
    return pd.DataFrame(usual | columns)


def concentrated(**columns):
    return by_layer(**({"n_effective": [5.0, 2.5, 9.96]} | columns))


def test_heatmap_names_the_most_concentrated_layer_and_whom_one_threshold_empties():
    said = sentences.heatmap_sentence(
        concentrated(n_dropped=[3, 4, 2], n_dropped_globally=[3, 9, 0])
    )
    assert said == (
        "One threshold for all layers (dotted) would remove 90 % of layer 1 and 0 % of "
        "layer 2; the cut in hand (solid) removes 40 % and 20 %. Layer 1 is the most "
        "concentrated: as if 2.50 of its 10 neurons shared the score (layer 2: 9.96)."
    )
    lineless = sentences.heatmap_sentence(
        concentrated(n_dropped_globally=[3, 9, 0]), lined=False
    )
    assert "solid" not in lineless
    assert "dotted" not in lineless
    alike = sentences.heatmap_sentence(concentrated(n_dropped_globally=[3, 3, 3]))
    assert "threshold" not in alike


def test_heatmap_of_layers_that_are_alike_names_none():
    for alone in ([4.0], [4.0, 4.0]):
        layers = by_layer(n_effective=alone, n_dropped_globally=[3] * len(alone))
        assert sentences.heatmap_sentence(layers) == (
            "Each layer is as concentrated: as if 4.00 of its 10 neurons shared the "
            "score."
        )


def test_a_neuron_is_said_with_its_rank_its_score_and_its_fate(cut):
    scores, keep = cut
    order = scores[1].argsort(descending=True)
    for place, fate in ((0, "kept"), (len(order) - 1, "removed")):
        neuron = Neuron(1, int(order[place]))
        times = number(float(scores[1][neuron.index]) * len(order))
        assert sentences.neuron_sentence(scores, keep, neuron) == (
            f"**L1·{neuron.index}**: rank {place + 1} of {len(order)}, ×{times} its "
            f"layer's mean, **{fate}**"
        )
    nobody = sentences.neuron_sentence(scores, keep, Neuron(1, 999))
    assert nobody == "Layer 1 has no neuron 999 here."


def test_distribution_says_what_is_cut_and_how_close_it_is():
    row = by_layer(dropped_score=[0.12345], n_close=[4]).iloc[0]
    assert sentences.distribution_sentence(row) == (
        "Layer 0: the 3 of 10 neurons left of the line are removed, and 12.3 % of the "
        "layer's score with them; scores within 5 % of the threshold, where the choice "
        "is close: 4."
    )


def test_ties_at_the_threshold_are_said_and_true():
    scores = [torch.full((4,), 0.25)]
    table = sentences.layer_table(scores, [torch.tensor([0, 1])])
    said = sentences.distribution_sentence(table.iloc[0])
    assert "left of the line" not in said
    assert "2 of 4 neurons are removed, and 50 % of the layer's score" in said
    assert "2 of these score exactly the threshold" in said


def test_without_a_cut_the_distribution_says_where_the_middle_is():
    scores = [torch.tensor([0.1, 0.2, 0.7])]
    table = sentences.layer_table(scores, [torch.arange(3)])
    said = sentences.distribution_sentence(table.iloc[0])
    assert said.endswith("half of its 3 neurons score at most 0.600 times the mean.")


def test_distributions_name_who_loses_least_and_most():
    said = sentences.distributions_sentence(by_layer(dropped_score=[0.2, 0.051, 0.14]))
    assert "layer 1 loses the least, 5.1 % of its score" in said
    assert "layer 0 the most, 20 %" in said


def test_distributions_without_a_cut_say_so():
    said = sentences.distributions_sentence(
        concentrated(n_dropped=[0, 0, 0], n_dropped_globally=[0, 0, 0])
    )
    assert said.startswith("Nothing is removed")
    assert "Layer 1 is the most concentrated" in said


@pytest.fixture
def two():
    """Two criteria on uneven layers, at two sparsities."""
    first, second = random_scores(40, 31, 7), random_scores(40, 31, 7, seed=1)
    plans = plan(first, PruningSpec(sparsity=0.5)), plan(second, PruningSpec())
    found = agreement(first.normalised, second.normalised, *plans)
    return (first.normalised, second.normalised), plans, found


def test_overlap_says_what_sets_say(two):
    _, (a, b), found = two
    both = [
        len(set(x.tolist()) & set(y.tolist()))
        for x, y in zip(a.drop, b.drop, strict=True)
    ]
    said = sentences.overlap_sentence(found, ("one", "other"), b.sparsity)
    assert said.startswith(
        f"Of the {a.n_dropped} neurons that one removes, other removes "
        f"{100 * sum(both) / a.n_dropped:.3g} % too "
        f"({100 * b.sparsity:.3g} % by chance)"
    )
    shares = [n / len(x) for n, x in zip(both, a.drop, strict=True)]
    least = int(np.argmin(shares))
    assert said.endswith(f"in layer {least}: {100 * shares[least]:.3g} %.")


def test_overlap_with_itself_is_everything_everywhere(two):
    (scores, _), (by, _), _ = two
    found = agreement(scores, scores, by, by)
    said = sentences.overlap_sentence(found, ("one", "the same"), by.sparsity)
    assert "removes 100 % too" in said
    assert said.endswith("in every layer alike.")


def test_overlap_where_nothing_is_dropped_says_so(two):
    (scores, _), (by, _), _ = two
    every = tuple(torch.arange(n) for n in by.dense_widths)
    whole = PruningPlan(every, by.dense_widths)
    found = agreement(scores, scores, whole, by)
    assert "removes nothing" in sentences.overlap_sentence(found, ("one", "other"), 0.0)


def test_agreement_is_said_in_spearmans_and_jaccards_numbers(two):
    _, (a, b), found = two
    for layer in (None, 2):
        drop = (
            zip(a.drop, b.drop, strict=True)
            if layer is None
            else [(a.drop[2], b.drop[2])]
        )
        both, either = 0, 0
        for x, y in drop:
            both += len(set(x.tolist()) & set(y.tolist()))
            either += len(set(x.tolist()) | set(y.tolist()))
        rho = found.total_spearman if layer is None else found.spearman[layer]
        assert sentences.agreement_words(found, layer) == (
            f"Spearman {rho:.3f}<br>Jaccard of the removed {both / either:.3f}"
        )
    scores = (torch.full((4,), 0.25),)
    all_kept = PruningPlan((torch.arange(4),), (4,))
    nothing = agreement(scores, scores, all_kept, all_kept)
    assert (
        sentences.agreement_words(nothing, 0)
        == "Spearman –<br>Jaccard of the removed –"
    )


def test_the_agreement_table_adds_up_and_knows_chance(two):
    _, (_, b), found = two
    table = sentences.agreement_table(found, b)
    assert table["dropped_by_both"].sum() == found.total.n_both
    assert table["share"].tolist() == pytest.approx(
        (table["dropped_by_both"] / table["dropped_by_first"]).tolist()
    )
    expected = [len(d) / n for d, n in zip(b.drop, b.dense_widths, strict=True)]
    assert table["by_chance"].tolist() == pytest.approx(expected)


def test_the_pair_table_holds_both_tables(two):
    scores, plans, _ = two
    keep = plans[0].keep, plans[1].keep
    table = sentences.pair_table(scores, keep)
    for place, which in enumerate(("first", "second")):
        alone = sentences.neuron_table(scores[place], keep[place])
        for column in ("score", "rank", "kept"):
            assert table[f"{column}_{which}"].tolist() == alone[column].tolist()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (LLMRank(), Activation(), ("llm-rank", "activation")),
        (LLMRank(), Activation(site="up"), ("llm-rank", "activation (site up)")),
        (LLMRank(gamma=0.9), Wanda(), ("llm-rank (γ 0.9)", "wanda")),
        (
            LLMRank(),
            LLMRank(gamma=0.0, site="up"),
            ("llm-rank (γ 0.5, site neuron)", "llm-rank (γ 0, site up)"),
        ),
        (LLMRank(), LLMRank(), ("llm-rank", "the same")),
    ],
)
def test_two_criteria_are_told_apart_by_their_names(first, second, expected):
    assert sentences.names(first, second) == expected


def test_rho_is_said_with_what_holds_for_the_weights():
    assert "ρ = 0.5 rank" in sentences.rho_sentence(LLMRank(), 0.0)
    assert "holds exactly" in sentences.rho_sentence(LLMRank(), 0.0)
    assert "0.03 % of the incoming weights" in sentences.rho_sentence(LLMRank(), 0.0003)
    assert "∞" in sentences.rho_sentence(LLMRank(gamma=1.0), 0.0)
    assert "tie" in sentences.rho_sentence(LLMRank(theta=0.0, gamma=1.0), 0.0)
    assert "ρ alone does not" in sentences.rho_sentence(LLMRank(graph="chained"), 0.0)
    assert "neither" in sentences.rho_sentence(LLMRank(variant="modified"), 0.0)


def test_zero_weights_are_counted(tiny):
    views = ffns(tiny.model)
    assert sentences.zero_share(views) == 0
    up = views[0].up.clone()
    up[0, :6] = 0
    first = type(views[0])(**(vars(views[0]) | {"up": up}))
    share = sentences.zero_share([first, views[1]])
    assert share == pytest.approx(6 / (2 * 24 * 16))


def test_a_network_is_said_in_the_models_own_numbers(tiny):
    views = ffns(tiny.model)
    scores = random_scores(24, 24).normalised
    graph = network(views, scores, None, NetworkSpec(layer=1, n_edges=50))
    said = sentences.network_sentence(graph, views)
    assert said.startswith(
        "Layer 1 joins 24 neurons and 16 residual dimensions by 768 edges. Heaviest "
        "edge drawn: "
    )
    every = torch.cat([views[1].up.flatten(), views[1].down.flatten()]).abs()
    heaviest = every.max() / every.mean()  # all 24 neurons and 16 dimensions are drawn
    assert said.endswith(f", ×{heaviest:.2f} the mean weight.")


def parts_of(score, keep, activation):
    score = torch.tensor(score)
    part = activation and torch.tensor(activation)
    return score_parts(score, torch.tensor(keep), part)


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (
            [0.3, 0.16, 0.04],  # of 0.4, 0.36, 0.24: edges bring 0.1, 0.2, 0.2
            "Layer 3 keeps 2 of 3 neurons **by activation**, ×1.38 the mean where "
            "kept, ×0.240 where removed; hardly by edges, ×0.900 and ×1.20.",
        ),
        (
            [0.2, 0.2, 0.2],
            "Layer 3 keeps 2 of 3 neurons **by edges**, ×1.35 the mean where kept, "
            "×0.300 where removed; hardly by activation, ×1.00 and ×1.00.",
        ),
        (
            [0.4, 0.36, 0.2399999],  # γ = 0: no edges, but for rounding
            "Layer 3 keeps 2 of 3 neurons **by activation**, ×1.14 the mean where "
            "kept, ×0.720 where removed.",
        ),
        (
            None,
            "Layer 3 keeps 2 of 3 neurons: they score ×1.14 the layer's mean, the "
            "removed ones ×0.720.",
        ),
    ],
)
def test_what_separates_kept_from_removed_is_said(activation, said):
    parts = parts_of([0.4, 0.36, 0.24], [0, 1], activation)
    assert sentences.separation_sentence(parts, 3) == said


def test_the_cut_is_said_with_the_edge_weight_on_its_sides(tiny):
    view = ffns(tiny.model)[1]
    scores = random_scores(24, 24).normalised[1]
    order = scores.argsort(descending=True)
    parts = score_parts(scores, order[:20].sort().values, None)
    strength = view.up.abs().sum(1) + view.down.abs().sum(0)
    ratio = strength[order[:20]].mean() / strength[order[20:]].mean()
    gap = 1 - float(scores[order[20]] / scores[order[19]])
    assert sentences.cut_sentence(parts, view) == (
        f"At the cut the least kept, L1·{order[19]}, scores "
        f"×{number(24 * float(scores[order[19]]))} the mean, the most removed, "
        f"L1·{order[20]}, {100 * gap:.3g} % less. By Σ|w| over their own edges, "
        f"before anything is spread, the kept weigh "
        f"×{number(float(ratio))} as much as the removed."
    )
    everything = score_parts(scores, torch.arange(24), None)
    assert sentences.cut_sentence(everything, view) == ""
    keeps_all = "Layer 1 keeps all of its 24 neurons."
    assert sentences.separation_sentence(everything, 1) == keeps_all


def test_a_chain_without_edges_is_said_too(tiny):
    views = ffns(tiny.model)
    graph = network(
        views, random_scores(24, 24).normalised, None, NetworkSpec(n_layers=2)
    )
    assert sentences.network_sentence(graph, views).startswith(
        "Layers 0 to 1 join 48 neurons and 16 residual dimensions by 1,536 edges"
    )
    graph.remove_edges_from(list(graph.edges))
    assert sentences.network_sentence(graph, views).endswith("1,536 edges.")
