"""What a criterion is, what it gives, and how it is found by name."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.activations import ActivationStats
from llmrank.calibration.gradients import Gradients
from llmrank.core.errors import LLMRankError
from llmrank.core.notebook import Shown
from llmrank.core.progress import Progress, silent, track
from llmrank.core.registry import Registry
from llmrank.methods.graph import FFNGraph, Site, graphs
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

SITE_HELP = (
    "Where activation is measured: neuron = the input of down_proj (the neuron's own "
    "signal), up = the output of up_proj (the paper's code)"
)


Need = Literal["activations", "gradients", "second text"]
"""What a criterion reads beside the weights."""


@dataclass(frozen=True)
class Scores(Shown):
    """One raw non-negative score per neuron and layer; higher is kept first."""

    layers: tuple[Float[Tensor, " _"], ...]

    @property
    def normalised(self) -> tuple[Float[Tensor, " _"], ...]:
        """The scores of each layer divided by their sum; all zeros become uniform.

        In doubles, summed from the first to the last neuron, as in the browser.
        """
        return tuple(_shares(s.double()) for s in self.layers)


class Criterion(ABC):
    """A way to score neurons; its fields are its parameters."""

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset({"activations"})
    """Empty where the scores are the same whatever the calibration text."""

    @property
    def second_text(self) -> str | None:
        """The text that is read beside the calibration text, if one is."""
        return None

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Return one non-negative vector per layer; each layer is scored by itself."""
        return tuple(map(self.layer, graphs))

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        """Return one non-negative number per neuron, where layers are apart."""
        raise NotImplementedError

    @property
    @abstractmethod
    def formula(self) -> str:
        """The score in LaTeX, with the current values of the parameters in it."""


CRITERIA: Registry[type[Criterion]] = Registry("criterion", "How neurons are scored")
criterion = CRITERIA.build


@torch.inference_mode()
def score(
    lm: LanguageModel,
    stats: ActivationStats,
    criterion: Criterion,
    *,
    gradients: Gradients | None = None,
    second: ActivationStats | None = None,
    progress: Progress = silent,
) -> Scores:
    """Score every FFN neuron of a model.

    The criterion's `needs` say what it reads beside the statistics: gradients on the
    same text, and statistics on its `second_text`.

    Raises:
        LLMRankError: weights or activations are not finite.
        ValueError: something the criterion needs is not given.
    """
    given = {"activations": stats, "gradients": gradients, "second text": second}
    for need in get_args(Need):
        if need in criterion.needs and given[need] is None:
            raise ValueError(
                f"criterion {criterion.name} needs {need}, which is not given"
            )
    drawn = graphs(ffn.ffns(lm.model), stats, gradients=gradients, second=second)
    return score_graphs(drawn, criterion, progress=progress)


@torch.inference_mode()
def score_graphs(
    drawn: Sequence[FFNGraph], criterion: Criterion, *, progress: Progress = silent
) -> Scores:
    """Score every neuron of graphs that hold what the criterion needs.

    Raises:
        LLMRankError: weights or activations are not finite.
    """
    tracked = track(drawn, f"Scoring by {criterion.name}", progress)
    layers = tuple(s.cpu().double() for s in criterion.layers(tracked))
    for layer, scores in enumerate(layers):
        if not scores.isfinite().all():
            raise LLMRankError(
                f"the scores of layer {layer} are not finite; "
                "the model's weights or its activations overflow"
            )
    return Scores(layers)


def norm_of(site: Site) -> str:
    """Write the L2 norm over tokens of what is measured at a site, in LaTeX."""
    signal = "x_j" if site == "neuron" else r"(\text{up}\,h)_j"
    return rf"\lVert {signal} \rVert_2"


def _shares(scores: Tensor) -> Tensor:
    """`sum` adds in blocks whose order a browser cannot follow; `cumsum` in turn."""
    total = scores.cumsum(0)[-1]
    return scores / total if total > 0 else torch.full_like(scores, 1 / len(scores))
