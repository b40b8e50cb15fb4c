"""Criteria from a neuron's own signal: its size, its spread, its share of the layer."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.criteria.base import CRITERIA, Criterion, norm_of
from llmrank.methods.graph import FFNGraph
from llmrank.methods.pagerank import divide_or_zero


@CRITERIA.add("transact")
@spec
class TransAct(Criterion):
    """The mean absolute activation of a neuron over the calibration tokens.

    Source: Shen et al. 2024, arXiv 2407.05690: activation magnitude of the dimensions
    inside a module. Of their two modules we take the FFN, and all layers at once where
    they prune in rounds.
    """

    formula = r"s_j = \frac{1}{N} \sum_{t=1}^{N} \lvert x_{tj} \rvert"

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        return g.stats.neuron_abs_mean


@CRITERIA.add("flap")
@spec
class Flap(Criterion):
    """How much a neuron's activation varies, times its squared outgoing weights.

    A neuron that hardly varies can be replaced by its mean: the repair `bias` does.

    Source: An et al. 2023, arXiv 2312.11983, the weighted input feature variance
    (WIFV); their threshold over all layers is the allocation `standardised`. The
    variance is the sample's, over tokens; their code takes it over running means.
    """

    formula = (
        r"s_j = \frac{1}{N-1} \sum_{t=1}^{N} (x_{tj} - \bar x_j)^2 "
        r"\cdot \lVert \text{down}_{:,j} \rVert_2^2"
    )

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        # in doubles, since two large numbers are subtracted
        n, mean = g.n_tokens, g.stats.neuron_mean.double()
        around = g.stats.neuron_norm.double().square() - n * mean.square()
        variance = around.clamp(min=0) / max(1, n - 1)
        norm = torch.linalg.vector_norm(g.out_edges.float(), dim=0)
        return variance * norm.cpu().double().square()


@CRITERIA.add("cfsp")
@spec
class Cfsp(Criterion):
    """Activation norm times the neuron's share of its layer's weights.

    The shares are those of its weights in `gate`, `up` and (each times its activation)
    `down`, averaged over the residual stream.

    Source: Wang et al. 2024, arXiv 2409.13199, the fine part (the coarse part is the
    allocation `block-influence`), with the exponents of the authors' code, 1 and 1.
    That code divides by the neuron's own sum (`relative_to` neuron): averaged over a
    neuron its shares are then the same for all, and the ranks those of `activation`.
    """

    relative_to: Literal["layer", "neuron"] = option(
        default="layer",
        help="What a weight is a share of: all neurons' weights at its place in the "
        "residual stream, or its own neuron's (the authors' code; ranks as activation)",
    )

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        norms = g.stats.neuron_norm.to(g.out_edges.device)
        *incoming, down = (rows.float().abs() for rows in g.ffn.rows)
        members = (*incoming, down * norms[:, None])
        axis = 0 if self.relative_to == "layer" else 1
        shares = (divide_or_zero(m, m.sum(axis, keepdim=True)) for m in members)
        return norms * sum(share.mean(1) for share in shares)

    @property
    def formula(self) -> str:
        sums = (r"\sum_k \lvert {w}_{{ki}} \rvert", r"\sum_k \lvert {w}_{{jk}} \rvert")
        total = sums[self.relative_to == "neuron"]
        shares = [
            rf"\frac{{\lvert {w}_{{ji}} \rvert}}{{{total.format(w=w)}}}"
            for w in (r"\text{gate}", r"\text{up}", "D")
        ]
        line = rf"s_j = {norm_of('neuron')} \cdot \frac{{1}}{{d}} \sum_{{i=1}}^{{d}}"
        where = rf"D_{{ji}} = \text{{down}}_{{ij}}\, {norm_of('neuron')}"
        return rf"{line} \Bigl( {' + '.join(shares)} \Bigr), \quad {where}"
