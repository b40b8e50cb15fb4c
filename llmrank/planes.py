"""Response planes: fixed vectors per layer from which every θ and γ is one sum."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from llmrank.centrality import Graph, edge_terms, term_weights, weighted_sum
from llmrank.graph import FFNGraph, Site


@dataclass(frozen=True)
class Planes:
    """What weighted PageRank gives for every θ and γ: `s = Σ_k weight_k · plane_k`.

    The weights depend on θ and γ alone, the planes on neither. Planes are float32;
    sums are taken in doubles, plane after plane, so that a browser gets the same bits.
    On the isolated graph the planes of a layer are Ŵs, Âs and b (Eq. 7), and the sum
    is exact.
    """

    graph: Graph
    site: Site
    layers: tuple[Float32[Tensor, "n_planes _"], ...]

    def weights(self, theta: float, gamma: float) -> tuple[float, ...]:
        """Return what each plane is multiplied by: γθ, γ(1−θ), 1−γ.

        Raises:
            OptionError: θ or γ outside [0, 1].
        """
        return term_weights(theta, gamma)

    def scores(self, theta: float, gamma: float) -> tuple[Float64[Tensor, " _"], ...]:
        """Return the raw scores of each layer at θ and γ.

        Where inputs without edges lose mass they sum to less than 1.

        Raises:
            OptionError: θ or γ outside [0, 1].
        """
        weights = self.weights(theta, gamma)
        return tuple(weighted_sum(weights, p.double()) for p in self.layers)


@torch.inference_mode()
def planes(graphs: Sequence[FFNGraph], *, graph: Graph, site: Site) -> Planes:
    """Read the weights once and return what answers every θ and γ.

    Raises:
        OptionError: a weight or a norm is NaN or infinite.
    """
    return Planes(graph, site, tuple(_isolated(g, site) for g in graphs))


def _isolated(g: FFNGraph, site: Site) -> Tensor:
    terms = edge_terms(g.in_edges, g.stats.input_norm, g.prior(site))
    return torch.stack(terms).cpu().float()
