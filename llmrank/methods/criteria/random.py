"""Chance, which every criterion has to beat."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.methods.criteria.base import CRITERIA, Criterion, Need
from llmrank.methods.graph import FFNGraph


@CRITERIA.add("random")
@spec
class Random(Criterion):
    """Seeded uniform random scores: what any criterion has to beat."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    seed: int = option(
        default=0, low=0, high=2**31, help="Which random numbers are drawn"
    )

    def layers(self, graphs: Iterable[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Draw one number per neuron."""
        generator = torch.Generator().manual_seed(self.seed)
        draw = partial(torch.rand, generator=generator, dtype=torch.float32)
        return tuple(draw(g.ffn.d_ff) for g in graphs)

    @property
    def formula(self) -> str:
        """A draw from [0, 1)."""
        return rf"s_j \sim \mathcal U[0, 1), \quad \text{{seed}} = {self.seed}"
