"""Measured on the spot: points of accuracy, refining themselves, and of speed."""

from dataclasses import dataclass

import streamlit as st

from llmrank.core.formatting import counted, share
from llmrank.core.jobs import Job, JobView
from llmrank.core.statistics import share_spread, times_spread
from llmrank.evaluation import shape_timing
from llmrank.evaluation.perplexity import (
    TextEvaluation,
    perplexity_ratio,
    top1_retention,
)
from llmrank.evaluation.shape_timing import SpeedPoint
from llmrank.experiments import curve
from llmrank.experiments.experiment import Experiment
from llmrank.report import charts
from llmrank.report.sentences import curves
from llmrank.report.sentences import measurements as readings
from llmrank.report.tables import curve as curve_tables
from llmrank.report.tables import speed as speed_tables
from pages.shared.app import access, jobs, panels, resources
from pages.shared.app.escape import plain

KIND = "probe"
TIMING = "timing"


@dataclass(frozen=True)
class Probe:
    """What is known of one pruned model so far, beside dense on the same windows."""

    experiment: Experiment
    dense: TextEvaluation
    pruned: TextEvaluation


def show(e: Experiment, *, committed: bool) -> None:
    """Offer measurements of this setting, and draw all that were made."""
    known = resources.pipeline().pruned_text.peek(e) is not None
    with st.container(horizontal=True, vertical_alignment="center"):
        follow = st.toggle(
            "Measure on release",
            key="follow",
            persist_state="session",
            help="Each time a slider is let go, the pruned model reads the held-out "
            "text; the next move stops it.",
        )
        asked = st.button(
            "Measure here",
            disabled=known or jobs.active(KIND),
            key="measure_here",
            help="Reads the held-out text with the pruned model of this setting",
        )
        if st.button(
            "Time it here",
            disabled=_timed(e) is not None or jobs.active(TIMING),
            key="time_here",
            help="Cuts this model and times it against the dense one, in turns",
        ):
            time_here(e)
    if asked or (follow and committed and not known):
        start(e)
    worth, speed = st.columns(2, gap="medium")
    with worth:
        if jobs.active(KIND):
            jobs.live(KIND, lambda seen: _draw(e, seen))
        else:
            _draw(e, None)
    with speed:
        _draw_speeds(e)


def start(e: Experiment) -> None:
    """Measure this setting instead of the one before."""
    access.check(e)
    before = jobs.view(KIND)
    if before is not None and not before.finished:
        resources.worker().cancel(before.id, jobs.owner())
    pipeline = resources.pipeline()

    def work(job: Job) -> Probe:
        dense = pipeline.dense_text(e, progress=job.progress)
        # Sorted once for these scores; another sparsity is a view of the same copy.
        pipeline.pruner.prefix(e, progress=job.progress)
        _, pruned = pipeline.pruned_text(
            e,
            progress=job.progress,
            publish=lambda text: job.publish(Probe(e, dense, text)),
        )
        return Probe(e, dense, pruned)

    title = (
        f"Measuring {share(e.pruning.sparsity)} by {e.method.criterion.name} on text"
    )
    jobs.start(KIND, title, work, key=e)


def time_here(e: Experiment) -> None:
    """Time this setting's shape against the dense model."""
    access.check(e)
    pipeline, points = resources.pipeline(), resources.speeds()

    def work(job: Job) -> SpeedPoint:
        dense = pipeline.model(e, progress=job.progress)
        pruned = pipeline.pruned(e, progress=job.progress)
        found = shape_timing.time_pair(
            dense, pruned, e.benchmark, progress=job.progress
        )
        points.put((e.model, e.benchmark, e.method.repair, found.widths), found)
        return found

    title = f"Timing {share(e.pruning.sparsity)} against dense"
    jobs.start(TIMING, title, work, key=e)


def _timed(e: Experiment) -> SpeedPoint | None:
    """Return what is known of the widths that this setting leaves."""
    return resources.speeds().peek((e.model, e.benchmark, e.method.repair, _widths(e)))


def _widths(e: Experiment) -> tuple[int, ...]:
    return resources.pipeline().plan(e).widths


def _draw_speeds(e: Experiment) -> None:
    points = [
        point
        for (*made, _), point in resources.speeds().items()
        if made == [e.model, e.benchmark, e.method.repair]
    ]
    if not points:
        st.caption(
            "Nothing is timed yet. How fast a pruned model is depends on how many "
            "neurons its layers keep, not on which: one timing serves every criterion "
            "with the same repair."
        )
        return
    widths, removed = _widths(e), e.pruning.sparsity
    found = shape_timing.nearest(points, removed, widths)
    panels.chart(
        charts.tradeoff(
            speed_tables.chart_table(points),
            metric="times as fast as dense",
            dark=panels.is_dark(),
        ),
        readings.of_speeds(found, removed, widths),
        lambda: speed_tables.as_table(points),
        key="speeds_chart",
    )
    st.caption(plain(readings.of_clock(found.pruned)))


def _draw(e: Experiment, seen: JobView | None) -> None:
    if seen is not None and isinstance(seen.partial, Probe):
        st.markdown(_so_far(seen.partial))
    points = curve.measured_points(e, resources.pipeline())
    if not points:
        st.caption(
            "Nothing is measured yet of this model, allocation, rounding and repair. "
            f"A measurement reads {e.evaluation.eval_tokens:,} held-out tokens with "
            "the dense model, once, and with the pruned one."
        )
        return
    panels.chart(
        charts.tradeoff(
            curve_tables.chart_table(points, "perplexity"),
            metric="perplexity",
            dark=panels.is_dark(),
        ),
        curves.of_curve(points, e.pruning.sparsity, "perplexity", e.method.criterion),
        lambda: curve_tables.as_table(points),
        key="measured_chart",
    )
    st.caption(plain(curves.of_points(points)))


def _so_far(found: Probe) -> str:
    n = len(found.pruned.nll)
    if n < 2:
        return "After the first window there is no interval yet."
    dense = found.dense.first(n)
    ratio = perplexity_ratio(dense, found.pruned)
    kept = top1_retention(dense, found.pruned)
    return (
        f"After {n} of {counted(len(found.dense.nll), 'window')}: perplexity "
        f"**{times_spread(ratio)}** of dense, {share_spread(kept)} of its right first "
        "guesses kept (95 % intervals, paired by window)."
    )
