"""The experiment bar: what every picture on the page is a picture of."""

import streamlit as st

from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import number, share, times
from llmrank.core.specs import described, options
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

LETTERS = {"theta": "θ", "gamma": "γ"}
IN_WORDS = {"graph": "{} graph", "site": "site {}", "variant": "{} variant"}


def draw(e: Experiment) -> None:
    """Draw two lines: the experiment, and what has been measured of it."""
    with st.container(border=True):
        st.markdown(" &emsp; ".join([_model(e), _method(e)]))
        st.caption(_measured(e))


def _model(e: Experiment) -> str:
    name = DEMO_NAME if e.model.name == "demo" else plain(e.model.name, limit=60)
    widths = _widths(e)
    return f"**{name}**" if widths is None else f"**{name}** · {_size(widths)}"


def _size(widths: tuple[int, ...]) -> str:
    layers = f"{len(widths)} layer{'s' * (len(widths) > 1)}"
    if len(set(widths)) == 1:
        return f"{layers} × {widths[0]:,} neurons"
    return f"{layers} of {min(widths):,} to {max(widths):,} neurons"


def _method(e: Experiment) -> str:
    removed = f"**{share(e.pruning.sparsity)} removed**"
    if e.method.allocation.sets_sparsity:
        removed = "**widths of its own**"
    criterion, *others = map(_named, e.method.told)
    return " &emsp; ".join([criterion, removed, *others])


def _named(of: Criterion | Allocation | Repair) -> str:
    """Name it with its numbers; of its choices only those that are not the usual."""
    usual = {o.name: o.default for o in options(type(of))}
    values = described(of)
    numbers = [_number(n, v) for n, v in values.items() if not isinstance(v, str)]
    chosen = [
        IN_WORDS.get(name, name + " {}").format(plain(value, limit=60))
        for name, value in values.items()
        if isinstance(value, str) and value != usual[name]
    ]
    return ", ".join([" ".join([of.name, *numbers]), *chosen])


def _number(name: str, value: float | int) -> str:
    shown = f"{value:.2f}" if isinstance(value, float) else f"{value:,}"
    return f"{LETTERS.get(name, name)} {shown}"


def _measured(e: Experiment) -> str:
    report = resources.reports().peek(e)
    if report is None or report.comparison.pruned.text is None:
        running = "; a measurement is running" if jobs.active("measure") else ""
        return _kept(e) + running
    found = report.comparison
    dense = number(found.dense.text.perplexity.value)
    said = [f"perplexity {dense} → {spread(found.pruned.text.perplexity)}"]
    if found.speedup is not None:
        said.append(f"prefill {times(found.speedup.prefill.measured)} as fast")
        said.append(f"decode {times(found.speedup.decode.measured)} as fast")
    if not found.pruned.tasks:
        said.append("not measured: tasks")
    return " · ".join(said)


def _kept(e: Experiment) -> str:
    """Say what Runs holds of these settings: from a terminal, or before a restart."""
    unknown, store = "not measured yet with these settings", resources.glance()
    if store is None:
        return unknown
    try:
        kept = store.runs(recipe=e.to_json(), states=("done",), limit=1)
    except LLMRankError:
        return unknown  # Runs says what is wrong with its file
    if not kept or kept[0].perplexity is None:
        return unknown
    (found,) = kept
    ratio = "" if found.ratio is None else f", {times_spread(found.ratio)} of dense"
    return (
        f"measured before, {time(found.finished)} UTC: perplexity "
        f"{number(found.perplexity)}{ratio}; it opens under Runs"
    )


def _widths(e: Experiment) -> tuple[int, ...] | None:
    """Tell the widths of what is on this machine; a link never fetches anything."""
    try:
        access.check(e)
        if not is_here(e.model.name):
            return None
        if resources.pipeline().model.peek(e) is not None:
            return ffn.widths(resources.pipeline().model(e).model)
        known = resources.shapes().peek(e.model)
        if known is not None:
            return known.widths
        if is_file(e.model.name):
            return None  # the head of a .gguf takes seconds to read
        if not BUILDING.acquire(blocking=False):
            return None  # a model is being read; the page does not wait for its end
        try:
            return resources.shapes().get(e.model, lambda: shape(e.model)).widths
        finally:
            BUILDING.release()
    except LLMRankError as error:
        st.error(plain(str(error)))
        return None
