"""The experiment bar: what every picture on the page is a picture of."""

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import number, share, times
from llmrank.core.specs import Option, options
from llmrank.core.statistics import spread, times_spread
from llmrank.core.whereabouts import is_file, is_here
from llmrank.experiments.experiment import Experiment
from llmrank.methods.allocation import Allocation
from llmrank.methods.criteria import Criterion
from llmrank.methods.repair import Repair
from llmrank.models import ffn
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.models.hf import BUILDING
from llmrank.models.language_model import shape
from llmrank.report.tables.runs import time
from pages.shared.app import access, jobs, resources
from pages.shared.app.escape import plain

IN_WORDS = {"graph": "{} graph", "site": "site {}", "variant": "{} variant"}


def draw(experiment: Experiment) -> None:
    """Draw two lines: the experiment, and what has been measured of it."""
    with st.container(border=True):
        st.markdown(" &emsp; ".join([_model(experiment), _method(experiment)]))
        st.caption(_measured(experiment))


def _model(experiment: Experiment) -> str:
    name = (
        DEMO_NAME
        if experiment.model.name == "demo"
        else plain(experiment.model.name, limit=60)
    )
    widths = _widths(experiment)
    return f"**{name}**" if widths is None else f"**{name}** · {_size(widths)}"


def _size(widths: tuple[int, ...]) -> str:
    layers = f"{len(widths)} layer{'s' * (len(widths) > 1)}"
    if len(set(widths)) == 1:
        return f"{layers} × {widths[0]:,} neurons"
    return f"{layers} of {min(widths):,} to {max(widths):,} neurons"


def _method(experiment: Experiment) -> str:
    removed = f"**{share(experiment.pruning.sparsity)} removed**"
    if experiment.method.allocation.sets_sparsity:
        removed = "**widths of its own**"
    criterion, *others = map(_named, experiment.method.told)
    return " &emsp; ".join([criterion, removed, *others])


def _named(part: Criterion | Allocation | Repair) -> str:
    """Name it with its numbers; of its choices only those that are not the usual."""
    values = {o: getattr(part, o.name) for o in options(type(part))}
    numbers = [_number(o, v) for o, v in values.items() if not isinstance(v, str)]
    chosen = [
        IN_WORDS.get(o.name, o.name + " {}").format(plain(value, limit=60))
        for o, value in values.items()
        if isinstance(value, str) and value != o.default
    ]
    return ", ".join([" ".join([part.name, *numbers]), *chosen])


def _number(option: Option, value: float | int) -> str:
    shown = f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
    return f"{option.letter} {shown}"


def _measured(experiment: Experiment) -> str:
    report = resources.reports().peek(experiment)
    if report is None or report.comparison.pruned.text is None:
        running = "; a measurement is running" if jobs.active("measure") else ""
        return _kept(experiment) + running
    comparison = report.comparison
    dense = number(comparison.dense.text.perplexity.value)
    said = [f"perplexity {dense} → {spread(comparison.pruned.text.perplexity)}"]
    if comparison.speedup is not None:
        said.append(f"prefill {times(comparison.speedup.prefill.measured)} as fast")
        said.append(f"decode {times(comparison.speedup.decode.measured)} as fast")
    if not comparison.pruned.tasks:
        said.append("not measured: tasks")
    return " · ".join(said)


def _kept(experiment: Experiment) -> str:
    """Say what Runs holds of these settings: from a terminal, or before a restart."""
    unknown, store = "not measured yet with these settings", resources.glance()
    if store is None:
        return unknown
    try:
        kept = store.runs(recipe=experiment.to_json(), states=("done",), limit=1)
    except LLMRankError:
        return unknown  # Runs says what is wrong with its file
    if not kept or kept[0].perplexity is None:
        return unknown
    (report,) = kept
    ratio = "" if report.ratio is None else f", {times_spread(report.ratio)} of dense"
    return (
        f"measured before, {time(report.finished)} UTC: perplexity "
        f"{number(report.perplexity)}{ratio}; it opens under Runs"
    )


def _widths(experiment: Experiment) -> tuple[int, ...] | None:
    """Tell the widths of what is on this machine; a link never fetches anything."""
    try:
        access.check(experiment)
        if not is_here(experiment.model.name):
            return None
        if resources.pipeline().model.peek(experiment) is not None:
            return ffn.widths(resources.pipeline().model(experiment).model)
        known = resources.shapes().peek(experiment.model)
        if known is not None:
            return known.widths
        if is_file(experiment.model.name):
            return None  # the head of a .gguf takes seconds to read
        if not BUILDING.acquire(blocking=False):
            return None  # a model is being read; the page does not wait for its end
        try:
            return (
                resources.shapes()
                .get(experiment.model, lambda: shape(experiment.model))
                .widths
            )
        finally:
            BUILDING.release()
    except LLMRankError as error:
        st.error(plain(str(error)))
        return None
