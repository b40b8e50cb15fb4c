"""A neuron's place under every criterion."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from llmrank.analysis.neuron.neuron import Neuron, check
from llmrank.core import statistics
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan, plan


@dataclass(frozen=True)
class Rank:
    """A neuron's place under one criterion; 1 is the highest.

    `in_layer` ranks the raw scores of its layer, `in_model` the normalised scores of
    all layers together, as the `global` allocation does. `dropped`: whether the plan
    drops it.
    """

    criterion: str
    score: float
    in_layer: int
    n_layer: int
    in_model: int
    n_model: int
    dropped: bool


def ranks(
    neuron: Neuron,
    scores_by_criterion: Mapping[str, Scores],
    planned: Callable[[Scores], PruningPlan] = plan,
) -> tuple[Rank, ...]:
    """Rank one neuron under each criterion; of equals the lower layer and index first.

    Args:
        neuron: whose ranks.
        scores_by_criterion: scores of the same model, by any labels.
        planned: what would be kept by given scores.

    Raises:
        OptionError: no such neuron.
    """
    return tuple(
        _rank(neuron, label, scores, planned(scores))
        for label, scores in scores_by_criterion.items()
    )


def _rank(neuron: Neuron, label: str, scores: Scores, plan: PruningPlan) -> Rank:
    check(neuron, [len(s) for s in scores.layers])
    own = scores.layers[neuron.layer]
    every = torch.cat(scores.normalised)
    before = sum(len(s) for s in scores.layers[: neuron.layer])
    return Rank(
        criterion=label,
        score=float(own[neuron.index]),
        in_layer=int(statistics.ranks(own)[neuron.index]),
        n_layer=len(own),
        in_model=int(statistics.ranks(every)[before + neuron.index]),
        n_model=len(every),
        dropped=neuron.index not in plan.keep[neuron.layer].tolist(),
    )
