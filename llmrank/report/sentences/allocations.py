"""What the costs of layers and a search for widths say, in a sentence; their tables."""

import pandas as pd

from llmrank.core.formatting import counted, number, share
from llmrank.methods.allocation import Sensitivity
from llmrank.methods.width_search import Searched


def costs_sentence(costs: Sensitivity) -> str:
    """Say which layer costs most and which least, where about half of it is removed."""
    at = min(costs.sparsities[1:], key=lambda s: abs(s - 0.5))
    own = [costs.cost(layer, at) for layer in range(len(costs.costs))]
    most, least = own.index(max(own)), own.index(min(own))
    return (
        f"Removing {share(at)} of one layer alone costs most in layer {most} "
        f"({number(own[most])} nats a token) and least in layer {least} "
        f"({number(own[least])}). Measured on {costs.n_tokens:,} calibration tokens, "
        "as the divergence from the dense model's next-token distribution."
    )


def search_sentence(searched: Searched) -> str:
    """Say how much the search gained, and on how many candidates."""
    before, after = searched.history[0][1], searched.divergence
    tried = counted(searched.n_tried, "candidate")
    if after >= before:
        return f"{tried} tried; none is better than the additive widths so far."
    return (
        f"{tried} tried: the divergence from the dense model fell from "
        f"{number(before)} to {number(after)} nats a token "
        f"({share(1 - after / before)} less), on calibration text."
    )


def costs_table(costs: Sensitivity) -> pd.DataFrame:
    """List one row per layer and share."""
    rows = [
        (layer, sparsity, float(cost))
        for layer, own in enumerate(costs.costs)
        for sparsity, cost in zip(costs.sparsities, own, strict=True)
    ]
    return pd.DataFrame(rows, columns=["layer", "removed", "nats_per_token"])


def search_table(searched: Searched) -> pd.DataFrame:
    """List the best divergence after each generation."""
    return pd.DataFrame(searched.history, columns=["tried", "nats_per_token"])
