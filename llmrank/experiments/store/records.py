"""What the database hands out: runs and arenas, frozen, without what they measured."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from llmrank.core.specs import described
from llmrank.core.statistics import Estimate
from llmrank.evaluation.comparison import MEASURES, Comparison, Measure
from llmrank.experiments.experiment import Experiment
from llmrank.models.language_model import ModelSpec

RunState = Literal["queued", "running", "done", "failed", "cancelled"]

LATER = ("bos", "control_tokens")
"""Settings of a model that recipes have not always had."""


@dataclass(frozen=True)
class RunSpec:
    """What is asked of a run: a recipe, `Experiment.to_json()`, and what to measure."""

    recipe: dict[str, Any] = field(hash=False, repr=False)
    seed: int
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class Origin:
    """What decides a run's numbers beside its recipe: texts, versions, the machine."""

    calibration_sha256: str
    evaluation_sha256: str
    environment: dict[str, str] = field(hash=False)


@dataclass(frozen=True)
class Run:
    """One recipe as the database knows it.

    Its `origin` is known from its start. `experiment` needs that this version still has
    all that the recipe names. What was measured in full is `Store.comparison(id)`.
    """

    id: str
    state: RunState
    reason: str
    spec: RunSpec
    origin: Origin | None = field(repr=False)
    created: str
    started: str | None = None
    finished: str | None = None
    arenas: tuple[str, ...] = ()
    n_params: int | None = None
    perplexity: float | None = None
    ratio: Estimate | None = None

    @property
    def experiment(self) -> Experiment:
        """The recipe as the experiment it describes.

        Raises:
            OptionError: this version has not all that the recipe names.
        """
        return Experiment.from_json(self.spec.recipe)


@dataclass(frozen=True)
class Arena:
    """One grid that was asked for, and how far it is."""

    id: str
    description: dict[str, Any] = field(hash=False, repr=False)
    created: str
    finished: str | None
    n_runs: int
    n_done: int
    n_failed: int


def fingerprint(recipe: dict[str, Any], origin: Origin) -> str:
    """Return what is equal where a run would measure the same again.

    The time of measuring is not part of it; what is measured is not either, nor how
    tokens are read by default: what that comes to stands in the environment, so that
    results are found that were written before it could be chosen.
    """
    usual = described(ModelSpec())
    model = recipe["model"]
    other = {k: v for k, v in model.items() if k not in LATER or v != usual[k]}
    recipe = recipe | {"model": other}
    where = {k: v for k, v in origin.environment.items() if k != "measured_at"}
    texts = [origin.calibration_sha256, origin.evaluation_sha256]
    parts = json.dumps([recipe, texts, where], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def measured(comparison: Comparison) -> tuple[Measure, ...]:
    """Return what a comparison has measured of both models."""
    sides = (comparison.dense, comparison.pruned)
    there = {
        "text": all(s.text is not None for s in sides),
        "tasks": all(s.tasks for s in sides),
        "latency": comparison.speedup is not None,
        "memory": all(s.memory is not None for s in sides),
    }
    return tuple(m for m in MEASURES if there[m])
