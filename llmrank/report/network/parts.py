"""What a layer's scores are made of: what came along edges, and activation."""

import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.statistics import ranks
from llmrank.methods.pruning import drop_mask


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
        Columns kept, rank (1 = highest), score and, with an activation, edges and
        activation, which add up to the score.
    """
    n = len(score)
    own = score.detach().to("cpu").double()
    table = pd.DataFrame(
        {"kept": ~drop_mask(n, keep.cpu()), "rank": ranks(own), "score": n * own}
    )
    if activation is not None:
        part = activation.detach().to("cpu").double().minimum(own)
        table["edges"], table["activation"] = n * (own - part), n * part
    return table
