"""The whole job as one description, and what running it reports."""

import dataclasses
import datetime
import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from llmrank.benchmark import device_name
from llmrank.calibration import CalibrationSpec
from llmrank.comparison import Comparison, Measures, TaskSpec, compare
from llmrank.criteria import Criterion, LLMRank, criterion, recipe
from llmrank.decoding import BenchmarkSpec
from llmrank.errors import OptionError
from llmrank.evaluation import EvaluationSpec
from llmrank.models import LanguageModel, ModelSpec
from llmrank.options import described
from llmrank.progress import Progress, silent
from llmrank.pruning import PruningSpec
from llmrank.stages import Stages


@dataclass(frozen=True)
class Experiment:
    """This model, scored and pruned like this, measured like this."""

    model: ModelSpec = ModelSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    criterion: Criterion = LLMRank()
    pruning: PruningSpec = PruningSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    tasks: TaskSpec = TaskSpec()
    benchmark: BenchmarkSpec = BenchmarkSpec()

    @property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(self.evaluation, self.tasks, self.benchmark)

    @property
    def stage_specs(self) -> tuple[ModelSpec, CalibrationSpec, Criterion, PruningSpec]:
        """The specs that decide the pruned model."""
        return self.model, self.calibration, self.criterion, self.pruning

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as plain values."""
        names = [f.name for f in dataclasses.fields(self)]
        plain = {name: described(getattr(self, name)) for name in names}
        return plain | {"criterion": recipe(self.criterion)}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Experiment":
        """Rebuild an experiment from `to_json`'s values.

        Raises:
            OptionError: a value outside its limits, an unknown name or field.
        """
        kinds = {f.name: f.type for f in dataclasses.fields(Experiment)}
        parts: dict[str, Any] = {}
        for name, values in plain.items():
            if name not in kinds:
                raise OptionError(f"an experiment has no {name!r}; it has: {kinds}")
            build = criterion if name == "criterion" else kinds[name]
            try:
                parts[name] = build(**values)  # type: ignore[operator]
            except TypeError as error:
                raise OptionError(f"{name}: {error}") from error
        return Experiment(**parts)


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
    stages: Stages | None = None,
    progress: Progress = silent,
    publish: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Do the whole job: load, calibrate, score, plan, prune, compare.

    Raises:
        LLMRankError: whatever a stage refuses; names are checked before any work.
    """
    known = stages or Stages()
    _ = experiment.tasks.names
    dense = known.model(experiment.model, progress=progress)
    stats = known.stats(experiment.model, experiment.calibration, progress=progress)
    pruned = known.pruned(*experiment.stage_specs, progress=progress)
    where = environment(dense)

    def report(comparison: Comparison) -> Report:
        return Report(experiment, where, stats.text_sha256, comparison)

    text = known.dense_text(experiment.model, experiment.evaluation, progress=progress)
    comparison = compare(
        dense, pruned, experiment.measures, dense_text=text, progress=progress,
        publish=lambda c: publish(report(c)),
    )  # fmt: skip
    return report(comparison)


def environment(lm: LanguageModel) -> dict[str, str]:
    """Return where and with what numbers are measured."""
    packages = ("torch", "transformers")
    now = datetime.datetime.now(datetime.UTC)
    return {
        "measured_at": now.isoformat("T", "seconds"),
        "device": device_name(lm.device),
        "dtype": lm.spec.dtype,
        "n_threads": str(torch.get_num_threads()),
        "machine": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }
