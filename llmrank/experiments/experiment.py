"""The whole job as one description, and what running it reports."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmrank.calibration.activations import BATCH_TOKENS, CalibrationSpec
from llmrank.calibration.gradients import gradient_bytes
from llmrank.core.devices import free_bytes, pick_device
from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.progress import Progress, silent
from llmrank.core.registry import recipe
from llmrank.core.specs import described
from llmrank.data import texts
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.comparison import Comparison, Measures, beside, compare
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import WINDOW, EvaluationSpec
from llmrank.experiments.environment import environment
from llmrank.experiments.pipeline import Stages, StageSpecs
from llmrank.methods.allocation import Allocation, Uniform
from llmrank.methods.criteria import Criterion, LLMRank
from llmrank.methods.method import PARTS, Method
from llmrank.methods.pruning import PruningSpec
from llmrank.methods.repair import NoRepair, Repair
from llmrank.models.language_model import ModelShape, ModelSpec, shape


@dataclass(frozen=True)
class Experiment:
    """This model, scored and pruned like this, measured like this."""

    model: ModelSpec = ModelSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    criterion: Criterion = LLMRank()
    pruning: PruningSpec = PruningSpec()
    allocation: Allocation = Uniform()
    repair: Repair = NoRepair()
    evaluation: EvaluationSpec = EvaluationSpec()
    tasks: TaskSpec = TaskSpec()
    benchmark: BenchmarkSpec = BenchmarkSpec()

    @property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(self.evaluation, self.tasks, self.benchmark)

    @property
    def stage_specs(self) -> StageSpecs:
        """The specs that decide the pruned model."""
        return StageSpecs(
            self.model,
            self.calibration,
            self.criterion,
            self.pruning,
            self.allocation,
            self.repair,
        )

    @property
    def method(self) -> Method:
        """What it compares with others: its seeds are at their defaults."""
        return Method(self.criterion, self.allocation, self.repair).unseeded

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are read: calibration, evaluation, a criterion's second."""
        second = self.criterion.second_text
        own = (self.calibration.calibration_text, self.evaluation.eval_text)
        return own if second is None else (*own, second)

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as plain values."""
        names = [f.name for f in dataclasses.fields(self)]
        plain = {name: described(getattr(self, name)) for name in names}
        return plain | {part: recipe(getattr(self, part)) for part in PARTS}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Experiment":
        """Rebuild an experiment from `to_json`'s values.

        Raises:
            OptionError: a value outside its limits, an unknown name or field.
        """
        kinds = spec_kinds()
        parts: dict[str, Any] = {}
        for name, values in plain.items():
            if name not in kinds:
                raise OptionError(
                    f"an experiment has no {name!r}; it has: {', '.join(kinds)}"
                )
            build = PARTS[name].build if name in PARTS else kinds[name]
            try:
                parts[name] = build(**values)
            except TypeError as error:
                raise OptionError(f"{name}: {error}") from error
        return Experiment(**parts)


def spec_kinds() -> dict[str, Any]:
    """Return the class of each of an experiment's specs by field name."""
    return {f.name: f.type for f in dataclasses.fields(Experiment)}


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
    known, read = stages or Stages(), texts_state(experiment)
    check_names(experiment)
    check_room(experiment, known)
    dense = known.model(experiment.model, progress=progress)
    stats = known.stats(experiment.model, experiment.calibration, progress=progress)
    experiment.repair.check(dense)
    pruned = known.pruned(experiment.stage_specs, progress=progress)
    where = environment(dense, experiment.calibration)

    def report(comparison: Comparison) -> Report:
        return Report(experiment, where, stats.text_sha256, comparison)

    text = known.dense_text(experiment.model, experiment.evaluation, progress=progress)
    specs, evaluation = experiment.stage_specs, experiment.evaluation
    found = known.known_pruned_text(specs, evaluation)
    known_texts = (text, None if found is None else found[1])
    comparison = compare(
        dense,
        pruned,
        experiment.measures,
        known=beside(dense, pruned, known_texts),
        progress=progress,
        publish=lambda c: publish(report(c)),
    )
    side = comparison.pruned
    if side.text is not None and texts_state(experiment) == read:
        known.keep_pruned_text(specs, evaluation, (side.footprint, side.text))
    return report(comparison)


