"""The one way to what a page draws from: read, scored and planned in the worker."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

import streamlit as st

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.formatting import duration
from llmrank.core.jobs import Job, JobView
from llmrank.core.whereabouts import is_here
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import estimate
from llmrank.methods.allocation import Search
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank
from llmrank.models import ffn
from pages.shared.app import access, jobs, resources
from pages.shared.app.escape import plain

KIND = "read"
WIDTHS = "widths"
"""The job that measures what allocations follow."""

MAX_AT_ONCE = 100_000
"""Neurons up to which a page scores by itself what has been read."""

SKELETON_HEIGHT = 480
"""Of what stands where the picture will be, in pixels."""


def has_scores(experiment: Experiment) -> bool:
    """Return whether scores are at hand; else have the model read, or offer to."""
    access.check(experiment)
    if is_ready(experiment):
        return True
    offer(experiment)
    wait(experiment, shown(experiment))
    return False


def shown(experiment: Experiment, *, compared: bool = False) -> Experiment | None:
    """Return what can be drawn now: the experiment, a first look at it, or nothing.

    The first look is scored after one window of the text, while the rest is read.
    """
    if is_ready(experiment, compared=compared):
        return experiment
    look = first_look(experiment)
    return look if is_ready(look) else None


def first_look(experiment: Experiment) -> Experiment:
    """Return the same experiment with the first window of its calibration alone."""
    return replace(experiment, calibration=replace(experiment.calibration, samples=1))


def is_ready(experiment: Experiment, *, compared: bool = False) -> bool:
    """Whether a page can draw at once; `compared`: other criteria beside it too."""
    pipeline = resources.pipeline()
    if (
        pipeline.model.peek(experiment) is None
        or not pipeline.evidence.is_known(experiment)
        or not pipeline.planner.has_widths(experiment)
    ):
        return False
    others = comparable(experiment) if compared else []
    return not is_large(experiment) or all(
        map(_is_scored, [experiment, *(experiment.using(criterion=o) for o in others)])
    )


def is_large(experiment: Experiment) -> bool:
    """Whether the scores of a model take so long that a page does not make them."""
    model = resources.pipeline().model.peek(experiment)
    return model is not None and sum(ffn.widths(model.model)) > MAX_AT_ONCE


def has_planes(criterion: Criterion) -> TypeGuard[LLMRank]:
    """Whether a criterion's scores come from planes, for every θ and γ."""
    return isinstance(criterion, LLMRank) and criterion.variant == "weighted"


def comparable(experiment: Experiment) -> Sequence[Criterion]:
    """Return the other criteria, with their defaults, that need no further reading."""
    is_known, own = resources.pipeline().evidence.is_known, experiment.method.criterion
    others = [CRITERIA[name]() for name in CRITERIA if name != own.name]
    return [by for by in others if is_known(experiment.using(criterion=by))]


def offer(experiment: Experiment, *, compared: bool = False) -> None:
    """Start what is missing, where it is short; else offer it with one button."""
    is_read = _is_read(experiment)
    if is_read and not resources.pipeline().planner.has_widths(experiment):
        _offer_widths(experiment)
    elif not jobs.active(KIND):
        begin(experiment, compared=compared)
        st.info(_about(experiment))
        label = "Score its neurons" if is_read else "Read the model"
        if st.button(label, type="primary", key="read"):
            _start(experiment, compared)


def begin(experiment: Experiment, *, compared: bool = False) -> None:
    """Start unasked what is missing, where it is short.

    What was stopped, or has failed, is not started again.
    """
    wanted = (resources.reading(experiment), experiment.method.criterion, compared)
    if (
        not jobs.active(KIND)
        and st.session_state.get("read_unasked") != wanted
        and (_is_read(experiment) or _is_short(experiment))
    ):
        st.session_state["read_unasked"] = wanted
        _start(experiment, compared)


def wait(experiment: Experiment, drawn: Experiment | None) -> None:
    """Show how far the reading is, and run the page anew when it can draw more."""

    def look(seen: JobView) -> None:
        if seen.finished or shown(experiment) != drawn:
            st.rerun()
        far = seen.done / seen.total if seen.total else 0.0
        left = f", {duration(seen.remaining_s)} left" if seen.remaining_s else ""
        said = f"{plain(seen.title)}: {plain(seen.what)} {100 * far:.0f} %{left}"
        st.progress(min(far, 1.0), text=said)
        if drawn is None:
            st.container(key="skeleton", height=SKELETON_HEIGHT, border=False)

    jobs.live(KIND, look)


