"""Criteria that are norms of activations, of weights, or of both; and chance."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.criteria.base import CRITERIA, SITE_HELP, Criterion, Need, norm_of
from llmrank.methods.graph import FFNGraph, Site

Weights = Literal["up", "all"]
WEIGHTS_HELP = (
    "up: the neuron's row of `up`; all: with its row of `gate` and its column of `down`"
)


@CRITERIA.add("activation")
@spec
class Activation(Criterion):
    """The L2 norm of a neuron's activation over the calibration tokens.

    Source: baseline of arXiv 2410.13299; equal in ranking to llm-rank with γ = 0.
    """

    site: Site = option(default="neuron", help=SITE_HELP)

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        return g.prior(self.site)

    @property
    def formula(self) -> str:
        return f"s_j = {norm_of(self.site)}"


@CRITERIA.add("wanda")
@spec
class Wanda(Criterion):
    """Activation norm times the norm of the neuron's outgoing weights.

    `‖x_j‖₂ · ‖down_j‖`: Wanda's |weight|·‖input‖ taken per neuron.

    Source: Sun et al. 2024, arXiv 2306.11695, Eq. 1. With the L1 norm it is that
    metric summed over the neuron's column; the L2 norm, our default, is what the
    neuron adds to the output in all.
    """

    column_norm: Literal["l2", "l1"] = option(
        default="l2",
        help="The norm of the neuron's outgoing weights; l1 adds Wanda's metric up",
    )

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        order = 2 if self.column_norm == "l2" else 1
        columns = torch.linalg.vector_norm(g.out_edges.float(), order, dim=0)
        return g.stats.neuron_norm.to(columns.device) * columns

    @property
    def formula(self) -> str:
        order = self.column_norm.removeprefix("l")
        weights = rf"\lVert \text{{down}}_{{:,j}} \rVert_{order}"
        return rf"s_j = {norm_of('neuron')} \cdot {weights}"


@CRITERIA.add("l1")
@spec
class L1(Criterion):
    """The L1 norm of a neuron's weights.

    Source: baseline of arXiv 2410.13299 (the incoming weights). It looks at no data.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    weights: Weights = option(default="up", help=WEIGHTS_HELP)

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        return _norm(g, self.weights, 1)

    @property
    def formula(self) -> str:
        return _norm_formula(self.weights, 1)


@CRITERIA.add("l2")
@spec
class L2(Criterion):
    """The L2 norm of a neuron's weights.

    Source: baseline of arXiv 2410.13299 (the incoming weights). It looks at no data.
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    weights: Weights = option(default="up", help=WEIGHTS_HELP)

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        return _norm(g, self.weights, 2)

    @property
    def formula(self) -> str:
        return _norm_formula(self.weights, 2)


@CRITERIA.add("random")
@spec
class Random(Criterion):
    """Seeded uniform random scores: what any criterion has to beat."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    seed: int = option(
        default=0, low=0, high=2**31, help="Which random numbers are drawn"
    )

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        generator = torch.Generator().manual_seed(self.seed)
        draw = partial(torch.rand, generator=generator, dtype=torch.float32)
        return tuple(draw(g.ffn.d_ff) for g in graphs)

    @property
    def formula(self) -> str:
        return rf"s_j \sim \mathcal U[0, 1), \quad \text{{seed}} = {self.seed}"


def _norm(g: FFNGraph, weights: Weights, order: int) -> Tensor:
    rows = g.ffn.rows if weights == "all" else (g.ffn.up,)
    norms = [torch.linalg.vector_norm(r.float(), order, dim=1) for r in rows]
    return torch.linalg.vector_norm(torch.stack(norms), order, dim=0)


def _norm_formula(weights: Weights, order: int) -> str:
    up = r"\text{up}_{j,:}"
    if weights == "all":
        up = rf"(\text{{gate}}_{{j,:}},\, {up},\, \text{{down}}_{{:,j}})"
    return rf"s_j = \lVert {up} \rVert_{order}"