def texts_state(experiment: Experiment) -> tuple[tuple[int, int] | None, ...]:
    """Return what changes when a file that the experiment reads does."""
    return tuple(texts.state_of(source) for source in experiment.texts)


def check_names(experiment: Experiment) -> None:
    """Refuse tasks that are not registered and text files that cannot be read.

    Raises:
        LLMRankError: naming what there is, or what is wrong with the file.
    """
    _ = experiment.tasks.names
    for source in experiment.texts:
        if source != texts.EMBEDDED:
            texts.text(source, "evaluation")


def check_room(experiment: Experiment, stages: Stages) -> None:
    """Refuse a model that is not loaded yet and cannot fit.

    Raises:
        LLMRankError: with the estimate and what to change.
    """
    if not stages.has_model(experiment.model):
        estimate(experiment).check()


@dataclass(frozen=True)
class MemoryEstimate:
    """What a run will need, known before its weights are loaded."""

    name: str
    dense_bytes: int
    pruned_bytes: int
    working_bytes: int
    available_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """Dense weights, the pruned FFN's own weights and working memory."""
        return self.dense_bytes + self.pruned_bytes + self.working_bytes

    @property
    def sentence(self) -> str:
        """The estimate in one sentence."""
        has = self.available_bytes
        free = "" if has is None else f"; {has / 1e9:.1f} GB are free"
        return (
            f"{self.name} needs about {self.total_bytes / 1e9:.2f} GB of memory "
            f"(dense {self.dense_bytes / 1e9:.2f}, pruned FFN weights "
            f"{self.pruned_bytes / 1e9:.2f}, working {self.working_bytes / 1e9:.2f})"
            f"{free}"
        )

    def check(self) -> None:
        """Refuse what cannot fit.

        Raises:
            LLMRankError: with the estimate and what to change.
        """
        if self.available_bytes is not None and self.total_bytes > self.available_bytes:
            raise LLMRankError(
                f"{self.sentence}: too little; "
                "choose a smaller dtype or a smaller model"
            )


def estimate(
    experiment: Experiment, *, sizes: ModelShape | None = None
) -> MemoryEstimate:
    """Estimate the memory of a run from the model's configuration alone.

    Working memory: the logits of one evaluation window in float32, three times (model,
    cast, log-softmax), and the activations of one calibration batch; or the backward
    pass of a criterion that needs gradients, where that is more.

    Args:
        experiment: what is to run.
        sizes: the model's shape, where it is known; else it is read.

    Raises:
        LLMRankError: no such model, an unsupported type, a device that is not there.
    """
    sizes = sizes or shape(experiment.model)
    device = pick_device(experiment.model.device)
    itemsize = sizes.weight_bytes // sizes.n_params
    n_matrices = 3  # gate, up, down; an upper bound for ungated families
    ffn_weights = n_matrices * sizes.d_model * sum(sizes.widths)
    kept = 1 - experiment.pruning.sparsity
    n_read = max(BATCH_TOKENS, experiment.calibration.seq_len)
    forwards = 3 * 4 * WINDOW * sizes.d_vocab + 4 * 4 * n_read * sizes.d_ff
    return MemoryEstimate(
        name=experiment.model.name,
        dense_bytes=sizes.weight_bytes,
        pruned_bytes=int(ffn_weights * kept) * itemsize,
        working_bytes=max(forwards, _backwards_bytes(experiment, sizes, itemsize)),
        available_bytes=free_bytes(device),
    )


def _backwards_bytes(of: Experiment, sizes: ModelShape, itemsize: int) -> int:
    if "gradients" not in of.criterion.needs:
        return 0
    return gradient_bytes(
        d_model=sizes.d_model,
        widths=sizes.widths,
        d_vocab=sizes.d_vocab,
        seq_len=of.calibration.seq_len,
        itemsize=itemsize,
    )