def measure_widths(experiment: Experiment) -> None:
    """Measure what each layer costs; search, where the allocation does."""
    pipeline = resources.pipeline()

    def work(job: Job) -> None:
        if experiment.method.allocation.searches:
            pipeline.searched(experiment, progress=job.progress, publish=job.publish)
        else:
            pipeline.sensitivity(experiment, progress=job.progress)

    jobs.start(WIDTHS, "Measuring what each layer costs", work, experiment)


def _is_scored(experiment: Experiment) -> bool:
    pipeline, criterion = resources.pipeline(), experiment.method.criterion
    if has_planes(criterion) and pipeline.planes.peek(experiment) is None:
        return False
    from_planes = isinstance(criterion, LLMRank) and criterion.from_planes
    return from_planes or pipeline.scores.peek(experiment) is not None


def _is_read(experiment: Experiment) -> bool:
    pipeline = resources.pipeline()
    return pipeline.model.peek(experiment) is not None and (
        pipeline.evidence.is_known(experiment)
    )


def _is_short(experiment: Experiment) -> bool:
    """Whether reading takes seconds and asks nobody: the demo, no more than usual."""
    read, usual = experiment.calibration, CalibrationSpec()
    return (
        experiment.model.name == "demo"
        and read.calibration_text == usual.calibration_text
        and read.samples * read.seq_len <= usual.samples * usual.seq_len
        and experiment.method.criterion.needs <= {"activations"}
    )


def _start(experiment: Experiment, compared: bool) -> None:
    pipeline = resources.pipeline()

    def score(wanted: Experiment, job: Job) -> None:
        pipeline.evidence.collect(wanted, progress=job.progress)
        if has_planes(wanted.method.criterion):
            pipeline.planes(wanted, progress=job.progress)
        pipeline.scores(wanted, progress=job.progress)

    def work(job: Job) -> None:
        estimate(experiment).check()
        # Asked for by itself: its statistics may outlive it in memory.
        pipeline.model(experiment, progress=job.progress)
        evidence = pipeline.evidence
        if not (evidence.is_known(experiment) or evidence.is_kept(experiment)):
            score(first_look(experiment), job)
        score(experiment, job)
        for other in comparable(experiment) if compared else ():
            pipeline.scores(experiment.using(criterion=other), progress=job.progress)

    criterion = experiment.method.criterion
    key = (resources.reading(experiment), criterion, compared)
    title, lane = f"Reading {experiment.model.name}", resources.lane(experiment)
    jobs.start(KIND, title, work, experiment, key=key, lane=lane)


def _offer_widths(experiment: Experiment) -> None:
    """Offer to measure what the allocation follows."""
    if jobs.active(WIDTHS):
        st.info("What the layers cost is being measured; the widths follow from it.")
        jobs.here(WIDTHS)
        return
    allocation = experiment.method.allocation
    searches = isinstance(allocation, Search)
    tried = f", then {allocation.evaluations:,} widths are tried" if searches else ""
    st.info(
        f"Allocation {allocation.name} follows measurements: each layer alone is cut "
        f"at several widths and the model read again{tried}. It takes minutes; the job "
        "says how long, and can be stopped"
        + (", and a stopped search goes on where it was." if searches else ".")
    )
    if st.button("Measure the layers", type="primary", key="measure_widths"):
        measure_widths(experiment)


def _about(experiment: Experiment) -> str:
    name = f"**{plain(experiment.model.name, limit=60)}**"
    if not is_here(experiment.model.name):
        return f"{name} is not on this machine; reading it asks the Hugging Face hub."
    tokens = experiment.calibration.samples * experiment.calibration.seq_len
    criterion, also = experiment.method.criterion, ""
    if "gradients" in criterion.needs:
        also = f" {criterion.name} needs gradients: the text is read backwards too."
    if criterion.second_text is not None:
        also = f" {criterion.name} reads as much of a second text."
    return (
        f"{name} has not been read with these settings. Reading loads it and runs "
        f"{tokens:,} calibration tokens through it once; after that every θ, γ and "
        f"sparsity answers at once.{also} {plain(estimate(experiment).sentence)}."
    )
