"""An FFN layer as a weighted graph: residual inputs → neurons → residual outputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from llmrank.calibration.activations import ActivationStats, LayerStats
from llmrank.calibration.gradients import Gradients, LayerGradients
from llmrank.models.ffn import FFN

Site = Literal["neuron", "up"]
"""Where a neuron's activation is measured: the input of `down`, or `up`'s output."""


@dataclass(frozen=True)
class FFNGraph:
    """One FFN's edges and what calibration measured at its nodes.

    Edge weights keep their sign; centrality takes absolute values. A gate is no edge:
    it enters through the activation prior alone (site `neuron`).

    `n_tokens`: how many tokens the statistics are of; `gradients`, and `second`, the
    statistics on a second text, are there for the criteria that need them.
    """

    ffn: FFN
    stats: LayerStats
    n_tokens: int
    gradients: LayerGradients | None = None
    second: LayerStats | None = None

    @property
    def in_edges(self) -> Float[Tensor, "d_ff d_model"]:
        """From residual inputs to neurons."""
        return self.ffn.up

    @property
    def out_edges(self) -> Float[Tensor, "d_out d_ff"]:
        """From neurons to residual outputs."""
        return self.ffn.down

    def prior(self, site: Site) -> Float[Tensor, " d_ff"]:
        """The neurons' activation norms, measured at the site."""
        return self.stats.neuron_norm if site == "neuron" else self.stats.up_norm


def graphs(
    ffns: Sequence[FFN],
    stats: ActivationStats,
    *,
    gradients: Gradients | None = None,
    second: ActivationStats | None = None,
) -> tuple[FFNGraph, ...]:
    """Join each layer's weights with what was measured of it.

    Raises:
        ValueError: what was measured is of another model.
    """
    n = len(ffns)
    nothing = (None,) * n
    columns = {
        "statistics": stats.layers,
        "gradients": nothing if gradients is None else gradients.layers,
        "second statistics": nothing if second is None else second.layers,
    }
    for name, layers in columns.items():
        if len(layers) != n:
            raise ValueError(f"the {name} have {len(layers)} layers, the model {n}")
    rows = zip(ffns, *columns.values(), strict=True)
    return tuple(FFNGraph(f, s, stats.n_tokens, g, t) for f, s, g, t in rows)


def mirrored(g: FFNGraph) -> FFNGraph:
    """Return the graph with every edge turned round: what left a neuron enters it."""
    turned = replace(
        g.ffn, up=g.ffn.down.T, down=g.ffn.up.T, gate=None, gate_bias=None,
        up_bias=None, down_bias=None,
    )  # fmt: skip
    ends = {"input_norm": g.stats.output_norm, "output_norm": g.stats.input_norm}
    return FFNGraph(turned, replace(g.stats, **ends), g.n_tokens)
