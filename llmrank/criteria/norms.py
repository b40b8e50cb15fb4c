"""Criteria that are norms of activations, of weights, or of both."""

from collections.abc import Iterable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.criteria.base import CRITERIA, SITE_HELP, Criterion, norm_of
from llmrank.graph import FFNGraph, Site
from llmrank.options import option, spec


@CRITERIA.add("activation")
@spec
class Activation(Criterion):
    """The L2 norm of a neuron's activation over the calibration tokens.

    Source: baseline of arXiv 2410.13299; equal in ranking to llm-rank with γ = 0.
    """

    name: ClassVar[str] = "activation"
    site: Site = option(default="neuron", help=SITE_HELP)

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Return the measured norms."""
        return tuple(g.prior(self.site) for g in graphs)

    @property
    def formula(self) -> str:
        """The norm over the calibration tokens."""
        return f"s_j = {norm_of(self.site)}"


@CRITERIA.add("wanda")
@spec
class Wanda(Criterion):
    """Activation norm times the L2 norm of the neuron's outgoing weights.

    `‖x_j‖₂ · ‖down_j‖₂`: Wanda's |weight|·‖input‖ taken per neuron.

    Source: Sun et al. 2024, arXiv 2306.11695, Eq. 1, with the column's L2 norm.
    """

    name: ClassVar[str] = "wanda"

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Multiply the two norms."""
        return tuple(
            g.stats.neuron_norm.to(g.out_edges.device)
            * torch.linalg.vector_norm(g.out_edges.float(), dim=0)
            for g in graphs
        )

    @property
    def formula(self) -> str:
        """The product of the two norms."""
        weights = r"\lVert \text{down}_{:,j} \rVert_2"
        return rf"s_j = {norm_of('neuron')} \cdot {weights}"


@CRITERIA.add("l1")
@spec
class L1(Criterion):
    """The L1 norm of a neuron's incoming weights (its row of `up`).

    Source: baseline of arXiv 2410.13299. It looks at no data.
    """

    name: ClassVar[str] = "l1"
    reads_activations: ClassVar[bool] = False

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Sum absolute weights per row."""
        return tuple(g.in_edges.float().abs().sum(1) for g in graphs)

    @property
    def formula(self) -> str:
        """The norm of a row."""
        return r"s_j = \lVert \text{up}_{j,:} \rVert_1"


@CRITERIA.add("l2")
@spec
class L2(Criterion):
    """The L2 norm of a neuron's incoming weights (its row of `up`)."""

    name: ClassVar[str] = "l2"
    reads_activations: ClassVar[bool] = False

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Take the norm of each row."""
        return tuple(
            torch.linalg.vector_norm(g.in_edges.float(), dim=1) for g in graphs
        )

    @property
    def formula(self) -> str:
        """The norm of a row."""
        return r"s_j = \lVert \text{up}_{j,:} \rVert_2"
