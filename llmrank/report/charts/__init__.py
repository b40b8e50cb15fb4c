"""Plotly figures of scores, plans and measurements; plain tensors and tables go in."""

from llmrank.report.charts.agreements import correlation_map, overlap_bars, rank_scatter
from llmrank.report.charts.allocations import cost_map, search_chart
from llmrank.report.charts.heatmap import score_heatmap
from llmrank.report.charts.measurements import (
    latency_chart,
    task_chart,
    tradeoff,
    widths_chart,
)
from llmrank.report.charts.mlps import (
    learning_curve,
    recovery_chart,
    retention_chart,
    shaken_chart,
)
from llmrank.report.charts.pareto import pareto_chart
from llmrank.report.charts.scores import distributions, score_distribution
from llmrank.report.charts.theme import (
    CONFIG,
    DIFFERENCES,
    SCORES,
    SVG_CONFIG,
    template,
)

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
