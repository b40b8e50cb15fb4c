"""The whole job as one description."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.errors import OptionError
from llmrank.core.specs import described
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.comparison import Measures
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.perplexity import EvaluationSpec
from llmrank.methods.method import PARTS, Method
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec

FIRST = ("model", "calibration", "criterion", "pruning")
"""What a recipe begins with: databases compare recipes as text."""


@dataclass(frozen=True)
class Experiment:
    """This model, scored and pruned like this, measured like this."""

    model: ModelSpec = ModelSpec()
    calibration: CalibrationSpec = CalibrationSpec()
    method: Method = Method()
    pruning: PruningSpec = PruningSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    tasks: TaskSpec = TaskSpec()
    benchmark: BenchmarkSpec = BenchmarkSpec()

    def using(self, **parts: Any) -> "Experiment":
        """Return the experiment with other parts of the method."""
        method = dataclasses.replace(self.method, **parts)
        return dataclasses.replace(self, method=method)

    def at(self, sparsity: float) -> "Experiment":
        """Return the experiment at another sparsity."""
        pruning = dataclasses.replace(self.pruning, sparsity=sparsity)
        return dataclasses.replace(self, pruning=pruning)

    def only(self, *names: str) -> "Experiment":
        """Return it with nothing but some specs and parts of its method.

        All else is at its default: of two that differ in the rest, the same is left.
        """
        parts = {name: getattr(self.method, name) for name in names if name in PARTS}
        specs = {name: getattr(self, name) for name in names if name not in PARTS}
        return Experiment(method=Method(**parts), **specs)

    @property
    def measures(self) -> Measures:
        """What is measured."""
        return Measures(self.evaluation, self.tasks, self.benchmark)

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that are read: calibration, evaluation, and those of the method."""
        more = (self.method.criterion.second_text, self.method.recovery.recovery_text)
        own = (self.calibration.calibration_text, self.evaluation.eval_text)
        return (*own, *(text for text in more if text is not None))

    def to_json(self) -> dict[str, Any]:
        """Return the experiment as plain values, each part of the method by itself."""
        specs = {name: described(getattr(self, name)) for name in spec_kinds()}
        plain = specs | self.method.to_json()
        return {name: plain[name] for name in (*FIRST, *PARTS, *specs) if name in plain}

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "Experiment":
        """Rebuild an experiment from `to_json`'s values.

        Raises:
            OptionError: a value outside its limits, an unknown name or field.
        """
        kinds = spec_kinds()
        builds = kinds | {name: PARTS[name].build for name in PARTS}
        known = {name: builds[name] for name in (*FIRST, *PARTS, *kinds)}
        made: dict[str, Any] = {}
        for name, values in plain.items():
            if name not in known:
                raise OptionError(
                    f"an experiment has no {name!r}; it has: {', '.join(known)}"
                )
            try:
                made[name] = known[name](**values)
            except TypeError as error:
                raise OptionError(f"{name}: {error}") from error
        method = Method(**{name: made.pop(name) for name in PARTS if name in made})
        return Experiment(method=method, **made)


def spec_kinds() -> dict[str, Any]:
    """Return the class of each of an experiment's specs, beside its method."""
    fields = dataclasses.fields(Experiment)
    return {f.name: f.type for f in fields if f.name != "method"}
