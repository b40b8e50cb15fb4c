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
from pages.shared.app import jobs, panels, resources, visitors
from pages.shared.app.escape import plain

KIND = "probe"
TIMING = "timing"


@dataclass(frozen=True)
class Probe:
    """What is known of one pruned model so far, beside dense on the same windows."""

    experiment: Experiment
    dense: TextEvaluation
    pruned: TextEvaluation


def show(experiment: Experiment, *, committed: bool) -> None:
    """Offer measurements of this setting, and draw all that were made."""
    known = resources.pipeline().pruned_text.peek(experiment) is not None
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
            disabled=_timed(experiment) is not None or jobs.active(TIMING),
            key="time_here",
            help="Cuts this model and times it against the dense one, in turns",
        ):
            time_here(experiment)
    if asked or (follow and committed and not known):
        start(experiment)
    worth, speed = st.columns(2, gap="medium")
    with worth:
        if not jobs.live(KIND, lambda seen: _draw(experiment, seen)):
            _draw(experiment, None)
    with speed:
        _draw_speeds(experiment)


def start(experiment: Experiment) -> None:
    """Measure this setting instead of the one before."""
    before = jobs.view(KIND)
    if before is not None and not before.finished:
        resources.worker().cancel(before.id, visitors.owner())
    pipeline = resources.pipeline()

    def work(job: Job) -> Probe:
        dense = pipeline.dense_text(experiment, progress=job.progress)
        # Sorted once for these scores; another sparsity is a view of the same copy.
        pipeline.pruner.prefix(experiment, progress=job.progress)
        _, pruned = pipeline.pruned_text(
            experiment,
            progress=job.progress,
            publish=lambda text: job.publish(Probe(experiment, dense, text)),
        )
        return Probe(experiment, dense, pruned)

    removed, criterion = experiment.pruning.sparsity, experiment.method.criterion
    title = f"Measuring {share(removed)} by {criterion.name} on text"
    jobs.start(KIND, title, work, experiment)


def time_here(experiment: Experiment) -> None:
    """Time this setting's shape against the dense model."""
    pipeline = resources.pipeline()

    def work(job: Job) -> SpeedPoint:
        dense = pipeline.model(experiment, progress=job.progress)
        pruned = pipeline.pruned(experiment, progress=job.progress)
        point = shape_timing.time_pair(
            dense, pruned, experiment.benchmark, progress=job.progress
        )
        resources.keep_speed(experiment, point)
        return point

    title = f"Timing {share(experiment.pruning.sparsity)} against dense"
    jobs.start(TIMING, title, work, experiment)


def _timed(experiment: Experiment) -> SpeedPoint | None:
    """Return what is known of the widths that this setting leaves."""
    return resources.speeds().peek(resources.speed_key(experiment, _widths(experiment)))


def _widths(experiment: Experiment) -> tuple[int, ...]:
    return resources.pipeline().plan(experiment).widths


def _draw_speeds(experiment: Experiment) -> None:
    made, _ = resources.speed_key(experiment, ())
    points = [p for (timed, _), p in resources.speeds().items() if timed == made]
    if not points:
        st.caption(
            "Nothing is timed yet. How fast a pruned model is depends on how many "
            "neurons its layers keep, not on which: one timing serves every criterion "
            "with the same repair."
        )
        return
    widths, removed = _widths(experiment), experiment.pruning.sparsity
    nearby = shape_timing.nearest(points, removed, widths)
    panels.chart(
        charts.tradeoff(
            speed_tables.chart_table(points),
            metric="times as fast as dense",
            dark=panels.is_dark(),
        ),
        readings.speeds_sentence(nearby, removed, widths),
        lambda: speed_tables.speed_table(points),
        key="speeds_chart",
    )
    st.caption(plain(readings.clock_sentence(nearby.pruned)))


def _draw(experiment: Experiment, seen: JobView | None) -> None:
    if seen is not None and isinstance(seen.partial, Probe):
        st.markdown(_so_far(seen.partial))
    points = curve.measured_points(experiment, resources.pipeline())
    if not points:
        st.caption(
            "Nothing is measured yet of this model, allocation, rounding and repair. "
            f"A measurement reads {experiment.evaluation.eval_tokens:,} held-out "
            "tokens with the dense model, once, and with the pruned one."
        )
        return
    panels.chart(
        charts.tradeoff(
            curve_tables.chart_table(points, "perplexity"),
            metric="perplexity",
            dark=panels.is_dark(),
        ),
        curves.curve_sentence(
            points,
            experiment.pruning.sparsity,
            "perplexity",
            experiment.method,
        ),
        lambda: curve_tables.curve_table(points),
        key="measured_chart",
    )
    st.caption(plain(curves.points_sentence(points)))


def _so_far(probe: Probe) -> str:
    n = len(probe.pruned.nll)
    if n < 2:
        return "After the first window there is no interval yet."
    dense = probe.dense.first(n)
    ratio = perplexity_ratio(dense, probe.pruned)
    kept = top1_retention(dense, probe.pruned)
    return (
        f"After {n} of {counted(len(probe.dense.nll), 'window')}: perplexity "
        f"**{times_spread(ratio)}** of dense, {share_spread(kept)} of its right first "
        "guesses kept (95 % intervals, paired by window)."
    )
