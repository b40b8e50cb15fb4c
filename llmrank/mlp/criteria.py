"""Which neurons of an MLP matter: MLP-Rank, and the criteria that apply to it too."""

from collections.abc import Iterable
from functools import partial
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from llmrank.core.registry import Registry
from llmrank.core.specs import option, spec
from llmrank.methods import pagerank
from llmrank.methods.criteria import CRITERIA, Criterion, LLMRank, Scores, score_graphs
from llmrank.methods.graph import FFNGraph, Site
from llmrank.mlp.example_sets import Examples
from llmrank.mlp.graphs import graphs
from llmrank.mlp.network import Network

MLP_CRITERIA: Registry[type[Criterion]] = Registry("criterion of MLPs")
criterion = MLP_CRITERIA.build

SHARED = (
    "activation", "l1", "random", "wanda", "l2", "transact", "flap", "taylor", "gblm",
)  # fmt: skip
"""Criteria of language models that need nothing an MLP has not; charts give them their
colours in this order, after MLP-Rank's."""


@MLP_CRITERIA.add("mlp-rank")
@spec
class MLPRank(Criterion):
    """Weighted PageRank on the MLP's graph: a neuron matters if mass reaches it.

    Mass starts at the inputs (their measured norm), follows the weights from layer to
    layer, and is mixed with each neuron's own activation.

    Source: Hoffmann et al. 2024, arXiv 2410.13299, Eq. 7 on linear layers. The authors'
    code (amazon-science/mlp-rank-pruning) has θ = 0.5, γ = 0.9 and the site `up`.
    """

    theta: float = option(
        default=0.5, low=0, high=1, help="θ: 1 follows edge weights, 0 counts edges"
    )
    gamma: float = option(
        default=0.5, low=0, high=1,
        help="γ, the damping: 1 trusts the graph alone, 0 the activation alone",
    )  # fmt: skip
    graph: Literal["chained", "isolated"] = option(
        default="chained",
        help="chained: all layers form one graph, as in the paper; isolated: each "
        "layer starts anew from its measured inputs",
    )
    site: Site = option(
        default="neuron",
        help="Where activation is measured: neuron = after the activation function, "
        "up = before it (the authors' code)",
    )
    variant: Literal["weighted", "modified"] = option(
        default="weighted",
        help="weighted: the paper's Eq. 7; modified: edges times activation, no θ, γ",
    )

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Score along the chosen graph."""
        step: pagerank.Step = pagerank.modified_pagerank
        if self.variant == "weighted":
            step = partial(
                pagerank.weighted_pagerank, theta=self.theta, gamma=self.gamma
            )
        walk = pagerank.layered if self.graph == "chained" else pagerank.isolated
        return walk(graphs, step, self.site)

    @property
    def formula(self) -> str:
        """Eq. 7 with letters and with numbers."""
        return LLMRank(
            self.theta, self.gamma, self.graph, self.site, self.variant
        ).formula


AUTHORS = MLPRank(gamma=0.9, site="up")
"""The setting of the authors' code for MLPs."""

for _name in SHARED:
    MLP_CRITERIA.add(_name)(CRITERIA[_name])


def score(network: Network, data: Examples, criterion: Criterion) -> Scores:
    """Score every hidden neuron, on training examples.

    Raises:
        LLMRankError: weights or signals are not finite.
    """
    return score_graphs(graphs(network, data.train_x, data.train_y), criterion)
