"""What an arena is asked for: models × methods × sparsities × seeds, and measures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, no_type_check

from llmrank.core.errors import OptionError
from llmrank.core.formatting import counted
from llmrank.core.specs import described
from llmrank.evaluation.accuracy import TaskSpec
from llmrank.evaluation.comparison import MEASURES, Measure
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.experiments.experiment import Experiment, spec_kinds
from llmrank.methods.method import Method, seeded
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec

MAX_CELLS = 1_000
"""What a page still draws at once and a person reads. More are several arenas: what one
has measured is known to the others."""


SHARED_BY = (("criterion",), ("criterion", "repair"))
"""Methods with these parts in common share work: scores, and factors of a repair."""


@no_type_check  # the fields check themselves, in a sentence
@dataclass(frozen=True)
class ArenaSpec:
    """A grid of cells: each method at each sparsity and seed, on each model.

    Of `base` everything counts that the grid does not replace: precision and device of
    the models, calibration, rounding, and what is measured on which text.
    """

    models: tuple[ModelSpec, ...] = (ModelSpec(),)
    methods: tuple[Method, ...] = (Method(),)
    sparsities: tuple[float, ...] = (0.3,)
    seeds: tuple[int, ...] = (0,)
    measures: tuple[Measure, ...] = ("text", "latency")
    base: Experiment = Experiment()

    def __post_init__(self) -> None:
        """Refuse what is no grid.

        Raises:
            OptionError: an empty or doubled axis, an unknown measure, tasks to be asked
                and none named, or more cells than can be kept.
        """
        sizes = map(len, (self.models, self.methods, self.sparsities, self.seeds))
        check_size(*sizes)
        _check_axis("methods", tuple(m.unseeded for m in self.methods))
        for name in ("models", "sparsities", "seeds", "measures"):
            _check_axis(name, getattr(self, name))
        for measure in self.measures:
            if measure not in MEASURES:
                known = ", ".join(MEASURES)
                raise OptionError(
                    f"unknown measure {measure[:80]!r}; there are: {known}"
                )
        if "tasks" in self.measures and not self.base.tasks.names:
            raise OptionError(
                "tasks are to be measured and none is named; name some, or all"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain values."""
        return {
            "models": [described(m) for m in self.models],
            "methods": [m.to_json() for m in self.methods],
            "sparsities": list(self.sparsities),
            "seeds": list(self.seeds),
            "measures": list(self.measures),
            "base": self.base.to_json(),
        }

    @staticmethod
    def from_json(plain: dict[str, Any]) -> "ArenaSpec":
        """Rebuild a description from `to_json`'s values.

        Raises:
            OptionError: this version has not all that it names.
        """
        axes = ("models", "methods", "sparsities", "seeds")
        try:
            check_size(*(len(plain[name]) for name in axes))
            return ArenaSpec(
                models=tuple(ModelSpec(**m) for m in plain["models"]),
                methods=tuple(Method.from_json(m) for m in plain["methods"]),
                sparsities=tuple(plain["sparsities"]),
                seeds=tuple(plain["seeds"]),
                measures=tuple(plain["measures"]),
                base=Experiment.from_json(plain["base"]),
            )
        except (TypeError, KeyError) as error:
            raise OptionError(f"an arena of another version: {error}") from error


def check_size(n_models: int, n_methods: int, n_sparsities: int, n_seeds: int) -> None:
    """Refuse a grid that is too large, before anything of it is built.

    Raises:
        OptionError: more than `MAX_CELLS`.
    """
    n_cells = n_models * n_methods * n_sparsities * n_seeds
    if n_cells > MAX_CELLS:
        raise OptionError(
            f"{n_cells:,} cells ({counted(n_models, 'model')} × "
            f"{counted(n_methods, 'method')} × {n_sparsities:,} sparsities × "
            f"{counted(n_seeds, 'seed')}) are more than {MAX_CELLS:,}; ask for several "
            "arenas, where what one has measured is known to the others"
        )


@lru_cache(maxsize=4)
def cells(spec: ArenaSpec) -> tuple[Experiment, ...]:
    """Return an experiment per cell, in an order that shares work.

    A model is loaded, calibrated with a seed and measured as it is once; a criterion
    scores and a repair factorises once for all sparsities.
    """
    methods = _grouped(spec.methods)
    return tuple(
        cell(spec, model, method, sparsity, seed)
        for model in spec.models
        for seed in spec.seeds
        for method in methods
        for sparsity in spec.sparsities
    )


def cell(
    spec: ArenaSpec, model: ModelSpec, method: Method, sparsity: float, seed: int
) -> Experiment:
    """Return one cell's experiment; what is not measured is left at its default.

    So a cell that measures less is the same in every arena.
    """
    timed = {"latency", "memory"} & set(spec.measures)
    experiment = replace(spec.base, model=model, method=method).at(sparsity)
    cell = _seeded(experiment, seed)
    return replace(
        cell,
        tasks=cell.tasks if "tasks" in spec.measures else TaskSpec(),
        benchmark=cell.benchmark if timed else BenchmarkSpec(),
    )


def _seeded(experiment: Experiment, seed: int) -> Experiment:
    """Set every seed there is: calibration's, the items', the prompt's, a method's."""
    changed: dict[str, Any] = {"method": experiment.method.seeded(seed)}
    for name in spec_kinds():
        changed[name] = seeded(getattr(experiment, name), seed)
    return replace(experiment, **changed)


def _grouped(methods: Sequence[Method]) -> list[Method]:
    """Bring methods together that share work, groups in the order of their first."""

    def first(one: Method, parts: Sequence[str]) -> int:
        alike = (all(getattr(m, p) == getattr(one, p) for p in parts) for m in methods)
        return list(alike).index(True)

    return sorted(methods, key=lambda m: [first(m, parts) for parts in SHARED_BY])


def _check_axis(name: str, values: tuple[Any, ...]) -> None:
    if not values:
        raise OptionError(f"an arena needs {name}; name at least one")
    if len(set(values)) < len(values):
        raise OptionError(f"{name} must differ from one another; name each once")
    if name == "sparsities":
        for value in values:
            PruningSpec(sparsity=value)
