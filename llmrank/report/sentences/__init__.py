"""What the pictures say: the tables behind them, and one computed sentence each."""

from llmrank.report.sentences.networks import network_sentence
from llmrank.report.sentences.scores import (
    disagreements_sentence,
    distribution_sentence,
    distributions_sentence,
    extremes_sentence,
    heatmap_sentence,
    index_sentence,
    names,
    overlap_sentence,
    percentiles_sentence,
    ranks_sentence,
    rho_sentence,
    zero_share,
)
from llmrank.report.tables.scores import (
    agreement_table,
    layer_table,
    neuron_table,
    pair_table,
)

__all__ = [
    "agreement_table",
    "disagreements_sentence",
    "distribution_sentence",
    "distributions_sentence",
    "extremes_sentence",
    "heatmap_sentence",
    "index_sentence",
    "layer_table",
    "names",
    "network_sentence",
    "neuron_table",
    "overlap_sentence",
    "pair_table",
    "percentiles_sentence",
    "ranks_sentence",
    "rho_sentence",
    "zero_share",
]
