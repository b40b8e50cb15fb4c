"""What the pictures say: the tables behind them, and one computed sentence each."""

from llmrank.report.sentences.networks import of_network
from llmrank.report.sentences.scores import (
    names,
    of_disagreements,
    of_distribution,
    of_distributions,
    of_extremes,
    of_heatmap,
    of_index,
    of_overlap,
    of_percentiles,
    of_ranks,
    of_rho,
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
    "layer_table",
    "names",
    "neuron_table",
    "of_disagreements",
    "of_distribution",
    "of_distributions",
    "of_extremes",
    "of_heatmap",
    "of_index",
    "of_network",
    "of_overlap",
    "of_percentiles",
    "of_ranks",
    "of_rho",
    "pair_table",
    "zero_share",
]
