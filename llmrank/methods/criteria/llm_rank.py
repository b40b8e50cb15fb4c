"""LLM-Rank: weighted PageRank on the FFN graph."""

import math
from collections.abc import Iterable
from functools import partial
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.activations import LayerStats
from llmrank.core.specs import option, spec
from llmrank.methods import pagerank
from llmrank.methods.criteria.base import CRITERIA, SITE_HELP, Criterion, norm_of
from llmrank.methods.graph import FFNGraph, Site
from llmrank.methods.pagerank import Graph
from llmrank.methods.response_planes import planes

THETA_HELP = "θ: 1 follows edge weights, 0 only counts edges"
GAMMA_HELP = "γ, the damping: 1 trusts the graph alone, 0 the activation alone"
GRAPH_HELP = "isolated: each FFN is its own graph; chained: all FFNs form one"


@CRITERIA.add("llm-rank")
@spec
class LLMRank(Criterion):
    """Weighted PageRank on the FFN graph: a neuron matters if mass reaches it.

    Mass starts at the residual inputs (their measured norm), follows the weights into
    the neurons, and is mixed with each neuron's own activation.

    Source: Hoffmann et al. 2024, arXiv 2410.13299, Eq. 7. Our default site differs
    from the authors' code: see the site's help.
    """

    theta: float = option(default=0.5, low=0, high=1, symbol="θ", help=THETA_HELP)
    gamma: float = option(default=0.5, low=0, high=1, symbol="γ", help=GAMMA_HELP)
    graph: Graph = option(default="isolated", help=GRAPH_HELP)
    site: Site = option(default="neuron", help=SITE_HELP)
    variant: Literal["weighted", "modified"] = option(
        default="weighted",
        help="weighted: the paper's Eq. 7; modified: edges times activation, no θ, γ",
    )

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        if self.from_planes:
            made = planes(graphs, graph=self.graph, site=self.site)
            return made.scores(self.theta, self.gamma)
        step = pagerank.modified_pagerank
        if self.variant == "weighted":
            step = partial(
                pagerank.weighted_pagerank, theta=self.theta, gamma=self.gamma
            )
        walk = pagerank.isolated if self.graph == "isolated" else pagerank.chained
        return walk(graphs, step, self.site)

    def activation_part(self, stats: LayerStats) -> Float[Tensor, " d_ff"] | None:
        """Return how much of each neuron's score, of 1 in all, is its activation.

        The rest came along edges. None of a product, which has no parts.
        """
        if self.variant == "modified":
            return None
        norm = stats.neuron_norm if self.site == "neuron" else stats.up_norm
        return (1 - self.gamma) * pagerank.distribution(norm.double())

    @property
    def from_planes(self) -> bool:
        """Whether the scores are read off response planes, which hold every θ and γ.

        The isolated graph's planes are exact; the chained graph's are not quite, so
        that its scores take the recursion.
        """
        return self.variant == "weighted" and self.graph == "isolated"

    @property
    def rho(self) -> float | None:
        """ρ = γθ/(1 − γ): what decides the ranking on an isolated graph.

        Without exact zeros among the weights the edge count gives each neuron the
        same, so that equal ρ means equal ranks. None at θ = 0, γ = 1: all tie.
        """
        if self.gamma < 1:
            return self.gamma * self.theta / (1 - self.gamma)
        return math.inf if self.theta else None

    @property
    def formula(self) -> str:
        """Eq. 7 twice, with letters and with numbers; and ρ."""
        b = norm_of(self.site)
        if self.variant == "modified":
            return rf"s' \propto (|W|\,s) \odot b, \qquad b \propto {b}"
        t, g = f"{self.theta:g}", f"{self.gamma:g}"
        rho = r"\infty" if self.gamma == 1 else f"{self.rho:.3g}"
        lines = [
            r"s' &= \gamma\,\bigl(\theta\,\hat W s + (1-\theta)\,\hat A s\bigr)"
            r" + (1-\gamma)\,b",
            rf"&= {g}\,\bigl({t}\,\underbrace{{\hat W s}}_{{\text{{edge weight}}}}"
            rf" + {1 - self.theta:.3g}\,\underbrace{{\hat A s}}_{{\text{{edge count}}}}"
            rf"\bigr) + {1 - self.gamma:.3g}\,"
            rf"\underbrace{{b}}_{{\textstyle\propto {b}}}",
            rf"\rho &= \frac{{\gamma\,\theta}}{{1-\gamma}} = {rho}",
        ]
        if self.rho is None:
            lines.pop()
        body = r" \\ ".join(lines)
        return rf"\begin{{aligned}} {body} \end{{aligned}}"
