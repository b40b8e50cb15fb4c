"""A goal instead of a sparsity: asked, solved for, and taken."""

from dataclasses import replace

import streamlit as st

from llmrank.core.jobs import Job
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.settings import command_line
from llmrank.experiments.targets import Answer, Kind, Target, meet
from pages.shared.app import jobs, resources, session
from pages.shared.app.escape import plain

KIND = "goal"
ASKED: dict[str, tuple[Kind, str, float]] = {
    "Fits into … MB": ("size", "Megabytes of weights, at most", 400.0),
    "Decodes … × faster": ("speed", "Times as fast as dense, at least", 1.1),
    "Perplexity at most … ×": ("perplexity", "Times the dense perplexity", 1.5),
}
KEPT = "goal_value"


def show(experiment: Experiment) -> None:
    """Ask for a goal; find the sparsity that meets it; offer to take it."""
    st.markdown("##### A goal instead of a sparsity")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = st.segmented_control(
            "The pruned model", list(ASKED), default=next(iter(ASKED)), required=True,
            key="goal_kind",
        )  # fmt: skip
        kind, label, usual = ASKED[asked]
        value = st.number_input(label, 0.0, value=usual, key=f"{KEPT}_{kind}")
        busy = jobs.active(KIND)
        if st.button("Find the sparsity", disabled=busy, key="find_goal"):
            start(experiment, Target(kind, value))
    jobs.live(KIND, lambda seen: _so_far(seen.partial))
    seen = jobs.view(KIND)
    if seen is not None and seen.state == "done":
        _show(experiment, *seen.result)


def start(experiment: Experiment, target: Target) -> None:
    """Measure at a few sparsities until one meets the goal."""
    pipeline = resources.pipeline()

    def work(job: Job) -> tuple[Experiment, Answer]:
        return experiment, meet(
            experiment,
            target,
            pipeline=pipeline,
            progress=job.progress,
            publish=job.publish,
        )

    title = f"Looking for {target.kind} {target.value:g}"
    jobs.start(KIND, title, work, experiment, key=target)


def _so_far(answer: object) -> None:
    if isinstance(answer, Answer):
        st.caption(plain(f"So far: {answer.sentence}"))


def _show(experiment: Experiment, asked: Experiment, answer: Answer) -> None:
    (st.warning if answer.best is None else st.success)(plain(answer.sentence))
    removed = replace(asked.pruning, sparsity=experiment.pruning.sparsity)
    if replace(asked, pruning=removed, tasks=experiment.tasks) != experiment:
        st.caption("Found with other settings than now:")
        st.code(command_line(asked), language="bash", wrap_lines=True)
    elif (
        answer.best is not None and answer.best.sparsity != experiment.pruning.sparsity
    ):
        st.button(
            "Take this sparsity",
            type="primary",
            key="take_goal",
            on_click=session.take,
            args=("sparsity", answer.best.sparsity),
        )
