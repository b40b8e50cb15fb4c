"""The whole job: load, calibrate, score, plan, prune, compare; and its report."""

import datetime
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import times_spread
from llmrank.data import texts, tokens
from llmrank.evaluation.comparison import Comparison, beside, compare
from llmrank.evaluation.perplexity import evaluate, perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.memory_estimate import estimate
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.recovery import Moment, Recovered
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True)
class Report:
    """An experiment and what it measured, with all that tells where it came from."""

    experiment: Experiment
    environment: dict[str, str]
    calibration_sha256: str
    comparison: Comparison

    def to_json(self) -> dict[str, Any]:
        """Return the report as the command line prints it."""
        plain = self.experiment.to_json() | {"environment": self.environment}
        plain["calibration"]["text_sha256"] = self.calibration_sha256
        text = self.comparison.dense.text
        plain["evaluation"]["text_sha256"] = None if text is None else text.text_sha256
        return plain | self.comparison.to_json()


def run(
    experiment: Experiment = Experiment(),
    *,
    pipeline: Pipeline | None = None,
    progress: Progress = silent,
    publish: Callable[[Report], None] = lambda _: None,
    train: Callable[[Moment], None] = lambda _: None,
    enough: Callable[[], bool] = lambda: False,
) -> Report:
    """Do the whole job: load, calibrate, score, plan, prune, recover, compare.

    `publish` is given the report so far, whenever it has more, and `train` each moment
    of a recovery, which ends where there is `enough`.

    Raises:
        LLMRankError: whatever a stage refuses; names are checked before any work.
    """
    known, read = pipeline or Pipeline(), texts_state(experiment)
    check_names(experiment)
    check_room(experiment, known)
    dense = known.model(experiment, progress=progress)
    stats = known.stats(experiment, progress=progress)
    experiment.method.repair.check(dense)
    if experiment.method.recovery.trains:
        known.recovered(experiment, progress=progress, publish=train, enough=enough)
    pruned = known.pruned(experiment, progress=progress)
    where = environment(dense, experiment.calibration)
    where |= recovery_facts(known.recovered.peek(experiment))

    def report(comparison: Comparison) -> Report:
        then = where | {"measured_at": _now()}
        return Report(experiment, then, stats.text_sha256, comparison)

    text = known.evaluator.known_dense(experiment)
    measured = known.pruned_text.peek(experiment)
    known_texts = (text, None if measured is None else measured[1])
    comparison = compare(
        dense,
        pruned,
        experiment.measures,
        known=beside(dense, pruned, known_texts),
        progress=progress,
        publish=lambda c: publish(report(c)),
    )
    dense_side, side = comparison.dense, comparison.pruned
    if texts_state(experiment) == read:
        if dense_side.text is not None:
            known.dense_text.put(experiment, dense_side.text)
        if side.text is not None:
            known.pruned_text.put(experiment, (side.footprint, side.text))
    where |= control_facts(experiment, known, comparison, progress)
    return report(comparison)


def texts_state(experiment: Experiment) -> tuple[tuple[int, int] | None, ...]:
    """Return what changes when a file that the experiment reads does."""
    return tuple(texts.state_of(source) for source in experiment.texts)


def check_names(experiment: Experiment) -> None:
    """Refuse tasks that are not registered and text files that cannot be read."""
    _ = experiment.tasks.names
    for source in experiment.texts:
        if source not in texts.OURS:
            texts.text(source, "evaluation")


def check_room(experiment: Experiment, pipeline: Pipeline) -> None:
    """Refuse a model that is not loaded yet and cannot fit."""
    if pipeline.model.peek(experiment) is None:
        estimate(experiment).check()


def environment(lm: LanguageModel, calibration: CalibrationSpec) -> dict[str, str]:
    """Return where and with what numbers are measured."""
    packages = ("torch", "transformers")
    return {
        "measured_at": _now(),
        "device": str(lm.device),
        "dtype": lm.spec.dtype,
        **tokens.facts(lm, calibration.seq_len),
        "n_threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def recovery_facts(recovered: Recovered | None) -> dict[str, str]:
    """Return how a recovery went, for what tells where numbers come from."""
    if recovered is None or not recovered.curve:
        return {}
    last, best = recovered.curve[-1], recovered.best
    said = (
        f"{last.n_tokens:,} tokens in {last.elapsed_s / 60:.1f} min, "
        f"the best after {best.n_tokens:,}"
    )
    before = "trained before and kept" if recovered.is_kept else ""
    return {"recovery": "; ".join(filter(None, (said, recovered.ended, before)))}


def control_facts(
    experiment: Experiment, known: Pipeline, comparison: Comparison, progress: Progress
) -> dict[str, str]:
    """Read the text with dense trained likewise, where that is a recovery's control."""
    recovered = known.recovered.peek(experiment)
    dense, pruned = comparison.dense.text, comparison.pruned.text
    if recovered is None or recovered.control is None or not (dense and pruned):
        return {}
    text = evaluate(recovered.control, experiment.evaluation, progress=progress)
    own, against = perplexity_ratio(dense, text), perplexity_ratio(text, pruned)
    return {
        "control": f"dense trained likewise is at {times_spread(own)} of dense; "
        f"against that, pruned is at {times_spread(against)}"
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat("T", "seconds")
