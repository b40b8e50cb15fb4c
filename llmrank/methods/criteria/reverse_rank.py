"""LLM-Rank from the outputs back: the FFN graph with every edge turned round."""

from collections.abc import Iterable
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.criteria.base import CRITERIA, SITE_HELP, Criterion, norm_of
from llmrank.methods.criteria.llm_rank import (
    GAMMA_HELP,
    GRAPH_HELP,
    THETA_HELP,
    LLMRank,
)
from llmrank.methods.graph import FFNGraph, Site, mirrored
from llmrank.methods.pagerank import Graph


@CRITERIA.add("reverse-rank")
@spec
class ReverseRank(Criterion):
    """Weighted PageRank from the outputs back: a neuron matters to what it feeds.

    Mass starts at the FFN's outputs (their measured norm, before the residual
    addition), flows back along the column-normalised weights of `down` into the
    neurons, and is mixed with each neuron's own activation. With both, the score is
    the geometric mean with the forward one.

    Source: ours; Eq. 7 of arXiv 2410.13299 on the graph turned round.
    """

    direction: Literal["reverse", "both"] = option(
        default="reverse",
        help="reverse: from the outputs back; both: geometric mean with llm-rank",
    )
    theta: float = option(default=0.5, low=0, high=1, symbol="θ", help=THETA_HELP)
    gamma: float = option(default=0.5, low=0, high=1, symbol="γ", help=GAMMA_HELP)
    graph: Graph = option(default="isolated", help=GRAPH_HELP)
    site: Site = option(default="neuron", help=SITE_HELP)

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Score the turned graphs, the last layer first, and put them in order."""
        drawn = tuple(graphs)
        forward = LLMRank(self.theta, self.gamma, self.graph, self.site)
        back = forward.layers([mirrored(g) for g in reversed(drawn)])[::-1]
        if self.direction == "reverse":
            return back
        pairs = zip(forward.layers(drawn), back, strict=True)
        return tuple((f.cpu().double() * b.cpu().double()).sqrt() for f, b in pairs)

    @property
    def formula(self) -> str:
        """Eq. 7 on the turned graph, with numbers; and the mean, if it is asked for."""
        t, g = f"{self.theta:g}", f"{self.gamma:g}"
        start = r"\lVert (\text{down}\,x)_i \rVert_2"
        if self.graph == "chained":
            start = r"\text{the next block's inputs}"
        edges = (
            rf"{g}\,\bigl({t}\,\hat D s + {1 - self.theta:.3g}\,\hat A s\bigr)"
            rf" + {1 - self.gamma:.3g}\,b"
        )
        where = rf"D = \lvert\text{{down}}\rvert^{{\top}}, \; s_i \propto {start}"
        name = "r" if self.direction == "both" else "s'"
        line = rf"{name} = {edges}, \quad {where}, \; b \propto {norm_of(self.site)}"
        if self.direction == "both":
            return rf"s'_j = \sqrt{{f_j\, r_j}}, \quad f: \text{{llm-rank}}, \; {line}"
        return line
