"""What a repair is: the weights that stay make up for those that were cut."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

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

Keep = Callable[[str, Callable[[], Any]], Any]
"""Returns what is kept under a name, made if it is not."""


def unkept(_: str, make: Callable[[], Any]) -> Any:
    """Keep nothing."""
    return make()


@dataclass(frozen=True, eq=False)
class RepairInputs:
    """What a repair starts from: the dense model, its scores, and what it has read."""

    lm: LanguageModel
    scores: Scores
    stats: ActivationStats
    windows: Int[Tensor, "n_windows seq_len"]
    every_moment: Callable[[], tuple[Moments, ...]] | None = None
    """Returns those of all layers, read once, where memory holds them."""
    keep: Keep = unkept
    """Keeps what serves every sparsity."""

    def moments(self, *, progress: Progress = silent) -> Iterator[Moments]:
        """Yield each layer's second moments, reading the text if they are unknown."""
        if self.every_moment is not None:
            return iter(self.every_moment())
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
