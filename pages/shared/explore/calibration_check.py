"""Does the calibration suffice, and is there anything to be warned of?"""

import streamlit as st

from llmrank.analysis.diagnostics import DiagnosticInputs, symptoms
from llmrank.analysis.stability import Stability, nested_parts, stability
from llmrank.core.jobs import Job
from llmrank.core.whereabouts import is_file
from llmrank.experiments import curve
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import MemoryEstimate, estimate
from llmrank.models.language_model import shape
from llmrank.report.tables.stability import shown_table, stability_table
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain

KIND = "steady"


def known(experiment: Experiment) -> Stability | None:
    """Return how stable the scores are, if the text has been read in parts."""
    parts = resources.parts().peek(resources.reading(experiment))
    if parts is None and experiment.method.criterion.needs:
        return None
    model = resources.pipeline().model(experiment)
    return stability(model, experiment, parts=parts)


def show(experiment: Experiment, stability: Stability | None) -> None:
    """Show how much halves and sizes of the calibration text agree."""
    if stability is None:
        st.caption(
            "The calibration text read in two halves and in smaller parts: if they "
            "drop the same neurons, it suffices. Read once, it then answers for every "
            "setting."
        )
        if st.button("Read it in parts", disabled=jobs.active(KIND), key=KIND):
            start(experiment)
        return
    st.markdown(stability.sentence)
    table = stability_table(stability)
    if not table.empty:
        st.dataframe(shown_table(stability), hide_index=True, key="stability")
        panels.csv(lambda: table, key="stability")


def start(experiment: Experiment) -> None:
    """Read the calibration text in parts, in the worker."""
    pipeline, key = resources.pipeline(), resources.reading(experiment)

    def work(job: Job) -> None:
        model = pipeline.model(experiment, progress=job.progress)
        read = (experiment.calibration, experiment.method.criterion)
        resources.parts().put(key, nested_parts(model, *read, progress=job.progress))

    title = "Reading the calibration text in parts"
    jobs.start(KIND, title, work, experiment, key=key)


def _memory(experiment: Experiment) -> tuple[MemoryEstimate | None, int]:
    """Return what a run needs, and how much of it is in memory already."""
    if is_file(experiment.model.name):
        return None, 0  # the head of a .gguf takes seconds to read
    pipeline = resources.pipeline()
    needed = estimate(
        experiment,
        sizes=resources.shapes().get(experiment.model, lambda: shape(experiment.model)),
    )
    held = needed.dense_bytes if pipeline.model.peek(experiment) is not None else 0
    held += needed.pruned_bytes if pipeline.pruned.peek(experiment) is not None else 0
    return needed, held


def warn(experiment: Experiment, stability: Stability | None) -> None:
    """Say what makes this setting doubtful, as far as it is known."""
    pipeline = resources.pipeline()
    report = resources.reports().peek(experiment)
    needed, held = _memory(experiment)
    seen = symptoms(
        DiagnosticInputs(
            experiment.method.criterion,
            experiment.pruning.sparsity,
            scores=pipeline.scores(experiment),
            plan=pipeline.plan(experiment),
            points=curve.measured_points(experiment, pipeline),
            speedup=None if report is None else report.comparison.speedup,
            stability=stability,
            memory=needed,
            held_bytes=held,
        )
    )
    if not seen:
        return
    named = "1 warning" if len(seen) == 1 else f"{len(seen)} warnings"
    with st.expander(
        f"{named} about this setting: {plain(seen[0].sentence.split(':')[0])}",
        icon=":material/warning:",
        expanded=seen[0].level == "error",
        key="warnings",
    ):
        for symptom in seen:
            box = {"error": st.error, "warning": st.warning, "info": st.info}
            said = f"{symptom.sentence} {symptom.remedy}"
            box[symptom.level](plain(said, limit=2000))
