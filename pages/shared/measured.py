"""Measured on the spot: one point of accuracy, refining itself, on all the others."""

from dataclasses import dataclass

import streamlit as st

from llmrank import charts, curve
from llmrank.evaluation import TextEvaluation, perplexity_ratio, top1_retention
from llmrank.experiment import Experiment
from llmrank.jobs import Job, JobView
from llmrank.readings import curves
from llmrank.summary import spread
from pages.shared import access, cached, jobs, panels
from pages.shared.words import plain

KIND = "probe"


@dataclass(frozen=True)
class Probe:
    """What is known of one pruned model so far, beside dense on the same windows."""

    experiment: Experiment
    dense: TextEvaluation
    pruned: TextEvaluation


def show(e: Experiment, *, committed: bool) -> None:
    """Offer a measurement of this setting, and draw all that were made."""
    with st.container(horizontal=True, vertical_alignment="center"):
        follow = st.toggle(
            "Measure on release",
            key="follow",
            persist_state="session",
            help="Each time a slider is let go, the pruned model reads the held-out "
            "text; the next move stops it.",
        )
        known = e.stage_specs in cached.stages().known_pruned_texts(
            e.model, e.evaluation
        )
        asked = st.button(
            "Measure here", disabled=known or jobs.active(KIND), key="measure_here"
        )
    if asked or (follow and committed and not known):
        start(e)
    if jobs.active(KIND):
        jobs.live(KIND, lambda seen: _draw(e, seen))
    else:
        _draw(e, None)


def start(e: Experiment) -> None:
    """Measure this setting instead of the one before."""
    access.check(e)
    before = jobs.view(KIND)
    if before is not None and not before.finished:
        cached.worker().cancel(before.id, jobs.owner())
    stages = cached.stages()

    def work(job: Job) -> Probe:
        dense = stages.dense_text(e.model, e.evaluation, progress=job.progress)
        # Sorted once for these scores; another sparsity is a view of the same copy.
        stages.prefix(*e.stage_specs, progress=job.progress)
        _, pruned = stages.pruned_text(
            e.stage_specs,
            e.evaluation,
            progress=job.progress,
            publish=lambda text: job.publish(Probe(e, dense, text)),
        )
        return Probe(e, dense, pruned)

    title = f"Measuring {e.pruning.sparsity:.0%} by {e.criterion.name} on text"
    jobs.start(KIND, title, work, key=e)


def _draw(e: Experiment, seen: JobView | None) -> None:
    if seen is not None and isinstance(seen.partial, Probe):
        st.markdown(_so_far(seen.partial))
    points = curve.measured_points(e, cached.stages())
    if not points:
        st.caption(
            "Nothing is measured yet of this model, scope and rounding. A measurement "
            f"reads {e.evaluation.eval_tokens:,} held-out tokens with the dense model, "
            "once, and with the pruned one."
        )
        return
    panels.chart(
        charts.tradeoff(
            curve.chart_table(points, "perplexity"),
            metric="perplexity",
            dark=panels.is_dark(),
        ),
        curves.of_curve(points, e.pruning.sparsity, "perplexity", e.criterion),
        lambda: curve.as_table(points),
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
        f"After {n} of {len(found.dense.nll)} windows: perplexity "
        f"**{spread(ratio, '×')}** of dense, {spread(kept)} of its right first guesses "
        "kept (95 % intervals, paired by window)."
    )
