"""The neuron inspector: what one neuron is, why it ranks so, what it is worth."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from llmrank.analysis import neuron
from llmrank.analysis.neuron import (
    SMALL,
    Effect,
    Firing,
    LossChange,
    Neuron,
    TokenLogit,
)
from llmrank.core.formatting import number, share
from llmrank.core.jobs import Job
from llmrank.experiments.experiment import Experiment
from llmrank.methods.criteria import CRITERIA
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain
from pages.shared.explore import canvas, selection

N_SHOWN = 8
N_CONTEXTS = 5
POSITIVE, NEGATIVE = "0, 114, 178", "213, 94, 0"
"""Blue and vermilion, told apart by colour-blind people."""


@dataclass(frozen=True)
class Found:
    """What a job has measured of one neuron so far."""

    experiment: Experiment
    firing: Firing
    effect: Effect | None = None


def choose(held: Neuron | None, widths: Sequence[int]) -> Neuron | None:
    """Let a neuron be typed; return the one that is held."""
    start = held or Neuron()
    key = f"{start.layer}_{start.index}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        last = len(widths) - 1
        layer = st.number_input(
            "Layer", 0, last, min(start.layer, last), key=f"layer_{key}", width=140
        )
        last = widths[layer] - 1
        index = st.number_input(
            "Neuron", 0, last, min(start.index, last), key=f"neuron_{key}", width=160
        )
        asked = st.button("Hold it", disabled=Neuron(layer, index) == held, key="hold")
    return Neuron(layer, index) if asked else held


def show(experiment: Experiment, place: Neuron) -> None:
    """Show all that is known of a neuron; offer to measure the rest."""
    st.subheader(f"Layer {place.layer}, neuron {place.index:,}", anchor=False)
    model = resources.pipeline().model(experiment)
    left, middle, right = st.columns(3)
    with left, panels.panel():
        show_ranks(experiment, place)
    with middle, panels.panel():
        show_edges(neuron.edges(model, place, N_SHOWN))
    with right, panels.panel():
        show_promoted(neuron.promoted(model, place, N_SHOWN))
    with panels.panel():
        show_measured(experiment, place)


def show_ranks(experiment: Experiment, place: Neuron) -> None:
    """List its rank under every criterion."""
    pipeline = resources.pipeline()
    every = [CRITERIA[n]() for n in CRITERIA if n != experiment.method.criterion.name]
    others = [
        by for by in every if pipeline.evidence.is_known(experiment.using(criterion=by))
    ]
    unread = [by.name for by in every if by not in others]
    if canvas.is_large(
        experiment
    ):  # the canvas compares with the rest when it is asked to
        others = [
            c
            for c in others
            if pipeline.scores.peek(experiment.using(criterion=c)) is not None
        ]
    shown = (experiment.method.criterion, *others)
    scores = {c.name: pipeline.scores(experiment.using(criterion=c)) for c in shown}
    ranks = neuron.ranks(place, scores, pipeline.planner.planner(experiment))
    st.markdown(f"**Its rank** among {ranks[0].n_layer:,} of its layer")
    rows = [
        {
            "criterion": r.criterion,
            "in layer": r.in_layer,
            "in model": r.in_model,
            "at this sparsity": "cut" if r.dropped else "kept",
        }
        for r in ranks
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config=dict.fromkeys(
            ("in layer", "in model"), st.column_config.NumberColumn(format="%,d")
        ),
        key="inspector-ranks",
    )
    n_cut = sum(r.dropped for r in ranks)
    st.caption(
        f"{n_cut} of {len(ranks)} criteria cut it. Rank 1 is the highest score; the "
        "others have their default parameters."
        + (f" More would have to be read for {', '.join(unread)}." if unread else "")
    )


def show_edges(wiring: neuron.Edges) -> None:
    """List its strongest edges, and where they lead in the chained graph."""
    st.markdown("**Its strongest edges**, in and out of the residual stream")
    rows = [
        {
            "edge": way,
            "residual": e.residual,
            "weight": e.weight,
            "share": 100 * e.share,
        }
        for way, edges in (("in", wiring.incoming), ("out", wiring.outgoing))
        for e in edges[: N_SHOWN // 2]
    ]
    shares = {
        "weight": st.column_config.NumberColumn(format="%.3g"),
        "share": st.column_config.NumberColumn(
            format="%.3g %%", help="Of all its absolute weights on that side"
        ),
    }
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config=shares, key="inspector-edges"
    )
    rows = [
        {
            "neighbour": way,
            "neuron": f"L{p.neuron.layer} · {p.neuron.index:,}",
            "flow": p.times_even,
        }
        for way, paths in (("before", wiring.preceding), ("after", wiring.following))
        for p in paths[: N_SHOWN // 2]
    ]
    flow = st.column_config.NumberColumn(
        "× even",
        format="%.3g",
        help="Flow: the share of the mass that reaches the other end along the "
        "weights, against an even split. Attention is no part of the graph.",
    )
    selection.choosable(
        pd.DataFrame(rows),
        [
            p.neuron
            for paths in (wiring.preceding, wiring.following)
            for p in paths[: N_SHOWN // 2]
        ],
        key="inspector-paths",
        column_config={"flow": flow},
    )


def show_promoted(promoted: neuron.Promoted) -> None:
    """List the tokens its output direction raises and lowers."""
    st.markdown("**Tokens it promotes and suppresses** (an estimate)")
    for word, tokens in (
        ("promotes", promoted.promoted),
        ("suppresses", promoted.suppressed),
    ):
        st.html(f"<p>{word}: {' '.join(_chip(t) for t in tokens)}</p>")
    st.caption(
        "Its output direction read through the final norm and the unembedding; later "
        "layers are ignored. A negative activation swaps the two."
    )


def show_measured(experiment: Experiment, place: Neuron) -> None:
    """Show where it fires and what it is worth; measure it when asked."""
    seen = jobs.view("inspect")
    effect = None if seen is None else seen.result or seen.partial
    mine = isinstance(effect, Found) and effect.firing.neuron == place
    if jobs.live("inspect", lambda view: _show_found(view.partial, experiment, place)):
        return
    if mine:
        _show_found(effect, experiment, place)
    if not mine or effect.effect is None or effect.experiment != experiment:
        st.button(
            "Read where it fires and measure what it is worth",
            type="primary",
            on_click=start,
            args=(experiment, place),
            key="inspect",
            help="One pass over the calibration text, then the held-out text with the "
            "neuron and without it.",
        )


def start(experiment: Experiment, place: Neuron) -> None:
    """Queue the two measurements of a neuron."""
    pipeline = resources.pipeline()

    def work(job: Job) -> Found:
        model = pipeline.model(experiment, progress=job.progress)
        (fires,) = neuron.firing(
            model,
            experiment.calibration,
            (place,),
            n_contexts=N_CONTEXTS,
            progress=job.progress,
        )
        job.publish(Found(experiment, fires))
        evaluation = replace(experiment.evaluation, eval_tokens=SMALL.eval_tokens)
        few = replace(experiment, evaluation=evaluation)
        known = (
            pipeline.dense_text(few, progress=job.progress),
            pipeline.pruned_text(few, progress=job.progress)[1],
        )
        plan = pipeline.plan(experiment)
        worth = neuron.effect(
            model, plan, place, evaluation, known=known, progress=job.progress
        )
        return Found(experiment, fires, worth)

    title = f"Inspecting layer {place.layer}, neuron {place.index:,}"
    key = (experiment, place)
    jobs.start("inspect", title, work, experiment, key=key, lane="light")


def _show_found(firing: Found | None, experiment: Experiment, place: Neuron) -> None:
    if firing is None or firing.firing.neuron != place:
        return
    left, right = st.columns([2, 1])
    with left:
        _show_firing(firing.firing)
    with right:
        if firing.effect is None:
            st.caption("What it is worth is measured next.")
        else:
            panels.other_settings(firing.experiment, experiment)
            _show_effect(firing.effect)


def _show_firing(firing: Firing) -> None:
    st.markdown("**Where it fires most**")
    for context in firing.contexts:
        st.html(f"<p>{''.join(_token(*pair) for pair in _scaled(context))}</p>")
    st.caption(
        f"Strongest {number(firing.contexts[0].activation)}; "
        f"mean {number(firing.mean)}; at least a tenth of the strongest on "
        f"{share(firing.active_share)} of "
        f"{firing.n_tokens:,} tokens of {plain(firing.text_source)}. Blue: positive, "
        "orange: negative, as deep as the activation is large."
        if firing.contexts
        else f"It never fires on {firing.n_tokens:,} tokens."
    )


def _show_effect(effect: Effect) -> None:
    st.markdown("**What it is worth**")
    verb = "also cut from" if effect.kept_by_plan else "kept in"
    for said, change in (
        ("it alone is cut from the dense model", effect.removed),
        (f"it alone is {verb} the pruned model", effect.switched),
    ):
        st.markdown(_worth(said, change))
    st.caption(f"It is {plain(effect.inputs)}; 95 % intervals, paired by window.")


def _worth(said: str, change: LossChange | None) -> str:
    if change is None:
        return f"When {said}, its layer would be empty."
    d = change.difference
    certain = "" if d.low > 0 or d.high < 0 else " — not told from zero"
    return (
        f"When {said}, the loss changes by **{d.value:+.2g}** "
        f"[{d.low:+.2g}, {d.high:+.2g}] nats per token{certain}."
    )


def _scaled(context: neuron.Context) -> list[tuple[str, float]]:
    most = float(context.activations.abs().max()) or 1.0
    shares = (float(a) / most for a in context.activations)
    return list(zip(context.tokens, shares, strict=True))


def _token(text: str, share: float) -> str:
    """Write a token on a ground as deep as its activation; all text is escaped."""
    colour = POSITIVE if share > 0 else NEGATIVE
    shown = html.escape(text).replace("\n", "↵")
    return f'<span style="background: rgba({colour}, {abs(share):.2f})">{shown}</span>'


def _chip(token: TokenLogit) -> str:
    shown = html.escape(token.token).replace("\n", "↵").replace(" ", "␣")
    return f"<code>{shown}</code>"
