"""Criteria that read the gradients of the loss."""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.gradients import MemberGradients
from llmrank.core.specs import option, spec
from llmrank.methods.criteria.base import CRITERIA, Criterion, Need, norm_of
from llmrank.methods.graph import FFNGraph

AGGREGATIONS = {
    "sum": r"\sum_m I_m",
    "product": r"\prod_m I_m",
    "max": r"\max_m I_m",
    "last": r"I_{\text{down}}",
}


@CRITERIA.add("taylor")
@spec
class Taylor(Criterion):
    """How much the loss would change without the neuron, estimated from gradients.

    A neuron is a group of three: its rows of `gate` and `up`, its column of `down`.
    Each is estimated by the first terms of a Taylor series, and the three are
    aggregated. Reads the calibration text once more, backwards.

    Source: LLM-Pruner, Ma et al. 2023, arXiv 2305.11627, section 3.2 (vector-
    and element-wise importance). The second order takes the Fisher information for the
    Hessian; the paper's vector-wise form leaves it out, here it is the information
    along the member. Samples are summed where the authors' code takes their means:
    the ranks are the same.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    granularity: Literal["element", "vector"] = option(
        default="element",
        help="element: each weight's change in absolute value, added up; vector: the "
        "change of removing a whole row or column, in which signs cancel",
    )
    taylor_order: Literal["first", "second"] = option(
        default="first",
        help="first: gradient times weight; second: less half the Fisher information",
    )
    aggregation: Literal["sum", "product", "max", "last"] = option(
        default="sum",
        help="How the neuron's parts become one number; last: its column of `down`",
    )

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        assert g.gradients is not None
        members = torch.stack([self._estimate(m) for m in g.gradients.members])
        if self.aggregation == "product":
            return members.prod(0)
        if self.aggregation == "max":
            return members.amax(0)
        return members[-1] if self.aggregation == "last" else members.sum(0)

    def _estimate(self, m: MemberGradients) -> Tensor:
        second = self.taylor_order == "second"
        if self.granularity == "element":
            return (m.element_second if second else m.element_change).double()
        halved = m.curvature.double() / 2 if second else 0
        return (m.change.double() - halved).abs()

    @property
    def formula(self) -> str:
        second = self.taylor_order == "second"
        if self.granularity == "element":
            less = r" - \tfrac12 \sum_n (g_{n,w}\, w)^2" if second else ""
            part = rf"\sum_{{w \in m}} \bigl\lvert g_w\, w{less} \bigr\rvert"
        else:
            along = r"\bigl(\sum_{w \in m} g_{n,w}\, w\bigr)^2"
            less = rf" - \tfrac12 \sum_n {along}" if second else ""
            part = rf"\Bigl\lvert \sum_{{w \in m}} g_w\, w{less} \Bigr\rvert"
        members = r"m \in \{\text{gate}_{j,:}, \text{up}_{j,:}, \text{down}_{:,j}\}"
        return (
            rf"s_j = {AGGREGATIONS[self.aggregation]}, \quad I_m = {part}, \; {members}"
        )


@CRITERIA.add("gblm")
@spec
class Gblm(Criterion):
    """A neuron's outgoing weights, times gradient norm and activation norm.

    Wanda's metric with the gradient's norm over samples beside the activation's,
    summed over the neuron's column of `down`. Reads the calibration text once more,
    backwards.

    Source: GBLM-Pruner, Das et al. 2023, arXiv 2311.04902, the metric with ‖G‖₂ and
    the authors' scale of gradients, 100, for α. ‖x‖ is over all tokens, as in their
    formula; their code divides its square by the number of samples.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"activations", "gradients"})
    alpha: float = option(
        default=100, low=0, high=10_000,
        help="α: how much the gradient's norm weighs beside the activation's",
    )  # fmt: skip

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        column_sums = g.out_edges.float().abs().sum(0).cpu()
        assert g.gradients is not None
        slopes = g.gradients.down.scaled_norm.double()
        return self.alpha * slopes + (g.stats.neuron_norm.cpu() * column_sums).double()

    @property
    def formula(self) -> str:
        weight = r"\lvert \text{down}_{ij} \rvert"
        gradient = r"\lVert g_{ij} \rVert_2"
        alpha = f"{self.alpha:g}"
        both = rf"{alpha}\, {gradient} + {norm_of('neuron')}"
        return rf"s_j = \sum_i {weight} \bigl( {both} \bigr)"
