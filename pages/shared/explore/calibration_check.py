"""Does the calibration suffice, and is there anything to be warned of?"""

from collections.abc import Hashable

import streamlit as st

from llmrank.analysis.diagnostics import Known, symptoms
from llmrank.analysis.stability import Stability, nested_parts, stability
from llmrank.core.jobs import Job
from llmrank.core.whereabouts import is_file
from llmrank.experiments import curve
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import MemoryEstimate, estimate
from llmrank.models.language_model import shape
from llmrank.report.tables.stability import as_table, shown_table
from pages.shared.app import access, jobs, panels, resources
from pages.shared.app.escape import plain

KIND = "steady"


def known(e: Experiment) -> Stability | None:
    """Return how stable the scores are, if the text has been read in parts."""
    parts = resources.parts().peek(_key(e))
    if parts is None and e.method.criterion.needs:
        return None
    model = resources.pipeline().model(e)
    return stability(model, e, parts=parts)


def show(e: Experiment, found: Stability | None) -> None:
    """Show how much halves and sizes of the calibration text agree."""
    if found is None:
        st.caption(
            "The calibration text read in two halves and in smaller parts: if they "
            "drop the same neurons, it suffices. Read once, it then answers for every "
            "setting."
        )
        if st.button("Read it in parts", disabled=jobs.active(KIND), key=KIND):
            start(e)
        return
    st.markdown(found.sentence)
    table = as_table(found)
    if not table.empty:
        st.dataframe(shown_table(found), hide_index=True, key="stability")
        panels.csv(lambda: table, key="stability")


def start(e: Experiment) -> None:
    """Read the calibration text in parts, in the worker."""
    access.check(e)
    pipeline, memo = resources.pipeline(), resources.parts()

    def work(job: Job) -> None:
        model = pipeline.model(e, progress=job.progress)
        known = (e.calibration, e.method.criterion)
        memo.put(key, nested_parts(model, *known, progress=job.progress))

    title, key = "Reading the calibration text in parts", _key(e)
    jobs.start(KIND, title, work, key=key)


def _key(e: Experiment) -> tuple[Hashable, ...]:
    """Criteria that need the same share what is read."""
    needs, second = e.method.criterion.needs, e.method.criterion.second_text
    return e.model, e.calibration, needs, second


def _memory(e: Experiment) -> tuple[MemoryEstimate | None, int]:
    """Return what a run needs, and how much of it is in memory already."""
    if is_file(e.model.name):
        return None, 0  # the head of a .gguf takes seconds to read
    pipeline = resources.pipeline()
    needed = estimate(e, sizes=resources.shapes().get(e.model, lambda: shape(e.model)))
    held = needed.dense_bytes if pipeline.model.peek(e) is not None else 0
    held += needed.pruned_bytes if pipeline.pruned.peek(e) is not None else 0
    return needed, held


def warn(e: Experiment, found: Stability | None) -> None:
    """Say what makes this setting doubtful, as far as it is known."""
    pipeline = resources.pipeline()
    report = resources.reports().peek(e)
    needed, held = _memory(e)
    seen = symptoms(
        Known(
            e.method.criterion,
            e.pruning.sparsity,
            scores=pipeline.scores(e),
            plan=pipeline.plan(e),
            points=curve.measured_points(e, pipeline),
            speedup=None if report is None else report.comparison.speedup,
            stability=found,
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
