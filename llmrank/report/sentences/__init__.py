"""What the pictures say: the tables behind them, and one computed sentence each."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    "llmrank.report",
    **{
        "sentences.networks": "cut_sentence mean_parts network_sentence "
        "separation_sentence",
        "sentences.scores": "agreement_words disagreements_sentence "
        "distribution_sentence distributions_sentence "
        "heatmap_sentence names neuron_sentence overlap_sentence "
        "rho_sentence zero_share",
        "tables.scores": "agreement_table layer_table neuron_table pair_table "
        "times_uniform",
    },
)
