"""Plotly figures of scores, plans and measurements; plain tensors and tables go in."""

from llmrank.core.lazy import handed_on

__getattr__, __all__ = handed_on(
    __name__,
    **{
        "agreements": "correlation_map overlap_bars rank_scatter",
        "allocations": "cost_map search_chart",
        "frontier": "frontier_chart",
        "heatmap": "neuron_at score_heatmap",
        "measurements": "latency_chart task_chart tradeoff widths_chart",
        "miniature": "layer_strips",
        "mlps": "learning_curve recovery_chart retention_chart shaken_chart",
        "pairs": "paired_chart",
        "pareto": "pareto_chart",
        "runs": "runs_chart",
        "scores": "distributions score_distribution",
        "standings": "options_chart standings_chart",
        "training": "training_chart",
        "theme": "CONFIG SVG_CONFIG",
    },
)
