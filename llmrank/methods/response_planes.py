"""Response planes: fixed vectors per layer from which every θ and γ is one sum."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from llmrank.methods.graph import FFNGraph, Site
from llmrank.methods.pagerank import (
    Graph,
    Step,
    chained,
    distribution,
    edge_terms,
    term_weights,
    weighted_sum,
)

EXPONENTS: dict[Graph, tuple[tuple[int, int, int], ...]] = {
    "isolated": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "chained": (
        (0, 0, 2), (0, 1, 1), (0, 2, 0),
        (1, 0, 2), (1, 1, 1), (1, 2, 0),
        (2, 0, 1), (2, 1, 0),
        (3, 0, 1), (3, 1, 0),
        (4, 0, 0),
    ),
}  # fmt: skip
"""One (i, j, k) per plane, whose weight is wⁱ dʲ rᵏ with w = γθ, d = γ(1−θ), r = 1−γ.

For a chain they are the terms of the unrolled recursion that matter. Edge weights
(w) carry differences on, and after four of their steps the masses have mixed. The
degree term (d) gives nearly the same to every neuron, so that two are enough.
"""

NODES = (
    (0.0, 0.0), (0.0, 0.5), (0.0, 1.0), (0.25, 1.0), (0.5, 1.0), (0.75, 1.0),
    (1.0, 1.0), (1.0, 0.75), (1.0, 0.5), (1.0, 0.25), (0.5, 0.5),
)  # fmt: skip
"""(θ, γ) where a chain's planes meet the recursion: each plane's own corner or edge."""

PROBES = (
    (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75), (0.5, 0.875), (0.875, 0.5),
    (0.125, 1.0), (0.875, 1.0), (1.0, 0.875), (0.0, 0.25), (0.0, 0.75), (0.875, 0.875),
)  # fmt: skip
"""(θ, γ) between the nodes, where the error of a chain's planes is measured."""


@dataclass(frozen=True)
class Planes:
    """What weighted PageRank gives for every θ and γ: `s = Σ_k weight_k · plane_k`.

    The weights depend on θ and γ alone, the planes on neither. Planes are float32;
    sums are taken in doubles, from the first plane to the last, so that a browser gets
    the same bits. On the isolated graph the planes of a layer are Ŵs, Âs and b (Eq. 7)
    and the sum is exact.

    `errors`: per layer the largest L1 distance to the recursion (whose scores sum to 1)
    at `PROBES`, measured when the planes are made: an estimate, not a bound.
    """

    graph: Graph
    site: Site
    layers: tuple[Float32[Tensor, "n_planes _"], ...]
    errors: tuple[float, ...]

    def scores(self, theta: float, gamma: float) -> tuple[Float64[Tensor, " _"], ...]:
        """Return the raw scores of each layer at θ and γ.

        Where inputs without edges lose mass they sum to less than 1; what a chain's
        approximation leaves below zero is zero.

        Raises:
            OptionError: θ or γ outside [0, 1].
        """
        every = torch.cat(self.layers, dim=1).double()  # one sum for all layers: faster
        summed = weighted_sum(weights(self.graph, theta, gamma), every).clamp(min=0)
        return summed.split([layer.shape[1] for layer in self.layers])


@torch.inference_mode()
def planes(graphs: Iterable[FFNGraph], *, graph: Graph, site: Site) -> Planes:
    """Read the weights once and return what answers every θ and γ.

    Raises:
        OptionError: a weight or a norm is NaN or infinite.
    """
    if graph == "isolated":
        every = (
            edge_terms(g.in_edges, g.stats.input_norm, g.prior(site)) for g in graphs
        )
        layers = tuple(torch.stack(terms).cpu().float() for terms in every)
        return Planes(graph, site, layers, (0.0,) * len(layers))
    at_points = chained(graphs, _step_at((*NODES, *PROBES)), site)
    sampled = [_interpolated(scores.cpu().double()) for scores in at_points]
    return Planes(graph, site, *(tuple(part) for part in zip(*sampled, strict=True)))


def _step_at(points: Sequence[tuple[float, float]]) -> Step:
    """Take a step of the recursion at many (θ, γ) at once, one mass per row."""
    shares = torch.tensor([term_weights(*point) for point in points])

    def step(edges: Tensor, mass: Tensor, prior: Tensor) -> Tensor:
        terms = edge_terms(edges, mass, prior)
        of_terms = shares.to(terms[0]).T[..., None]
        return distribution(weighted_sum(of_terms, terms))

    return step


def _interpolated(scores: Tensor) -> tuple[Tensor, float]:
    """Find the planes that meet the scores at the nodes, and miss by how much else."""
    at_nodes, at_probes = scores[: len(NODES)], scores[len(NODES) :]
    layer = torch.linalg.solve(_matrix(NODES), at_nodes).float()
    missed = _matrix(PROBES) @ layer.double() - at_probes
    return layer, float(missed.abs().sum(1).max())


def _matrix(points: Sequence[tuple[float, float]]) -> Tensor:
    rows = [weights("chained", *point) for point in points]
    return torch.tensor(rows, dtype=torch.float64)


def weights(graph: Graph, theta: float, gamma: float) -> tuple[float, ...]:
    """Return what each plane is multiplied by: wⁱ dʲ rᵏ with its `EXPONENTS`.

    Products are taken from the left, w first; w = γθ, d = γ(1−θ), r = 1−γ.

    Raises:
        OptionError: θ or γ outside [0, 1].
    """
    w, d, r = term_weights(theta, gamma)
    return tuple(
        math.prod((w,) * i + (d,) * j + (r,) * k) for i, j, k in EXPONENTS[graph]
    )
