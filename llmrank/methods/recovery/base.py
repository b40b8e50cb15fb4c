"""What a recovery is: the pruned model is trained to do again what dense does."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Int
from torch import Tensor

from llmrank.core.progress import Progress, silent
from llmrank.core.registry import Registry
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class RecoveryInputs:
    """What a recovery starts from.

    `windows` are trained on, in this order, again from the first once all were read;
    `held_out` are never trained on: they choose the state that is kept.
    """

    dense: LanguageModel
    windows: Int[Tensor, "n_windows seq_len"]
    held_out: Int[Tensor, "n_held_out seq_len"]


@dataclass(frozen=True)
class Moment:
    """How far a training is: nats are per token, over what was read at that moment.

    `divergence` is that of the last batches, before they were trained on; `held_out`
    that of the windows that choose the state, None where they were not read then.
    """

    n_tokens: int
    elapsed_s: float
    divergence: float
    held_out: float | None


@dataclass(frozen=True, eq=False)
class Recovered:
    """The best state of a training, and how it came about."""

    model: LanguageModel
    curve: tuple[Moment, ...]

    @property
    def best(self) -> Moment:
        """The moment whose state was kept."""
        seen = [m for m in self.curve if m.held_out is not None]
        return min(seen, key=lambda m: m.held_out or 0.0)


class Recovery(ABC):
    """A training of the weights that stay, within a budget."""

    name: ClassVar[str]
    trains: ClassVar[bool] = True
    """Whether anything is trained at all."""

    @abstractmethod
    def recover(
        self,
        pruned: LanguageModel,
        inputs: RecoveryInputs,
        *,
        progress: Progress = silent,
        publish: Callable[[Moment], None] = lambda _: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> Recovered:
        """Train a copy of the pruned model; neither it nor dense is changed.

        Args:
            pruned: the model after cut and repair.
            inputs: the dense model and the windows.
            progress: called per step.
            publish: given each moment of the curve.
            enough: asked before each step; once it says so, the best so far is kept.

        Raises:
            LLMRankError: the budget, the text or the memory does not suffice, or the
                loss is not finite.
        """

    @property
    @abstractmethod
    def formula(self) -> str:
        """What is minimised, in LaTeX."""


RECOVERIES: Registry[type[Recovery]] = Registry(
    "recovery", "What is trained after the cut"
)
recovery = RECOVERIES.build
