"""Plotly figures of scores, plans and measurements; plain tensors and tables go in."""

from llmrank.charts.agreements import correlation_map, overlap_bars, rank_scatter
from llmrank.charts.allocations import cost_map, search_chart
from llmrank.charts.heatmap import score_heatmap
from llmrank.charts.measurements import (
    latency_chart,
    task_chart,
    tradeoff,
    widths_chart,
)
from llmrank.charts.mlps import (
    learning_curve,
    recovery_chart,
    retention_chart,
    shaken_chart,
)
from llmrank.charts.pareto import pareto_chart
from llmrank.charts.scores import distributions, score_distribution
from llmrank.charts.theme import CONFIG, DIFFERENCES, SCORES, SVG_CONFIG, template

__all__ = [
    "CONFIG",
    "DIFFERENCES",
    "SCORES",
    "SVG_CONFIG",
    "correlation_map",
    "cost_map",
    "distributions",
    "latency_chart",
    "learning_curve",
    "overlap_bars",
    "pareto_chart",
    "rank_scatter",
    "recovery_chart",
    "retention_chart",
    "score_distribution",
    "score_heatmap",
    "search_chart",
    "shaken_chart",
    "task_chart",
    "template",
    "tradeoff",
    "widths_chart",
]
