"""What pictures of scores say, each in one sentence computed from what they show."""

import math
from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.analysis.agreement import Agreement
from llmrank.analysis.neuron import Neuron
from llmrank.core.formatting import choice, number, share, times
from llmrank.core.specs import described, options
from llmrank.methods.criteria import Criterion, LLMRank
from llmrank.models.ffn import FFN
from llmrank.report.tables.scores import CLOSE, neuron_table


def heatmap_sentence(layers: pd.DataFrame, *, lined: bool = True) -> str:
    """Say whom one threshold over all would empty, and how concentrated scores are.

    Where it is `lined`, the picture has a line for each of both cuts.
    """
    layers = layers.assign(
        removed=layers["n_dropped"] / layers["n_neurons"],
        even=layers["n_effective"] / layers["n_neurons"],
        globally=layers["n_dropped_globally"] / layers["n_neurons"],
    )
    most, least = _lowest(layers, "even"), _highest(layers, "even")
    as_if = (
        f"as if {number(most['n_effective'])} of its {most['n_neurons']:,.0f} neurons "
        "shared the score"
    )
    if math.isclose(most["even"], least["even"], rel_tol=1e-6):
        return f"Each layer is as concentrated: {as_if}."
    said = f"Layer {most['layer']:.0f} is the most concentrated: {as_if}"
    said = f"{said} (layer {least['layer']:.0f}: {number(least['n_effective'])})"
    high, low = _highest(layers, "globally"), _lowest(layers, "globally")
    if high["globally"] == low["globally"]:
        return f"{said}."
    dotted, solid = (" (dotted)", " (solid)") if lined else ("", "")
    return (
        f"One threshold for all layers{dotted} would remove {share(high['globally'])} "
        f"of layer {high['layer']:.0f} and {share(low['globally'])} of layer "
        f"{low['layer']:.0f}; the cut in hand{solid} removes {share(high['removed'])} "
        f"and {share(low['removed'])}. {said}."
    )


def neuron_sentence(
    scores: Sequence[Float[Tensor, " _"]],
    keep: Sequence[Int[Tensor, " _"]],
    neuron: Neuron,
) -> str:
    """Say a neuron's rank in its layer, its score, and whether it is removed."""
    layer = neuron.layer
    table = neuron_table([scores[layer]], [keep[layer]])
    if neuron.index >= len(table):
        return f"Layer {layer} has no neuron {neuron.index:,} here."
    row = table.iloc[neuron.index]
    fate = "kept" if row["kept"] else "removed"
    return (
        f"**L{layer}·{neuron.index}**: rank {row['rank']:,} of {len(table):,}, "
        f"{times(row['times_uniform'])} its layer's mean, **{fate}**"
    )


def distribution_sentence(layer: pd.Series) -> str:
    """Say what is dropped of one layer and how close the choice is."""
    n, dropped = f"{layer['n_neurons']:,.0f}", layer["n_dropped"]
    name = f"Layer {layer['layer']:.0f}"
    if not dropped:
        times = number(layer["median"] * layer["n_neurons"])
        return (
            f"{name}: nothing is removed; half of its {n} neurons score at most "
            f"{times} times the mean."
        )
    takes = f"and {share(layer['dropped_score'])} of the layer's score with them"
    if layer["n_tied"]:
        return (
            f"{name}: {dropped:,.0f} of {n} neurons are removed, {takes}; "
            f"{layer['n_tied']:,.0f} of these score exactly the threshold, where the "
            "lower index is kept."
        )
    return (
        f"{name}: the {dropped:,.0f} of {n} neurons left of the line are removed, "
        f"{takes}; scores within {share(CLOSE)} of the threshold, where the choice is "
        f"close: {layer['n_close']:,.0f}."
    )


def distributions_sentence(layers: pd.DataFrame) -> str:
    """Say which layer loses the least of its score and which the most."""
    if not layers["n_dropped"].any():
        return (
            f"Nothing is removed, so there is no threshold. {heatmap_sentence(layers)}"
        )
    least = _lowest(layers, "dropped_score")
    most = _highest(layers, "dropped_score")
    if len(layers) == 1:
        return f"Below the threshold lies {share(most['dropped_score'])} of the score."
    return (
        f"Below its threshold layer {least['layer']:.0f} loses the least, "
        f"{share(least['dropped_score'])} of its score, and layer {most['layer']:.0f} "
        f"the most, {share(most['dropped_score'])}."
    )


