"""The experiment bar: the one experiment of every page, in one row that stays."""

import datetime
from collections.abc import Collection

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import counted, number, share, times
from llmrank.core.specs import Option, options
from llmrank.core.statistics import Estimate
from llmrank.evaluation.footprint import planned
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report
from llmrank.methods.allocation import Allocation, Uniform
from llmrank.methods.allocation.base import n_dropped
from llmrank.methods.criteria import Criterion
from llmrank.methods.recovery import Recovery, Trained
from llmrank.methods.repair import Repair
from llmrank.models import ffn
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.report import charts
from pages.shared.app import (
    access,
    experiment_settings,
    frontier,
    jobs,
    known,
    panels,
    resources,
)
from pages.shared.app.escape import plain

IN_WORDS = {"graph": "{} graph", "site": "site {}", "variant": "{} variant"}
WIDTH, HEIGHT = 96, 32
"""Of the miniature, in pixels."""


def draw(experiment: Experiment, without: Collection[str]) -> None:
    """Draw the model in small, what one may change, what is known, and what to do.

    A page names in `without` the settings that it has controls of its own for.
    """
    dense = _widths(experiment)
    if dense is not None:
        kept = kept_widths(experiment, dense)
        st.image(
            charts.layer_strips(
                dense, kept, width=WIDTH, height=HEIGHT, dark=panels.is_dark()
            ),
            width=WIDTH,
        )
    with st.popover(_model(experiment), type="tertiary", width="content"):
        experiment_settings.model_settings()
    with st.popover(_method(experiment), type="tertiary", width="content"):
        experiment_settings.method_settings(without)
    if experiment.method.allocation.sets_sparsity:
        st.markdown("widths of its own", width="content")
    elif "sparsity" in without:
        removed = f"**{share(experiment.pruning.sparsity)}** removed"
        st.markdown(removed, width="content")
    else:
        with st.container(width=150):
            experiment_settings.sparsity()
    report = known.in_hand(experiment)
    if not jobs.live("measure", lambda seen: _figures(experiment, seen.partial)):
        _figures(experiment, report)
    with st.container(
        horizontal=True, vertical_alignment="center", width="content", key="bar_end"
    ):
        with st.popover(
            "Texts", help="Texts, tasks and timing", type="tertiary", width="content"
        ):
            experiment_settings.measure_settings()
        _measure(experiment, report)


def strips(experiment: Experiment) -> None:
    """Draw the model's layers as strips: kept solid, removed hatched."""
    dense = _widths(experiment)
    if dense is None:
        return
    kept = kept_widths(experiment, dense)
    svg = charts.layer_strips(dense, kept, width=900, height=72, dark=panels.is_dark())
    st.image(svg, width="stretch")
    said = f"{len(dense)} layers of {_neurons(dense)} neurons"
    if kept is None:
        st.caption(f"{said}; what each keeps follows from scores not yet read.")
    else:
        st.caption(f"{said}; {sum(kept):,} of {sum(dense):,} stay, hatched ones go.")


