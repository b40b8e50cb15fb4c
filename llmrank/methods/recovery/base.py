"""What a recovery is: the pruned model is trained to do again what dense does."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from llmrank.core.progress import Progress, silent
from llmrank.core.registry import Registry
from llmrank.models.language_model import LanguageModel

Loss = Literal["kl", "cross-entropy"]
"""The divergence from what dense predicts, or the surprise at what came."""


@runtime_checkable
class Checkpoint(Protocol):
    """Where a training is kept, to go on with after its process has died."""

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Return what was kept last: plain values and tensors; None for nothing."""

    def write(self, plain: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Keep it, whole or not at all."""

    def beside(self, name: str) -> "Checkpoint":
        """Return the place of a second training that belongs to this one."""


@dataclass(frozen=True, eq=False)
class RecoveryInputs:
    """What a recovery starts from.

    `windows` are trained on, again once all were read; `held_out` are never trained on:
    they choose the state that is kept, each text counting as much as another.
    """

    dense: LanguageModel
    windows: Int[Tensor, "n_windows seq_len"]
    held_out: dict[str, Int[Tensor, "n_held_out seq_len"]]
    kept: Checkpoint | None = None


@dataclass(frozen=True)
class Reading:
    """What the two models say of one text, in nats per token."""

    divergence: float
    """KL(dense ‖ pruned) of the next token."""
    dense_nll: float
    pruned_nll: float

    @property
    def ratio(self) -> float:
        """Perplexity, pruned over dense."""
        return math.exp(self.pruned_nll - self.dense_nll)

    def lost(self, loss: Loss) -> float:
        """Return what a training makes small."""
        return self.divergence if loss == "kl" else self.pruned_nll


@dataclass(frozen=True)
class Moment:
    """How far a training is.

    `batch` is the last batch, before it was trained on, None at the start; `held_out`
    the texts that choose the state, empty where they were not read then.
    """

    n_tokens: int
    elapsed_s: float
    batch: Reading | None
    held_out: dict[str, Reading]

    @property
    def divergence(self) -> float:
        """The mean over the held-out texts; infinite where there is no such number."""
        return self.lost("kl")

    def lost(self, loss: Loss) -> float:
        """Return the mean of what is made small; infinite where there is none."""
        read = [reading.lost(loss) for reading in self.held_out.values()]
        mean = sum(read) / len(read) if read else math.inf
        return mean if math.isfinite(mean) else math.inf


@dataclass(frozen=True, eq=False)
class Recovered:
    """The best state of a training, and how it came about."""

    model: LanguageModel
    curve: tuple[Moment, ...] = ()
    ended: str = ""
    """Why it ended, if not because the budget was spent."""
    is_kept: bool = False
    """Whether it was trained before, and only read again."""
    loss: Loss = "kl"
    control: LanguageModel | None = None
    """Dense, trained likewise, where the loss teaches it something as well."""

    @property
    def best(self) -> Moment:
        """The moment whose state was kept."""
        return min(self.curve, key=lambda moment: moment.lost(self.loss))


class Recovery(ABC):
    """A training of the weights that stay, within a budget."""

    name: ClassVar[str]
    trains: ClassVar[bool] = True
    """Whether anything is trained at all."""

    @property
    def recovery_text(self) -> str | None:
        """The text that is trained on, if any."""
        return None

    @property
    def has_control(self) -> bool:
        """Whether dense is trained likewise, which takes as long again."""
        return False

    @property
    def each(self) -> "tuple[Recovery, ...]":
        """The recoveries after each of several cuts; most cut once."""
        return (self,)

    def expected_s(self, token_s: float) -> float:
        """Estimate how long it takes where a token is read in so many seconds."""
        return 0.0 * token_s

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