def overlap_sentence(
    agreement: Agreement, names: tuple[str, str], by_chance: float
) -> str:
    """Say how much of what the first criterion drops the second drops too."""
    first, second = names
    total = agreement.total
    if total.share is None:
        return f"{first} removes nothing here, so there is no overlap to compare."
    said = (
        f"Of the {total.n_a:,} neurons that {first} removes, {second} removes "
        f"{share(total.share)} too ({share(by_chance)} by chance)"
    )
    shares = {
        i: o.share for i, o in enumerate(agreement.overlaps) if o.share is not None
    }
    if len(shares) < 2:
        return f"{said}."
    least = min(shares, key=shares.__getitem__)
    if shares[least] == max(shares.values()):
        return f"{said}, in every layer alike."
    return f"{said}, the fewest in layer {least}: {share(shares[least])}."


def agreement_words(agreement: Agreement, layer: int | None) -> str:
    """Say Spearman's and Jaccard's numbers of a layer or (None) of all, for a chart."""
    rho = agreement.total_spearman if layer is None else agreement.spearman[layer]
    o = agreement.total if layer is None else agreement.overlaps[layer]
    numbers = {"Spearman": rho, "Jaccard of the removed": o.jaccard}
    told = ("–" if n is None else f"{n:.3f}" for n in numbers.values())
    return "<br>".join(f"{k} {v}" for k, v in zip(numbers, told, strict=True))


def disagreements_sentence(apart: pd.DataFrame, names: tuple[str, str]) -> str:
    """Say on which neuron two criteria differ most, and who ranks it higher."""
    if apart.empty or apart["apart"].iloc[0] == 0:
        return f"{names[0]} and {names[1]} rank every neuron alike."
    most = apart.iloc[0]
    higher, lower = names if most["apart"] > 0 else names[::-1]
    first, second = (int(most[c]) for c in ("rank_a", "rank_b"))
    if most["apart"] < 0:
        first, second = second, first
    return (
        f"They differ most on layer {int(most['layer'])}, neuron "
        f"{int(most['neuron']):,}: rank {first:,} by {higher}, {second:,} by {lower}."
    )


def rho_sentence(criterion: LLMRank, zero_share: float) -> str:
    """Say what θ and γ decide about the ranking, for the weights at hand."""
    if criterion.variant == "modified":
        return "The modified form has neither θ nor γ."
    rho = criterion.rho
    if rho is None:
        return (
            "With θ = 0 and γ = 1 only edges are counted, so that neurons with equally "
            "many edges tie."
        )
    if criterion.graph == "chained":
        return (
            "Chained, each layer's mass depends on θ and γ too, so that ρ alone does "
            "not decide the ranking; on isolated graphs it does."
        )
    shown = "∞ (edge weight alone)" if math.isinf(rho) else f"{rho:.3g}"
    zeros = (
        "no incoming weight is exactly zero, so this holds exactly"
        if not zero_share
        else f"{share(zero_share)} of the incoming weights are exactly zero, which "
        "can swap neurons of nearly equal score"
    )
    return (
        f"Every θ and γ with the same ρ = {shown} rank the neurons of a layer alike, "
        f"since the edge count adds the same to each; here {zeros}."
    )


def zero_share(ffns: Sequence[FFN]) -> float:
    """Return the share of incoming weights that are exactly zero: absent edges."""
    zeros = sum(int((f.up == 0).sum()) for f in ffns)
    return zeros / sum(f.up.numel() for f in ffns)


def names(first: Criterion, second: Criterion) -> tuple[str, str]:
    """Name two criteria so that they can be told apart."""
    if first == second:
        return first.name, "the same"
    return _name(first, second), _name(second, first)


def _name(criterion: Criterion, other: Criterion) -> str:
    """Add what is not the default, and what differs between two of one kind."""
    others = described(other) if type(other) is type(criterion) else {}
    values = {o: getattr(criterion, o.name) for o in options(type(criterion))}
    said = [
        f"{o.letter} {value:.3g}"
        if isinstance(value, float)
        else f"{o.name} {choice(value)}"
        for o, value in values.items()
        if value != o.default or value != others.get(o.name, value)
    ]
    return f"{criterion.name} ({', '.join(said)})" if said else criterion.name


def _lowest(layers: pd.DataFrame, column: str) -> pd.Series:
    return layers.sort_values(column, kind="stable").iloc[0]


def _highest(layers: pd.DataFrame, column: str) -> pd.Series:
    return layers.sort_values(column, ascending=False, kind="stable").iloc[0]
