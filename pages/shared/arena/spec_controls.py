"""What an arena is asked for: its controls, its forecast, and the way to begin."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import streamlit as st

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.formatting import counted, share
from llmrank.core.jobs import Job
from llmrank.data import texts
from llmrank.evaluation.comparison import MEASURES
from llmrank.experiments import arena
from llmrank.experiments.arena import ArenaSpec, Entry, Forecast
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.store import Run, Store
from llmrank.methods.method import written
from pages.shared.app import access, jobs, resources, session
from pages.shared.app.escape import plain
from pages.shared.app.view_options import Several, choose_several, put_several

KIND = "arena"
SHOWN = "arena.id"
"""The choice of an arena that was described elsewhere: from Runs, or the terminal."""

PERCENT = ("10 %", "20 %", "30 %", "40 %", "50 %")
USUAL_PERCENT = ("20 %", "30 %", "50 %")
ABOUT = {
    "text": "Perplexity and top-1 on the evaluation text",
    "tasks": "The zero-shot tasks chosen in the sidebar, under Tasks and timing",
    "latency": "Prefill and decode, dense and pruned in turns",
    "memory": "Peak memory, each shape in a process of its own",
}


AT = Several("sparsities", "FFN neurons removed", PERCENT, USUAL_PERCENT, is_open=True,
             width=360)  # fmt: skip
SEEDS = Several("seeds", "Seeds", tuple("01234"), ("0",), is_open=True, width=160)
MEASURED = Several(
    "measures", "Measures", MEASURES, ("text", "latency"),
    help="  \n".join(f"{name}: {said}" for name, said in ABOUT.items()), width=400,
)  # fmt: skip
METHODS = Several(
    "methods", "Methods", arena.offered(), arena.USUAL, is_open=True,
    help="Criterion, allocation, repair, recovery, joined by +; parameters after a "
    "colon: wanda+additive+least-squares, llm-rank:theta=0.25. Type another to add it.",
)  # fmt: skip


def asked(experiment: Experiment, store: Store) -> ArenaSpec:
    """Draw the controls and return the grid that they describe.

    Raises:
        LLMRankError: what is chosen is no grid; it says why.
    """
    named = session.views().get(SHOWN)
    if named is not None:
        return _described(named, store)
    with st.popover("Methods and measures"):
        methods = _choose_methods(experiment)
        sparsities, seeds, measures = (
            choose_several("arena", o) for o in (AT, SEEDS, MEASURED)
        )
    return arena.asked(
        experiment,
        methods,
        [_number(s.removesuffix("%"), float) / 100 for s in sparsities],
        [_number(s, int) for s in seeds],
        [m for m in MEASURES if m in measures],
    )


def forecast(spec: ArenaSpec, store: Store, runs: Mapping[int, Run]) -> None:
    """Say what it takes and offer to run it, or how far it is."""
    said = arena.forecast(spec, resources.pipeline(), store, runs)
    busy = jobs.active(KIND)
    if st.button(
        _label(said), disabled=busy or not said.n_missing,
        key="run_arena",
    ):  # fmt: skip
        start(spec, store)
    if busy:
        jobs.here(KIND)
    else:
        st.caption(f"Here: {plain(said.sentence)}{_taken(said)}", width=560)


def _label(said: Forecast) -> str:
    if 0 < said.n_missing == said.n_failed:
        return "Try the failed cells again"
    return f"Measure the {counted(said.n_missing or said.n_cells, 'cell')} here"


def _taken(said: Forecast) -> str:
    n_known = said.n_cells - said.n_missing
    if not n_known or not said.n_missing:
        return ""
    return f" {counted(n_known, 'cell')} known already."


def start(spec: ArenaSpec, store: Store) -> None:
    """Measure in the worker what is missing; every cell is kept when it is done."""
    for model in spec.models:
        access.check(replace(spec.base, model=model))
    for method in spec.methods:
        if method.criterion.second_text is not None:
            texts.check(method.criterion.second_text)
    pipeline = resources.pipeline()

    def work(job: Job) -> str:
        def publish(entries: tuple[Entry, ...]) -> None:
            job.publish((spec, entries))

        job.expect(arena.expected_steps(spec, pipeline, store))
        arena.run(
            spec, store, pipeline=pipeline, progress=job.progress, publish=publish
        )
        return "done"

    n_cells = len(arena.cells(spec))
    title = f"Arena of {counted(len(spec.methods), 'method')}, {n_cells:,} cells"
    jobs.start(KIND, title, work, key=spec)


def _described(arena_id: str, store: Store) -> ArenaSpec:
    """Show the arena that a link names instead of the controls."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Back to my own choice", on_click=session.view, args=(SHOWN, None))
        stored = store.arena(arena_id)
        spec = ArenaSpec.from_json(stored.description)
        models = ", ".join(m.name for m in spec.models)
        removed = ", ".join(share(s) for s in spec.sparsities)
        st.caption(
            plain(
                f"The arena of {stored.created[:16].replace('T', ' ')} UTC: {models}; "
                f"{counted(len(spec.methods), 'method')} at {removed}; "
                f"{counted(len(spec.seeds), 'seed')}; {', '.join(spec.measures)}."
            )
        )
    return spec


def _choose_methods(experiment: Experiment) -> list[str]:
    """Choose by name or write: criterion, allocation, repair, recovery."""
    in_hand = _in_hand(experiment)
    more = () if in_hand is None else (in_hand,)
    known = tuple(dict.fromkeys([*METHODS.known, *more]))
    methods = choose_several("arena", replace(METHODS, known=known), _called(in_hand))
    if in_hand is not None and in_hand not in methods:
        st.button(
            f"Add the method in hand: {plain(in_hand)}",
            key="add_in_hand",
            on_click=put_several,
            args=("arena", METHODS, [*methods, in_hand]),
        )
    return methods


def _in_hand(experiment: Experiment) -> str | None:
    """Write the sidebar's method in words, where words can carry it."""
    try:
        return written(experiment.method)
    except LLMRankError:
        return None


def _called(in_hand: str | None) -> Callable[[str], str]:
    def called(name: str) -> str:
        whose = {arena.PAPER: " (the paper's)", in_hand: " (in hand)"}
        return f"{name}{whose.get(name, '')}"

    return called


def _number(text: str, kind: type) -> float:
    try:
        return kind(text.strip())
    except ValueError:
        raise OptionError(
            f"{text[:40]!r} is no number; write one, as in 25 for 25 % removed"
        ) from None
