"""What a layer's scores are made of: what came along edges, and activation."""

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.methods.pruning import drop_mask

ROUNDING = 1e-6
"""What is left of scores in float32 where edges bring nothing: γ is 0."""


def score_parts(
    score: Float[Tensor, " d_ff"],
    keep: Int[Tensor, " _"],
    activation: Float[Tensor, " d_ff"] | None,
) -> pd.DataFrame:
    """Return a row per neuron, its score in times the layer's mean and what it adds up.

    Args:
        score: of one layer, summing to 1.
        keep: its kept neurons.
        activation: how much of each score is activation; None where that is no sum.

    Returns:
        Columns kept, score and, with an activation, edges and
        activation, which add up to the score.
    """
    n = len(score)
    own = score.detach().to("cpu").double()
    kept = ~drop_mask(n, keep.cpu())
    table = pd.DataFrame({"kept": kept.numpy(), "score": n * own.numpy()})
    if activation is not None:
        part = activation.detach().to("cpu").double().minimum(own)
        edges = own - part
        if edges.sum() < ROUNDING:
            edges, part = torch.zeros(n), own
        return table.assign(edges=n * edges.numpy(), activation=n * part.numpy())
    return table
