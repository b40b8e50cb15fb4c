"""Criteria beside one another: all of an arena's at once, and two of them closely."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from llmrank.analysis.agreement import Agreement, agreement, correlations, disagreements
from llmrank.analysis.neuron import Neuron
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import share
from llmrank.core.jobs import Job
from llmrank.experiments.arena import ArenaSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import check_room
from llmrank.methods.allocation import Uniform
from llmrank.methods.criteria import Criterion, Scores
from llmrank.methods.method import label
from llmrank.methods.pruning import PruningPlan
from llmrank.report import charts, sentences
from llmrank.report.sentences import arena as arena_readings
from pages.shared.app import access, jobs, panels, resources
from pages.shared.explore import selection

KIND = "criteria"
MOST = 50
"""How many neurons are listed on which two criteria disagree."""


def show(experiment: Experiment, spec: ArenaSpec) -> None:
    """Compare the criteria of an arena on the model in hand."""
    st.subheader("Do the criteria agree?", anchor=False)
    asked = {label(m.criterion): m.criterion for m in spec.methods}
    experiment = replace(
        experiment,
        model=experiment.model if experiment.model in spec.models else spec.models[0],
    )
    access.check(experiment)
    known = _known(experiment, asked)
    missing = {name: c for name, c in asked.items() if name not in known}
    if missing and not jobs.active(KIND):
        _offer(experiment, missing)
    if len(known) > 1:
        _show_all(known)
        _show_two(experiment, {name: asked[name] for name in known}, known)


def show_overlap(
    agreement: Agreement, names: tuple[str, str], second: PruningPlan, *, key: str
) -> None:
    """Draw by layer how much of what one drops the other drops too."""
    table = sentences.agreement_table(agreement, second)
    panels.chart(
        charts.overlap_bars(
            [o.share for o in agreement.overlaps],
            names=names,
            by_chance=table["by_chance"].tolist(),
            dark=panels.is_dark(),
        ),
        sentences.overlap_sentence(agreement, names, second.sparsity),
        lambda: table,
        key=key,
    )


def _known(experiment: Experiment, asked: Mapping[str, Criterion]) -> dict[str, Scores]:
    """Return the scores at hand; nothing is read or computed for it."""
    pipeline, known = resources.pipeline(), {}
    for name, criterion in asked.items():
        # One whose second text is closed to who asks: the arena refuses it.
        with contextlib.suppress(LLMRankError):
            known[name] = pipeline.scores.peek(experiment.using(criterion=criterion))
    return {name: scores for name, scores in known.items() if scores is not None}


def _offer(experiment: Experiment, missing: Mapping[str, Criterion]) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        noun = "criterion" if len(missing) == 1 else "criteria"
        if st.button(f"Score by {len(missing)} {noun}", key=KIND):
            _start(experiment, missing)
        st.caption(
            "Reads the calibration text where it has not been read, and its gradients "
            "where a criterion needs them; then every two criteria are compared."
        )


def _start(experiment: Experiment, missing: Mapping[str, Criterion]) -> None:
    pipeline = resources.pipeline()

    def work(job: Job) -> None:
        check_room(experiment, pipeline)
        for done, (name, criterion) in enumerate(missing.items()):
            job.progress(f"Scoring by {name}", done, len(missing))
            scored = experiment.using(criterion=criterion)
            pipeline.scores(scored, progress=job.progress)

    key = (experiment.model, experiment.calibration, tuple(missing.values()))
    jobs.start(KIND, f"Scoring by {len(missing)} criteria", work, experiment, key=key)


def _show_all(known: Mapping[str, Scores]) -> None:
    table = correlations({name: s.normalised for name, s in known.items()})
    panels.chart(
        charts.correlation_map(table, dark=panels.is_dark()),
        arena_readings.correlations_sentence(table),
        lambda: table.rename_axis("criterion").reset_index(),
        key="criteria_map",
    )


@st.fragment
def _show_two(
    experiment: Experiment, asked: Mapping[str, Criterion], known: Mapping[str, Scores]
) -> None:
    """Show what two criteria drop at the sparsity in hand, and where they differ most.

    Both with the same share in each layer: criteria are compared, not allocations.
    """
    names = list(asked)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox("Criterion", names, 0, key="criteria_first")
        others = [n for n in names if n != first]
        second = st.selectbox("Against", others, 0, key="criteria_second")
        st.page_link(
            "pages/scores.py", label="Rank against rank, in Scores",
            icon=":material/arrow_forward:",
        )  # fmt: skip
    with panels.panel():
        both = [known[n].normalised for n in (first, second)]
        plans = [_plan(experiment, asked[n]) for n in (first, second)]
        agreed = agreement(*both, *plans)
        named = sentences.names(asked[first], asked[second])
        left, right = st.columns(2, gap="medium")
        with left:
            st.caption(f"{share(experiment.pruning.sparsity)} of each layer removed.")
            show_overlap(agreed, named, plans[1], key="criteria_overlap")
        with right:
            _show_apart(both, named)


def _show_apart(both: list, named: tuple[str, str]) -> None:
    """List the neurons on which two criteria disagree most; a row is held."""
    table = disagreements(both[0], both[1], MOST)
    st.markdown(sentences.disagreements_sentence(table, named))
    selection.choosable(
        table,
        [Neuron(*at) for at in table[["layer", "neuron"]].to_numpy().tolist()],
        key="apart_" + "_".join(named),
        height=250,
        column_config={
            "neuron": st.column_config.NumberColumn(format="%,d"),
            "rank_a": st.column_config.NumberColumn(
                "rank, first", help=f"By {named[0]}, from 1"
            ),
            "rank_b": st.column_config.NumberColumn(
                "second", help=f"By {named[1]}, from 1"
            ),
            "apart": st.column_config.NumberColumn(
                format="%+.2f", help="Places apart, as a share of the layer's width"
            ),
        },
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        selection.show_way()
        panels.csv(lambda: table, key="apart")


def _plan(experiment: Experiment, criterion: Criterion) -> PruningPlan:
    uniform = experiment.using(criterion=criterion, allocation=Uniform())
    return resources.pipeline().plan(uniform)
