"""Perplexity over sparsity, by criterion: chosen, measured point by point, drawn."""

from collections.abc import Iterable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from llmrank.core.formatting import share
from llmrank.core.jobs import Job, JobView
from llmrank.core.specs import Option
from llmrank.experiments import curve
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import check_room
from llmrank.methods.criteria import Criterion
from llmrank.methods.method import label
from llmrank.report import charts
from llmrank.report.sentences import curves
from llmrank.report.tables import curve as curve_tables
from pages.shared.app import (
    escape,
    jobs,
    panels,
    resources,
    view_options,
)

PERCENT = (5, 10, 20, 30, 40, 50, 60, 70, 80)
USUAL_PERCENT = (10, 20, 30, 50)
METRIC = Option(
    "metric",
    str,
    "perplexity",
    "Of perplexity less is better, of top-1 accuracy more",
    choices=("perplexity", "top1"),
)
EMPTY = 200
"""Pixels of the place where nothing is drawn yet."""

TITLES = {"perplexity": "perplexity", "top1": "top-1 accuracy"}


def show(experiment: Experiment) -> None:
    """Measure and draw perplexity over sparsity for several criteria."""
    rest = curves.beside_criterion(experiment.method)
    alike = f", all with {escape.plain(rest)}" if rest else ""
    st.markdown(f"##### Perplexity over sparsity, by criterion{alike}")
    left, middle, right = st.columns([0.45, 0.3, 0.25])
    with left:
        criteria = _choose_criteria(experiment)
    with middle:
        sparsities = _choose_sparsities(experiment)
    with right:
        metric = view_options.choose("compare", METRIC, "Measure", titles=TITLES)
    known = curve.known_points(experiment, criteria, sparsities, resources.pipeline())
    missing = len(criteria) * len(sparsities) - len(known)
    busy = jobs.active("curve")
    with _place(is_empty=not known and not busy):
        asked = st.button("Draw the curve", disabled=busy or not missing, key="curve")
        st.caption(_cost(experiment, missing, len(known)), width="content")
    if asked:
        _start(experiment, criteria, sparsities)
        st.rerun()  # the picture takes the button's place
    jobs.here("curve")

    def draw(_: JobView | None = None) -> None:
        points = curve.known_points(
            experiment, criteria, sparsities, resources.pipeline()
        )
        _show_points(experiment, points, metric)

    if not jobs.live("curve", draw):
        draw()


def _place(*, is_empty: bool) -> DeltaGenerator:
    """Return where the button stands: above the picture, or where it will be."""
    if not is_empty:
        return st.container(horizontal=True, vertical_alignment="center")
    return st.container(
        border=True, height=EMPTY, horizontal_alignment="center",
        vertical_alignment="center",
    )  # fmt: skip


def _cost(experiment: Experiment, n_missing: int, n_known: int) -> str:
    pipeline = resources.pipeline()
    return curves.cost_sentence(
        n_missing,
        n_known,
        curve.estimated_s(experiment, n_missing, pipeline),
        is_ours=pipeline.tokens_per_s(experiment.model) is None,
    )


def _choose_criteria(experiment: Experiment) -> tuple[Criterion, ...]:
    """Ask which criteria are drawn beside the one in hand."""
    known = {label(c): c for c in curve.rivals(experiment.method.criterion)}
    usual = [label(c) for c in curve.usual_rivals(experiment.method.criterion)]
    name = label(experiment.method.criterion)
    against = _choose("against", f"Compare {name} with", known, usual)
    return experiment.method.criterion, *(known[n] for n in against)


def _choose_sparsities(experiment: Experiment) -> tuple[float, ...]:
    """Ask at which sparsities; the one in hand is among them."""
    known = {
        f"{p} %": p / 100 for p in PERCENT if p / 100 != experiment.pruning.sparsity
    }
    usual = [name for name in known if int(name[:-2]) in USUAL_PERCENT]
    in_hand = share(experiment.pruning.sparsity)
    chosen = _choose("at", f"At {in_hand} removed and", known, usual)
    own = {experiment.pruning.sparsity} - {0.0}
    return tuple(sorted({*own, *(known[n] for n in chosen)}))


def _choose(
    name: str, words: str, known: Iterable[str], usual: Iterable[str]
) -> list[str]:
    several = view_options.Several(name, words, tuple(known), tuple(usual))
    return view_options.choose_several("compare", several, _named)


def _named(name: str) -> str:
    """Tell whose setting it is."""
    paper = name == label(curve.PAPER)
    return f"{name} (the paper's)" if paper else name


def _start(
    experiment: Experiment, criteria: Sequence[Criterion], sparsities: Sequence[float]
) -> None:
    """Measure what is missing, in the worker."""
    pipeline = resources.pipeline()

    def work(job: Job) -> int:
        check_room(experiment, pipeline)
        points = curve.curve(
            experiment, criteria, sparsities, pipeline=pipeline, progress=job.progress
        )
        return len(points)

    title = f"The curve of {len(criteria)} criteria"
    key = (experiment, criteria, sparsities)
    jobs.start("curve", title, work, experiment, key=key)


def _show_points(
    experiment: Experiment, points: Sequence[curve.Point], metric: curve.Metric
) -> None:
    """Draw the points there are, who is ahead, and where they come from."""
    if not points:
        return
    panels.chart(
        charts.tradeoff(
            curve_tables.chart_table(points, metric),
            metric=TITLES[metric],
            dark=panels.is_dark(),
        ),
        curves.curve_sentence(
            points, experiment.pruning.sparsity, metric, experiment.method
        ),
        lambda: curve_tables.curve_table(points),
        key="curve_chart",
    )
    st.caption(escape.plain(curves.points_sentence(points)))
