"""What all visitors share: the pipeline, the worker, finished reports."""

from collections.abc import Hashable
from typing import Any

import streamlit as st

from llmrank.analysis.stability import Parts
from llmrank.core.cache import Cache
from llmrank.core.errors import LLMRankError
from llmrank.core.job_lanes import Lane
from llmrank.core.jobs import Worker
from llmrank.core.paths import results_file
from llmrank.core.whereabouts import is_file, is_here
from llmrank.evaluation.shape_timing import SpeedPoint
from llmrank.experiments import arena, frontier
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.experiments.run import Report
from llmrank.experiments.store import Store
from llmrank.lesson.race import Race
from llmrank.models.ffn import ffns
from llmrank.models.hf import BUILDING
from llmrank.models.language_model import ModelShape, ModelSpec, shape
from llmrank.report import sentences
from pages.shared.app.lasting import lasting


@lasting
def pipeline() -> Pipeline:
    """Models, statistics, scores and plans by their specs."""
    return Pipeline()


@lasting
def worker() -> Worker:
    """The two threads that do long work: light and heavy."""
    return Worker()


@lasting
def reports() -> Cache[Report]:
    """What was measured last, by experiment; each carries its time and machine."""
    return Cache(64)


@lasting
def speeds() -> Cache[SpeedPoint]:
    """What was timed, by model, benchmark, repair and widths: the shape cut."""
    return Cache(64)


def speed_key(experiment: Experiment, widths: tuple[int, ...]) -> tuple[Any, ...]:
    """Return what a timing follows from: whose widths, and all but the widths first."""
    return experiment.only("model", "benchmark", "repair"), widths


def keep_speed(experiment: Experiment, point: SpeedPoint) -> None:
    """Remember what was timed."""
    speeds().put(speed_key(experiment, point.widths), point)


def reading(experiment: Experiment) -> tuple[Hashable, ...]:
    """Return what is read for a criterion: those that need the same share it."""
    criterion = experiment.method.criterion
    known = experiment.only("model", "calibration")
    return known, criterion.needs, criterion.second_text


def lane(experiment: Experiment) -> Lane:
    """Return whose turns a cut takes: light work, once the calibration text is read."""
    evidence = pipeline().evidence
    is_read = evidence.is_known(experiment) or evidence.is_kept(experiment)
    return "light" if is_read else "heavy"


@lasting
def shapes() -> Cache[ModelShape]:
    """What configurations say of the models on this machine."""
    return Cache(32)


@st.cache_data(show_spinner=False, max_entries=32)
def zero_share(model: ModelSpec) -> float:
    """Return the share of incoming FFN weights that are zero; the model is read."""
    return sentences.zero_share(ffns(pipeline().model(Experiment(model)).model))


@lasting
def races() -> Cache[Race]:
    """Zeros against cuts on the clock, by what was asked; each knows its machine."""
    return Cache(64)


@lasting
def parts() -> Cache[Parts]:
    """The calibration read in parts, by model, calibration and what is needed."""
    return Cache(2)


@lasting
def lab(kind: str) -> Cache[Any]:  # noqa: ARG001 the key
    """What the MLP lab has made, one memory for each kind of result."""
    return Cache(24)


@lasting
def entries() -> Cache[arena.Entry]:
    """What cells of arenas have measured, by their runs; enough for the two largest."""
    return Cache(2 * arena.MAX_CELLS)


@lasting
def store() -> Store:
    """The database of results; what it refuses at opening is not remembered."""
    return Store()


@lasting
def shipped() -> Store | None:
    """What we measured on the demo model, which comes along; it is only read."""
    return frontier.shipped()


@st.cache_resource(show_spinner=False, max_entries=2)
def shipped_entries(model: ModelSpec) -> tuple[arena.Entry, ...]:
    """What we measured of a model, which comes along; nothing of most."""
    ours = shipped()
    return () if ours is None else arena.measured(model, ours)


def shape_of(model: ModelSpec) -> ModelShape | None:
    """Return what the configuration of a model on this machine says, or None.

    Not while a model is being read: no page waits for its end.

    Raises:
        LLMRankError: it cannot be read.
    """
    known = shapes().peek(model)
    # the head of a .gguf takes seconds to read
    if known is not None or is_file(model.name) or not is_here(model.name):
        return known
    if not BUILDING.acquire(blocking=False):
        return None
    try:
        return shapes().get(model, lambda: shape(model))
    finally:
        BUILDING.release()


def glance() -> Store | None:
    """Return the database for a look in passing, or None: it is not made for that."""
    return opening() if results_file().is_file() else None


@st.cache_resource(show_spinner=False, ttl=60)
def opening() -> Store | None:
    """The database that is there; one that does not open is left alone for a minute.

    Opening one that another process has locked takes seconds, too long for every page.
    """
    try:
        return store()
    except LLMRankError:
        return None  # Runs and Arena say what is wrong with it


@lasting
def unkept() -> Cache[str | None]:
    """Why a measurement could not be kept, by experiment."""
    return Cache(64)
