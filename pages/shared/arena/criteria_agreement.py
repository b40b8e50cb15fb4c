"""Criteria beside one another: all of an arena's at once."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace

import streamlit as st

from llmrank.analysis.agreement import correlations
from llmrank.core.errors import LLMRankError
from llmrank.core.jobs import Job
from llmrank.experiments.arena import ArenaSpec
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import check_room
from llmrank.methods.criteria import Criterion, Scores
from llmrank.methods.method import label
from llmrank.report import charts
from llmrank.report.sentences import arena as arena_readings
from pages.shared.app import access, jobs, panels, resources

KIND = "criteria"


def show(experiment: Experiment, spec: ArenaSpec) -> None:
    """Compare the criteria of an arena on the model in hand."""
    st.markdown("##### Do the criteria agree?")
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
        if st.button(f"Rank the neurons by {len(missing)} {noun}", key=KIND):
            _start(experiment, missing)
        st.caption(
            "Scores every neuron by each criterion above and draws how alike every two "
            "order them. Reads the calibration text where that is not done yet."
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
    st.page_link(
        "pages/scores.py", label="Two of them closely, in Scores",
        icon=":material/arrow_forward:",
    )  # fmt: skip
