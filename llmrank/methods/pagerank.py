"""Weighted PageRank on FFN graphs: one step, and chains of steps."""

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from llmrank.core.errors import OptionError
from llmrank.methods.graph import FFNGraph, Site

Graph = Literal["isolated", "chained"]
"""Each FFN by itself, or all FFNs as one graph."""

Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(edges [n_out, n_in], mass [n_in], prior [n_out]) → scores [n_out], summing to 1."""


def weighted_pagerank(
    in_edges: Shaped[Tensor, "n_out n_in"],
    mass: Shaped[Tensor, " n_in"],
    prior: Shaped[Tensor, " n_out"],
    *,
    theta: float,
    gamma: float,
) -> Float[Tensor, " n_out"]:
    """Send the sources' mass along the edges once and mix in the prior.

    `s' = γ (θ Ŵ s + (1 − θ) Â s) + (1 − γ) b`, where Ŵ are the absolute edge weights
    and Â the existing edges, each divided by its column sum; s and b sum to 1. Mass of
    a source without edges is lost and the result rescaled; where nothing is left of a
    vector, it is uniform.

    Args:
        in_edges: signed weights; 0 means no edge.
        mass: importance of the sources, non-negative.
        prior: activation of the targets, non-negative.
        theta: 1 follows edge weights (strength), 0 counts edges (degree).
        gamma: damping: 1 follows the edges alone, 0 the prior alone.

    Raises:
        OptionError: θ or γ outside [0, 1], or a value that is NaN or infinite.

    Source: Hoffmann et al. 2024, arXiv 2410.13299, Eq. 7.
    """
    terms = edge_terms(in_edges, mass, prior)
    return distribution(weighted_sum(term_weights(theta, gamma), terms))


def edge_terms(
    in_edges: Shaped[Tensor, "n_out n_in"],
    mass: Shaped[Tensor, "*points n_in"],
    prior: Shaped[Tensor, " n_out"],
) -> tuple[
    Float[Tensor, "*points n_out"],
    Float[Tensor, "*points n_out"],
    Float[Tensor, " n_out"],
]:
    """Return the three terms of Eq. 7, which know neither θ nor γ: Ŵ s, Â s and b.

    Each sums to 1, the first two less what is lost in sources without edges.

    Args and Raises as in `weighted_pagerank`; several masses are one per row.
    """
    edges, s, b = _prepared(in_edges, mass, prior)
    links = edges.sign()
    by_weight = divide_or_zero(s, _column_sums(edges)) @ edges.T
    by_degree = divide_or_zero(s, _column_sums(links)) @ links.T
    return by_weight, by_degree, b


def term_weights(theta: float, gamma: float) -> tuple[float, float, float]:
    """Return how much of each of the three terms θ and γ take: γθ, γ(1−θ), 1−γ.

    Raises:
        OptionError: θ or γ outside [0, 1].
    """
    _check_share("theta", theta)
    _check_share("gamma", gamma)
    return gamma * theta, gamma * (1 - theta), 1 - gamma


def weighted_sum(
    weights: Iterable[float | Tensor], terms: Iterable[Float[Tensor, "... n"]]
) -> Float[Tensor, "... n"]:
    """Add weighted terms from the first to the last, each operation rounded by itself.

    JavaScript does the same operations in doubles and gets the same bits.
    """
    products = [w * t for w, t in zip(weights, terms, strict=True)]
    return functools.reduce(operator.add, products)


def modified_pagerank(
    in_edges: Shaped[Tensor, "n_out n_in"],
    mass: Shaped[Tensor, " n_in"],
    prior: Shaped[Tensor, " n_out"],
) -> Float[Tensor, " n_out"]:
    """Multiply what the edges bring by the prior: `s' ∝ (|W| s) ⊙ b`.

    Args and Raises as in `weighted_pagerank`.

    Source: the multiplicative variant of the code of arXiv 2410.13299.
    """
    edges, s, b = _prepared(in_edges, mass, prior)
    return distribution((edges @ s) * b)


def isolated(
    graphs: Iterable[FFNGraph], step: Step, site: Site
) -> tuple[Float[Tensor, " _"], ...]:
    """Score each layer by itself: one step from its measured inputs to its neurons."""
    return tuple(step(g.in_edges, g.stats.input_norm, g.prior(site)) for g in graphs)


def chained(
    graphs: Iterable[FFNGraph], step: Step, site: Site
) -> tuple[Float[Tensor, "*points _"], ...]:
    """Score all layers as one graph, without attention, as the paper does.

    The residual outputs of a block, with their measured norm as prior, are the inputs
    of the next; only the first block starts from its measured inputs.
    """
    scores, mass = [], None
    for g in graphs:
        before = g.stats.input_norm if mass is None else mass
        neurons = step(g.in_edges, before, g.prior(site))
        mass = step(g.out_edges, neurons, g.stats.output_norm)
        scores.append(neurons)
    return tuple(scores)


def layered(
    graphs: Iterable[FFNGraph], step: Step, site: Site
) -> tuple[Float[Tensor, " _"], ...]:
    """Score the hidden layers of an MLP as one graph, as the paper's MLP-Rank does.

    Each layer's neurons are the sources of the next; only the first layer starts from
    its measured inputs.
    """
    scores: list[Tensor] = []
    for g in graphs:
        before = scores[-1] if scores else g.stats.input_norm
        scores.append(step(g.in_edges, before, g.prior(site)))
    return tuple(scores)


def distribution(x: Float[Tensor, "*points n"]) -> Float[Tensor, "*points n"]:
    """Divide non-negative vectors by their sums; all zeros become uniform."""
    total = x.sum(-1, keepdim=True)
    return torch.where(total > 0, x / total, 1 / x.shape[-1])


def divide_or_zero(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; of a whole that is nothing the share is 0."""
    return torch.where(whole == 0, 0, part / whole)


def _prepared(
    in_edges: Tensor, mass: Tensor, prior: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.promote_types(
        torch.promote_types(in_edges.dtype, mass.dtype), torch.float32
    )
    edges = in_edges.to(dtype).abs()
    vectors = {"mass": mass.to(edges), "prior": prior.to(edges)}
    checked = {"in_edges": _column_sums(edges), **vectors}  # sums inherit a NaN
    for name, values in checked.items():
        if not values.isfinite().all():
            raise OptionError(f"{name} must be finite, got NaN or infinity")
    for name, values in vectors.items():
        if (values < 0).any():
            raise OptionError(f"{name} must not be negative, got {values.min():g}")
    return edges, distribution(vectors["mass"]), distribution(vectors["prior"])


def _column_sums(edges: Tensor) -> Tensor:
    """Sum over the targets; a product with ones is the fastest way on a CPU."""
    return edges.new_ones(len(edges)) @ edges


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:  # false for NaN too
        raise OptionError(f"{name} must lie in [0, 1], got {value}")
