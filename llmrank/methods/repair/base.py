"""What a repair is: the weights that stay make up for those that were cut."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from llmrank.calibration.activations import ActivationStats
from llmrank.calibration.second_moments import Moments, moments
from llmrank.core.progress import Progress, silent
from llmrank.core.registry import Registry
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan
from llmrank.models.language_model import LanguageModel

Cut = Callable[[PruningPlan, Progress], LanguageModel]
"""Cuts and repairs by a plan that was made from the scores it was prepared with."""


@dataclass(frozen=True, eq=False)
class RepairInputs:
    """What a repair starts from: the dense model, its scores, and what it has read."""

    lm: LanguageModel
    scores: Scores
    stats: ActivationStats
    windows: Int[Tensor, "n_windows seq_len"]
    known_moments: tuple[Moments, ...] | None = None
    """Where they have been read already and memory holds those of all layers."""

    def moments(self, *, progress: Progress = silent) -> Iterator[Moments]:
        """Yield each layer's second moments, reading the text if they are unknown."""
        if self.known_moments is not None:
            return iter(self.known_moments)
        return moments(self.lm, self.windows, progress=progress)


class Repair(ABC):
    """A closed-form correction of the weights that stay; nothing is trained."""

    name: ClassVar[str]
    solves: ClassVar[bool] = False
    """Whether it starts from the dense model's second moments."""
    reads: ClassVar[int] = 0
    """How often it reads the calibration text for every cut."""

    @property
    def on_trial(self) -> "Repair":
        """The repair with which widths are tried, many times over: a quick one."""
        return self

    def check(self, lm: LanguageModel) -> None:  # noqa: B027
        """Refuse a model that cannot hold the repair.

        Raises:
            LLMRankError: why, and which repair it can hold.
        """

    @abstractmethod
    def cutter(self, inputs: RepairInputs, *, progress: Progress = silent) -> Cut:
        """Prepare what serves every sparsity; return what then cuts and repairs.

        Raises:
            LLMRankError: the model cannot hold the repair, or memory does not suffice.
        """

    @property
    @abstractmethod
    def formula(self) -> str:
        """The correction in LaTeX, with the current values of the parameters in it."""


REPAIRS: Registry[type[Repair]] = Registry(
    "repair", "What is done to the weights that stay"
)
repair = REPAIRS.build
