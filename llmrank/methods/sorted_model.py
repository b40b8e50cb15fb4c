"""Neurons sorted by score once: every sparsity is then a prefix, and costs no copy."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from llmrank.core.progress import Progress, silent
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, descending
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@dataclass(frozen=True, eq=False)
class SortedModel:
    """A dense model whose neurons stand by score, the highest first.

    It computes what the dense model computes, and holds one copy of its FFN weights;
    all the rest is shared.
    """

    lm: LanguageModel
    places: tuple[Int[Tensor, " _"], ...]
    """Of each layer, where neuron j of the dense model now stands."""

    @property
    def dense_widths(self) -> tuple[int, ...]:
        """Neurons per layer."""
        return tuple(len(p) for p in self.places)


def sort_neurons(
    lm: LanguageModel, scores: Scores, *, progress: Progress = silent
) -> SortedModel:
    """Sort the neurons of every layer by score; of equals the lower index first.

    Raises:
        ValueError: the scores are of a model with other widths.
    """
    if ffn.widths(lm.model) != tuple(len(s) for s in scores.layers):
        raise ValueError("the scores are of a model with other FFN widths")
    orders = tuple(descending(s).cpu() for s in scores.layers)
    model = ffn.reordered(lm.model, orders, progress=progress)
    places = tuple(torch.argsort(order) for order in orders)
    return SortedModel(dataclasses.replace(lm, model=model), places)


def prefix(ordered: SortedModel, plan: PruningPlan) -> LanguageModel:
    """Return the smaller model of a plan as views of the sorted one's weights.

    It computes what `pruning.prune`'s model computes, but for the order in which
    neurons are summed, and as little. It is a model of its own, and keeps the sorted
    weights in memory while it lives. For evaluation: timings and exports take a cut
    model, whose weights lie in memory as its family's do and hold nothing else.

    Raises:
        ValueError: the plan is of a model with other widths, or does not keep each
            layer's highest scores.
    """
    if ordered.dense_widths != plan.dense_widths:
        raise ValueError("the plan was made for a model with other FFN widths")
    if not all(map(_is_prefix, ordered.places, plan.keep)):
        raise ValueError(
            "a prefix keeps the highest scores of each layer; "
            "this plan was made from other scores"
        )
    shorter = ffn.prefix(ordered.lm.model, plan.widths)
    return dataclasses.replace(ordered.lm, model=shorter)


def _is_prefix(places: Tensor, keep: Tensor) -> bool:
    """The kept are distinct: they fill the first places if none stands behind."""
    return int(places[keep.cpu()].max()) < len(keep)
