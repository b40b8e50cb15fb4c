"""An FFN layer as a weighted graph: residual inputs → neurons → residual outputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from llmrank.calibration import ActivationStats, LayerStats
from llmrank.ffn import FFN

Site = Literal["neuron", "up"]
"""Where a neuron's activation is measured: the input of `down`, or `up`'s output."""


@dataclass(frozen=True)
class FFNGraph:
    """One FFN's edges and what calibration measured at its nodes.

    Edge weights keep their sign; centrality takes absolute values. A gate is no edge:
    it enters through the activation prior alone (site `neuron`).
    """

    ffn: FFN
    stats: LayerStats

    @property
    def in_edges(self) -> Float[Tensor, "d_ff d_model"]:
        """From residual inputs to neurons."""
        return self.ffn.up

    @property
    def out_edges(self) -> Float[Tensor, "d_model d_ff"]:
        """From neurons to residual outputs."""
        return self.ffn.down

    def prior(self, site: Site) -> Float[Tensor, " d_ff"]:
        """The neurons' activation norms, measured at the site."""
        return self.stats.neuron_norm if site == "neuron" else self.stats.up_norm


def graphs(ffns: Sequence[FFN], stats: ActivationStats) -> tuple[FFNGraph, ...]:
    """Join each layer's weights with its statistics.

    Raises:
        ValueError: the statistics are of another model.
    """
    if len(ffns) != len(stats.layers):
        raise ValueError(
            f"the statistics have {len(stats.layers)} layers, the model {len(ffns)}"
        )
    return tuple(FFNGraph(f, s) for f, s in zip(ffns, stats.layers, strict=True))