def _neurons(widths: tuple[int, ...]) -> str:
    low, high = min(widths), max(widths)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def kept_widths(
    experiment: Experiment, dense: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return what each layer keeps, where that is known without reading anything."""
    pipeline, allocation = resources.pipeline(), experiment.method.allocation
    try:
        if pipeline.scores.peek(experiment) is not None and (
            pipeline.planner.has_widths(experiment)
        ):
            return pipeline.plan(experiment).widths
        if isinstance(allocation, Uniform) and experiment.pruning.multiple_of == 1:
            sparsity = experiment.pruning.sparsity
            return tuple(n - n_dropped(n, sparsity) for n in dense)
        return known.widths(experiment)
    except LLMRankError:
        return None  # the page says why where it needs them


def _model(experiment: Experiment) -> str:
    name = experiment.model.name
    return DEMO_NAME if name == "demo" else plain(name, limit=40)


def _method(experiment: Experiment) -> str:
    return " · ".join(map(_named, experiment.method.told))


def _named(part: Criterion | Allocation | Repair | Recovery) -> str:
    """Name it with its numbers that have a letter, and all that is not the usual."""
    values = {o: getattr(part, o.name) for o in options(type(part))}
    if isinstance(part, Trained):
        values.pop(next(o for o in values if o.name == part.budget.unused))
    numbers = [
        _number(o, value)
        for o, value in values.items()
        if not isinstance(value, str) and (o.symbol or o.unit or value != o.default)
    ]
    chosen = [
        IN_WORDS.get(o.name, o.name + " {}").format(plain(value, limit=60))
        for o, value in values.items()
        if isinstance(value, str) and value != o.default
    ]
    return ", ".join([" ".join([part.name, *numbers]), *chosen])


def _number(option: Option, value: float | int) -> str:
    if option.unit:
        return option.written(value)
    shown = f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
    return f"{option.letter} {shown}"


def _figures(experiment: Experiment, report: object) -> None:
    """Show perplexity over dense, the size and the speed; – where not measured.

    While they are measured they are shown as far as they are; never other settings'.
    """
    ratio, n_params = frontier.measured(experiment)
    n_params = n_params or _n_params(experiment)
    so_far, speed, size = "", "–", "–"
    if isinstance(report, Report) and report.experiment == experiment:
        comparison = report.comparison
        n_params = comparison.pruned.footprint.n_params
        if comparison.speedup is not None:
            decode = comparison.speedup.decode
            speed = "not told" if decode.disturbed else f"**{times(decode.measured)}**"
        if ratio is None:
            ratio = comparison.perplexity_ratio
            so_far = (
                ""
                if ratio is None
                else f" :small[{counted(ratio.n_windows, 'window')}]"
            )
        elif ratio != comparison.perplexity_ratio:  # ours has read more
            so_far = " :small[:gray[shipped]]"
    if n_params is not None:
        size = f"{frontier.megabytes(experiment, n_params):,.0f}"
    quality = "–" if ratio is None or ratio.n_windows < 2 else _ratio(ratio)
    with st.container(horizontal=True, vertical_alignment="center"):
        for figure in (f"ppl {quality}{so_far}", f"**{size}** MB", f"decode {speed}"):
            st.markdown(figure, width="content")


def _n_params(experiment: Experiment) -> int | None:
    """Count the parameters that stay, where the model is read; nothing is measured."""
    lm = resources.pipeline().model.peek(experiment)
    if lm is None:
        return None
    kept = kept_widths(experiment, ffn.widths(lm.model))
    return None if kept is None else planned(lm, kept).n_params


def _ratio(ratio: Estimate) -> str:
    ends = f"[{number(ratio.low)}, {number(ratio.high)}]"
    return f"**{times(ratio.value)}** :small[:gray[{ends}]]"


def _measure(experiment: Experiment, report: Report | None) -> None:
    """Offer to measure, or say how far that is, or when it was done."""
    if jobs.active("measure"):
        jobs.stop_button("measure", experiment, "measure_stop")
        return
    label, is_done = "Measure", report is not None and report.comparison.speedup
    if report is not None and is_done:
        day, _, time = report.environment["measured_at"].partition("T")
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        label = f"Measured {time[:5] if day == today else day}"
    if st.button(label, type="secondary" if is_done else "primary", key="measure_bar"):
        panels.start_measuring(experiment)


def _widths(experiment: Experiment) -> tuple[int, ...] | None:
    """Tell the widths of what is on this machine; a link never fetches anything."""
    try:
        access.check(experiment)
        if resources.pipeline().model.peek(experiment) is not None:
            return ffn.widths(resources.pipeline().model(experiment).model)
        shape = resources.shape_of(experiment.model)
        return None if shape is None else shape.widths
    except LLMRankError as error:
        st.error(plain(str(error)))
        return None
