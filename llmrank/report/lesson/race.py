"""The lesson's race as a chart, a sentence and a table."""

import statistics

import pandas as pd
import plotly.graph_objects as go

from llmrank.core.formatting import counted, number, share, times
from llmrank.lesson.race import VERSIONS, WARM_UP, Race
from llmrank.report.charts.theme import figure, palette

WIDEST = 1.8
"""Times the slowest median: how far the chart's axis goes."""


def reading(race: Race) -> str:
    """Say which version was faster, from what was measured."""
    ratios = {name: race.ratio(name) for name in VERSIONS[1:]}
    said = [
        f"{name} {times(middle)} as fast [{number(low)}, {number(high)}]"
        for name, (middle, low, high) in ratios.items()
    ]
    return (
        f"With {share(race.spec.sparsity)} gone, against all weights: "
        f"{'; '.join(said)} (median of the rounds' ratios; in brackets their middle "
        "half)."
    )


def race_chart(race: Race, *, dark: bool) -> go.Figure:
    """Draw the median time of each version, every round beside it as a dot."""
    colours = palette(dark)
    widest = WIDEST * max(t.median for t in race.timings.values())
    every = [ms for t in race.timings.values() for ms in t.samples_ms]
    n_beyond = sum(ms > widest for ms in every)
    beyond = f"; {counted(n_beyond, 'run')} took longer than shown" if n_beyond else ""
    fig = figure(dark=dark, height=230, x=f"time of one run (ms){beyond}", y="")
    names = list(reversed(VERSIONS))
    medians = [race.timings[n].median for n in names]
    fig.add_bar(
        x=medians,
        y=names,
        orientation="h",
        marker_color=[
            colours.accent if n == VERSIONS[-1] else colours.neutral for n in names
        ],
        text=[f"{number(m)} ms" for m in medians],
        textposition="inside",
        insidetextanchor="start",
        hovertemplate="%{y}: median %{x:.3g} ms<extra></extra>",
    )
    for name in names:
        samples = race.timings[name].samples_ms
        fig.add_scatter(
            x=samples, y=[name] * len(samples), mode="markers",
            marker={"color": colours.text, "size": 5, "opacity": 0.5},
            hovertemplate="one round: %{x:.3g} ms<extra></extra>",
        )  # fmt: skip
    fig.update_layout(showlegend=False, bargap=0.3)
    fig.update_xaxes(range=[0, widest])
    return fig


def origin(race: Race) -> str:
    """Say what was timed, and on which machine."""
    s = race.spec
    return (
        f"{s.rows:,} examples through {s.d_model:,} → {s.d_ff:,} → {s.d_model:,} "
        f"with ReLU, float32, {counted(s.rounds, 'round')} in turns after {WARM_UP} "
        f"to warm up; {race.processor} ({race.device}), "
        f"{counted(race.n_threads, 'thread')}, torch {race.torch_version}, "
        f"{race.measured_at}."
    )


def race_table(race: Race) -> pd.DataFrame:
    """Return one row per version: times in ms, their spread, and the ratio."""
    rows = []
    for name, timing in race.timings.items():
        low, _, high = statistics.quantiles(timing.samples_ms, n=4, method="inclusive")
        spread = (timing.median, low, high)
        rows.append([name, race.nonzero[name], *spread, *race.ratio(name)])
    columns = [
        "version", "weights not zero", "median ms", "lower quarter ms",
        "upper quarter ms", "times as fast", "from", "to",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
