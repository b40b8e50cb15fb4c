"""The frontier of the model in hand: what was measured of it, here and by us."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st
import torch

from llmrank.core.formatting import counted, interval, share, times
from llmrank.core.statistics import Estimate, times_spread
from llmrank.core.whereabouts import is_here
from llmrank.data.texts import EMBEDDED
from llmrank.experiments import frontier as frontiers
from llmrank.experiments.arena import Entry
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.frontier import Choice, Frontier
from llmrank.experiments.settings import PRESETS
from llmrank.experiments.settings import experiment as built
from llmrank.experiments.store import Run
from llmrank.methods.method import Method
from llmrank.report import charts
from llmrank.report.charts.frontier import Here
from llmrank.report.sentences.recoveries import helps_sentence
from llmrank.report.tables.lowest import RATIO, lowest
from pages.shared.app import panels, resources, session
from pages.shared.app.known import in_hand, untrained, untrained_of

KEY = "frontier"


def show(experiment: Experiment, known: Frontier) -> None:
    """Draw the curves and where the settings in hand are."""
    here, best = experiment.method.unseeded, known.best(experiment.pruning.sparsity)
    more = (best.method.name if best else here.name, here.name)
    named = list(dict.fromkeys([*presets(), *more]))
    curves = {
        method.name: [(c.sparsity, c.ratio, c.run.id) for c in choices]
        for method, choices in known.curves.items()
    }
    panels.chart(
        charts.frontier_chart(
            curves,
            named=named,
            here=_here(experiment, known),
            megabytes=_megabytes(experiment, known),
            dark=panels.is_dark(),
        ),
        sentence(experiment, known),
        lambda: _table(known),
        key=KEY,
        on_select=lambda: _take(known),
    )
    if known.choices:
        st.caption(origin(experiment, known))


def sentence(experiment: Experiment, known: Frontier) -> str:
    """Say what the settings in hand cost, and who costs less at that size."""
    own = known.at(experiment.method, experiment.pruning.sparsity)
    best = known.best(experiment.pruning.sparsity)
    said = _own(experiment, known, own)
    if best is None:
        return said
    if own is None:
        nearby = "there" if best.sparsity == experiment.pruning.sparsity else "nearby"
        verdict = f"costs least of those measured {nearby}"
    elif best.method == own.method:
        return f"{said} No other measured method costs less."
    elif own.run.id in {run.id for run in lowest_of(experiment, [best, own])}:
        verdict = "cannot be told from it, window by window"
    else:
        verdict = "costs less at the same size"
    return (
        f"{said} {best.method.name} {verdict}: {times_spread(best.ratio)} at "
        f"{share(best.sparsity)}."
    )


def lowest_of(experiment: Experiment, choices: Sequence[Choice]) -> list[Run]:
    """Return what costs least and all not told from it, paired where windows are."""
    ours, own = resources.shipped_entries(experiment.model), resources.glance()
    known = {entry.run.id: entry for entry in ours}
    unread = [choice.run.id for choice in choices if choice.run.id not in known]
    read = {} if own is None or not unread else own.comparisons(unread)
    entries = [known.get(c.run.id) or Entry(c.run, read.get(c.run.id)) for c in choices]
    return [entry.run for entry in lowest([e for e in entries if RATIO in e.figures])]


def _own(experiment: Experiment, known: Frontier, own: Choice | None) -> str:
    sparsity, method = experiment.pruning.sparsity, experiment.method
    if method.allocation.sets_sparsity:
        return "**Widths of their own** stand at no sparsity of these curves."
    about, (ratio, _) = known.between(method, sparsity), measured(experiment)
    before = known.at(method.untrained, sparsity)
    if ratio is not None:
        said = f"Perplexity {times_spread(ratio)} of dense"
    elif method.recovery.trains and before is not None:
        said = (
            f"Perplexity {times_spread(before.ratio)} of dense before its recovery, "
            "which is not measured here yet"
        )
    elif own is not None:
        said = f"Perplexity {times_spread(own.ratio)} of dense, as the curves were read"
    elif about is not None:
        said = f"Perplexity about {times(about)} of dense, between measured points"
    else:
        said = "This method is not measured here yet"
    said = f"**{share(sparsity)} removed by {method.name}:** {said}."
    return said + _check(experiment) + _gain(experiment)


def _gain(experiment: Experiment) -> str:
    """Say whether a recovery measured here helps, on what was read without it too."""
    after = in_hand(experiment)
    if not experiment.method.recovery.trains or after is None:
        return ""
    without, text = untrained(experiment), after.comparison.pruned.text
    return f" {helps_sentence(without, text)}" if without and text else ""


def _check(experiment: Experiment) -> str:
    """Say whether a shorter reading here agrees with what we shipped of it."""
    ours, mine = _shipped(experiment), in_hand(experiment)
    text = None if mine is None else mine.comparison.pruned.text
    ratio = None if mine is None else mine.comparison.perplexity_ratio
    if ours is None or ours.ratio is None or text is None or ratio is None:
        return ""
    if text.n_tokens >= frontiers.n_tokens(ours):
        return ""
    said = f"Measured here on {text.n_tokens:,} tokens: {times_spread(ratio)}"
    if frontiers.agree(ratio, ours.ratio):
        return f" {said}, which agrees."
    return f" **{said}, which does not agree:** the intervals lie apart."


def origin(experiment: Experiment, known: Frontier) -> str:
    """Say on what the curves were measured, and whether the settings in hand differ."""
    theirs = known.choices[0].run.experiment
    read, text = theirs.calibration, theirs.evaluation
    said = (
        f"{counted(len(known.choices), 'pruned model')}, each on {text.eval_tokens:,} "
        f"held-out tokens{of_text(text.eval_text)}, calibrated on {read.samples} × "
        f"{read.seq_len} others; 95 % intervals, paired by window. A click on a point "
        "takes it in hand."
    )
    own = experiment.calibration
    if own != read and measured(experiment)[0] is None:
        said += (
            f" Your settings calibrate on {own.samples} × {own.seq_len}: measure them "
            "to know their own."
        )
    return said


def of_text(source: str) -> str:
    """Name the embedded text; one's own is named in the bar."""
    return " of Wikipedia passages" if source == EMBEDDED else ""


