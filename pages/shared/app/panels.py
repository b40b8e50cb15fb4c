"""Pieces that two pages or more draw: guarded panels, empty states, numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import counted, number, share
from llmrank.core.jobs import Job
from llmrank.core.statistics import times_spread
from llmrank.evaluation import shape_timing
from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.speedup import Phase, as_fast
from llmrank.experiments.expected_steps import measuring_steps
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report, run
from llmrank.experiments.settings import command_line
from llmrank.experiments.store import Store
from llmrank.report import charts
from llmrank.report.sentences.summary import PAIRED, windows
from pages.shared.app import jobs, resources, training
from pages.shared.app.escape import plain
from pages.shared.app.reading import WIDTHS as WIDTHS
from pages.shared.app.reading import has_scores as has_scores
from pages.shared.app.reading import measure_widths as measure_widths

PHASES: dict[Phase, str] = {"prefill": "Prefill", "decode": "Decode, per token"}


@contextmanager
def panel() -> Iterator[None]:
    """Show what a visitor may meet where it happened; the rest of the page lives."""
    try:
        yield
    except LLMRankError as error:
        st.error(plain(str(error)))


def measure(
    experiment: Experiment, label: str = "Measure it", *, primary: bool = True
) -> None:
    """Offer the whole job: score, cut, and measure dense beside pruned."""
    unkept = resources.unkept().peek(experiment)
    if unkept is not None:
        st.warning(f"Measured, but not kept for Runs: {plain(unkept)}")
    kind = "primary" if primary else "secondary"
    busy = jobs.active("measure")
    if st.button(label, type=kind, disabled=busy, key=f"measure_{label}"):
        start_measuring(experiment)


def start_measuring(experiment: Experiment) -> None:
    """Do the whole job in the worker, and keep what it measures."""
    pipeline = resources.pipeline()

    def work(job: Job) -> Report:
        job.expect(measuring_steps(experiment, pipeline))
        measured = run(
            experiment,
            pipeline=pipeline,
            progress=job.progress,
            publish=job.publish,
            train=training.follow(job, experiment),
            enough=lambda: job.enough,
        )
        resources.reports().put(experiment, measured)
        timed = shape_timing.speed_point(measured.comparison)
        if timed is not None:
            resources.keep_speed(experiment, timed)
        resources.unkept().put(experiment, _kept(measured))
        return measured

    removed, method = share(experiment.pruning.sparsity), experiment.method
    title = f"Measuring {removed} by {method.name}"
    jobs.start("measure", title, work, experiment)


def _kept(measured: Report) -> str | None:
    """Keep a measurement among the runs; return why it could not be, if so."""
    try:
        Store().add_report(measured)
    except LLMRankError as error:
        return str(error)
    return None


def other_settings(experiment: Experiment, in_hand: Experiment) -> None:
    """Say so where what is shown was made with other settings than those in hand."""
    if experiment != in_hand:
        st.caption("Made with other settings than now:")
        st.code(command_line(experiment), language="bash", wrap_lines=True)


class Figure(NamedTuple):
    """One number of a comparison: dense → pruned, their ratio, how it was measured."""

    label: str
    value: str
    ratio: str | None
    about: str


def numbers(comparison: Comparison, origin: dict[str, str], missing: str = "…") -> None:
    """Show the four numbers of a comparison, large."""
    with st.container(horizontal=True, gap="large"):
        for figure in figures(comparison, origin, missing):
            st.metric(
                figure.label,
                figure.value,
                figure.ratio,
                delta_color="off",
                delta_arrow="off",
                help=figure.about,
                width="content",
            )


def listed(label: str, value: str, ratio: str | None, about: str) -> None:
    """Show one number as a line of a list."""
    name, written = st.columns([0.35, 0.65])
    name.markdown(f":gray[{label}]", help=about)
    small = "" if ratio is None else f" :small[:gray[{ratio}]]"
    written.markdown(f"**{value}**{small}")


def figures(
    comparison: Comparison, origin: dict[str, str], missing: str
) -> list[Figure]:
    """Return the four numbers of a comparison, dense → pruned, with intervals."""
    dense, pruned = comparison.dense, comparison.pruned
    before, after = (side.footprint.n_params / 1e6 for side in (dense, pruned))
    size = Figure(
        "Parameters",
        f"{before:,.1f} → {after:,.1f} M",
        f"−{share(1 - after / before)}",
        "Really cut: fewer rows and columns, not zeros.",
    )
    quality = Figure("Perplexity", missing, None, "Measured on held-out text.")
    if dense.text is not None and pruned.text is not None:
        ratio, text = comparison.perplexity_ratio, pruned.text
        quality = Figure(
            "Perplexity",
            _change(dense.text.perplexity.value, text.perplexity.value),
            None if ratio is None else times_spread(ratio),
            f"{text.n_tokens:,} tokens of {plain(text.text_source)}, in "
            f"{plain(windows(text))}; 95 % interval of the ratio, paired by window. "
            "Lower is better.",
        )
    speeds = (_speed(comparison, phase, origin, missing) for phase in PHASES)
    return [size, quality, *speeds]


def _speed(
    comparison: Comparison, phase: Phase, origin: dict[str, str], missing: str
) -> Figure:
    before, after = comparison.dense.latency, comparison.pruned.latency
    if before is None or after is None:
        return Figure(PHASES[phase], missing, None, "Timed after the text is read.")
    times_ms = (getattr(latency, phase).median for latency in (before, after))
    faster = comparison.speedup and as_fast(getattr(comparison.speedup, phase))
    return Figure(
        PHASES[phase],
        f"{_change(*times_ms)} ms",
        faster,
        f"Median; {origin['device']}, {counted(int(origin['n_threads']), 'thread')}, "
        f"{origin['dtype']}, {origin['measured_at']}. {PAIRED}",
    )


def _change(before: float, after: float) -> str:
    return f"{number(before)} → {number(after)}"


def is_dark() -> bool:
    """Whether the visitor sees the dark theme."""
    return st.context.theme.type == "dark"


def chart(
    fig: go.Figure,
    reading: str,
    data: Callable[[], pd.DataFrame],
    *,
    key: str,
    on_select: Callable[[], None] | None = None,
) -> None:
    """Show how to read a chart, the chart, and how to take it along.

    Args:
        fig: drawn for `is_dark()`.
        reading: one sentence computed from the data.
        data: makes the table behind the chart, when somebody asks for it.
        key: of the chart, and the name of its files.
        on_select: called when a point is chosen, which `st.session_state[key]` tells.
    """
    config = charts.CONFIG
    if st.session_state.get(f"{key}_picture") == "SVG":
        config = charts.SVG_CONFIG
    named = config["toImageButtonOptions"] | {"filename": f"llm-rank-{key}"}
    st.plotly_chart(
        fig,
        theme=None,
        key=key,
        config=config | {"toImageButtonOptions": named},
        alt=reading,
        on_select=on_select or "ignore",
        selection_mode="points",
    )
    said, save = st.columns([0.86, 0.14], vertical_alignment="top")
    said.markdown(reading)
    with (
        save.container(horizontal=True, horizontal_alignment="right"),
        st.popover("Save", type="tertiary", width="content"),
    ):
        csv(data, key=key)
        st.segmented_control(
            "The chart's camera saves",
            ["PNG", "SVG"],
            default="PNG",
            required=True,
            key=f"{key}_picture",
        )


def csv(data: Callable[[], pd.DataFrame], *, key: str, label: str = "CSV") -> None:
    """Offer a table as a file; it is made when somebody asks for it."""
    st.download_button(
        label,
        lambda: data().to_csv(index=False),
        f"llm-rank-{key}.csv",
        "text/csv",
        key=f"{key}_csv",
        on_click="ignore",
        icon=":material/download:",
    )