def cards(experiment: Experiment, known: Frontier) -> None:
    """Show three methods with their numbers at this sparsity, each one click away."""
    for name, (settings, why) in PRESETS.items():
        method = _preset(name)
        with st.container(border=True, key=f"card_{name}"):
            st.markdown(f"**{name}** &ensp; {method.name}")
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(_figures(experiment, known, method), width="stretch")
                is_in_hand = method == experiment.method.unseeded
                st.button(
                    "In hand" if is_in_hand else "Take it",
                    key=f"take_{name}",
                    disabled=is_in_hand,
                    on_click=session.take_method,
                    args=(settings,),
                )
            st.caption(why)


def _figures(experiment: Experiment, known: Frontier, method: Method) -> str:
    sparsity = experiment.pruning.sparsity
    own, ratio = known.at(method, sparsity), None
    if method == experiment.method.unseeded:
        ratio, _ = measured(experiment)
    ratio = own.ratio if ratio is None and own is not None else ratio
    if ratio is not None:
        return f"perplexity **{times(ratio.value)}** " + (
            f"{interval(ratio.low, ratio.high)} at {share(sparsity)}"
        )
    about = known.between(method, sparsity)
    if about is not None:
        return f"perplexity about **{times(about)}** at {share(sparsity)}"
    return "not measured yet"


def presets() -> tuple[str, str, str]:
    """Name the default, the best measured and the paper's, in colour order anywhere."""
    usual, paper, most = (_preset(name).name for name in PRESETS)
    return usual, most, paper


def _preset(name: str) -> Method:
    return built(PRESETS[name][0]).method


def _here(experiment: Experiment, known: Frontier) -> Here | None:
    """Return where the settings in hand are; widths of their own are nowhere here."""
    if experiment.method.allocation.sets_sparsity:
        return None
    sparsity, (ratio, _) = experiment.pruning.sparsity, measured(experiment)
    if ratio is not None:
        return sparsity, ratio.value, ratio
    return sparsity, known.between(experiment.method, sparsity), None


def measured(experiment: Experiment) -> tuple[Estimate | None, int | None]:
    """Return perplexity over dense and parameters of just these settings.

    What was measured here, or what we shipped where that read more of the same text.
    """
    mine, ours = in_hand(experiment), _shipped(experiment)
    if mine is None:
        alike = ours or _shipped(untrained_of(experiment))  # as large
        return ours and ours.ratio, alike and alike.n_params
    text, ratio = mine.comparison.pruned.text, mine.comparison.perplexity_ratio
    if text is not None and ours and text.n_tokens < frontiers.n_tokens(ours):
        ratio = ours.ratio
    return ratio, mine.comparison.pruned.footprint.n_params


def _shipped(experiment: Experiment) -> Run | None:
    return frontiers.kept(experiment, None, resources.shipped())


def megabytes(experiment: Experiment, n_params: int) -> float:
    """Return the size of that many weights, in MB of 10^6 bytes."""
    return n_params * getattr(torch, experiment.model.dtype).itemsize / 1e6


def _megabytes(experiment: Experiment, known: Frontier) -> Mapping[float, float] | None:
    """Return the weights' size at every sparsity that was measured, in MB."""
    if not is_here(experiment.model.name):
        return None
    dense = resources.shape_of(experiment.model)
    if dense is None:
        return None
    own = experiment.method.untrained.unseeded
    choices = sorted(known.choices, key=lambda c: c.method == own)  # its own size last
    sizes = {c.sparsity: megabytes(experiment, c.n_params) for c in choices}
    return {0.0: dense.weight_bytes / 1e6, **dict(sorted(sizes.items()))}


def _take(known: Frontier) -> None:
    """Take the method and the sparsity of the point that was clicked in hand."""
    points = st.session_state[KEY]["selection"]["points"]
    runs: dict[str, Choice] = {c.run.id: c for c in known.choices}
    for point in points:
        choice = runs.get(str(point.get("customdata", "")))
        if choice is not None:
            session.adopt_method(choice.method, choice.sparsity)


def _table(known: Frontier) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": c.method.name,
                "sparsity": c.sparsity,
                "n_params": c.n_params,
                "perplexity_ratio": c.ratio.value,
                "low": c.ratio.low,
                "high": c.ratio.high,
                "run": c.run.id,
            }
            for c in known.choices
        ]
    )
