"""Criteria: which neurons matter. Each is a small registered description."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from llmrank import centrality, ffn
from llmrank.calibration import ActivationStats
from llmrank.errors import LLMRankError, OptionError
from llmrank.graph import FFNGraph, Site, graphs
from llmrank.models import LanguageModel
from llmrank.options import described, option, options, spec
from llmrank.registry import Registry

SITE_HELP = (
    "Where activation is measured: neuron = the input of down_proj (the neuron's own "
    "signal), up = the output of up_proj (the paper's code)"
)


@dataclass(frozen=True)
class Scores:
    """One raw non-negative score per neuron and layer; higher is kept first."""

    layers: tuple[Float[Tensor, " _"], ...]

    @property
    def normalised(self) -> tuple[Float[Tensor, " _"], ...]:
        """The scores of each layer divided by their sum."""
        return tuple(centrality.distribution(s) for s in self.layers)


class Criterion(ABC):
    """A way to score neurons; its fields are its parameters."""

    name: ClassVar[str]

    @abstractmethod
    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Return one non-negative vector per layer."""

    @property
    @abstractmethod
    def formula(self) -> str:
        """The score in LaTeX, with the current values of the parameters in it."""


CRITERIA: Registry[type[Criterion]] = Registry("criterion")


def criterion(name: str, **fields: Any) -> Criterion:
    """Build a criterion by name; fields it does not have are refused.

    Raises:
        OptionError: unknown name, unknown field, or a value outside its limits.
    """
    cls = CRITERIA[name]
    known = [o.name for o in options(cls)]
    for field in fields:
        if field not in known:
            has = ", ".join(known) or "no parameters"
            raise OptionError(f"criterion {name} has no {field!r}; it has: {has}")
    return cls(**fields)


def recipe(of: Criterion) -> dict[str, Any]:
    """Return a criterion as plain values: its name and its fields."""
    return {"name": of.name, **described(of)}


@torch.inference_mode()
def score(lm: LanguageModel, stats: ActivationStats, by: Criterion) -> Scores:
    """Score every FFN neuron of a model.

    Raises:
        LLMRankError: weights or activations are not finite.
    """
    layers = tuple(
        s.float().cpu() for s in by.layers(graphs(ffn.ffns(lm.model), stats))
    )
    for layer, scores in enumerate(layers):
        if not scores.isfinite().all():
            raise LLMRankError(
                f"the scores of layer {layer} are not finite; "
                "the model's weights or its activations overflow"
            )
    return Scores(layers)


@CRITERIA.add("llm-rank")
@spec
class LLMRank(Criterion):
    """Weighted PageRank on the FFN graph: a neuron matters if mass reaches it.

    Mass starts at the residual inputs (their measured norm), follows the weights into
    the neurons, and is mixed with each neuron's own activation.

    Source: Hoffmann et al. 2024, arXiv 2410.13299, Eq. 7. Our default site differs
    from the authors' code: see the site's help.
    """

    name: ClassVar[str] = "llm-rank"
    theta: float = option(
        default=0.5, low=0, high=1,
        help="θ: 1 follows edge weights, 0 only counts edges",
    )  # fmt: skip
    gamma: float = option(
        default=0.5, low=0, high=1,
        help="γ, the damping: 1 trusts the graph alone, 0 the activation alone",
    )  # fmt: skip
    graph: Literal["isolated", "chained"] = option(
        default="isolated",
        help="isolated: each FFN is its own graph; chained: all FFNs form one",
    )
    site: Site = option(default="neuron", help=SITE_HELP)
    variant: Literal["weighted", "modified"] = option(
        default="weighted",
        help="weighted: the paper's Eq. 7; modified: edges times activation, no θ, γ",
    )

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Score along the chosen graph."""
        walk = centrality.isolated if self.graph == "isolated" else centrality.chained
        if self.variant == "modified":
            return walk(graphs, centrality.modified_pagerank, self.site)
        return walk(graphs, self._step, self.site)

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
        b = _norm_of(self.site)
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

    def _step(self, edges: Tensor, mass: Tensor, prior: Tensor) -> Tensor:
        return centrality.weighted_pagerank(
            edges, mass, prior, theta=self.theta, gamma=self.gamma
        )


@CRITERIA.add("activation")
@spec
class Activation(Criterion):
    """The L2 norm of a neuron's activation over the calibration tokens.

    Source: baseline of arXiv 2410.13299; equal in ranking to llm-rank with γ = 0.
    """

    name: ClassVar[str] = "activation"
    site: Site = option(default="neuron", help=SITE_HELP)

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Return the measured norms."""
        return tuple(g.prior(self.site) for g in graphs)

    @property
    def formula(self) -> str:
        """The norm over the calibration tokens."""
        return f"s_j = {_norm_of(self.site)}"


@CRITERIA.add("wanda")
@spec
class Wanda(Criterion):
    """Activation norm times the L2 norm of the neuron's outgoing weights.

    `‖x_j‖₂ · ‖down_j‖₂`: Wanda's |weight|·‖input‖ taken per neuron.

    Source: Sun et al. 2024, arXiv 2306.11695, Eq. 1, with the column's L2 norm.
    """

    name: ClassVar[str] = "wanda"

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
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
        return rf"s_j = {_norm_of('neuron')} \cdot {weights}"


@CRITERIA.add("l1")
@spec
class L1(Criterion):
    """The L1 norm of a neuron's incoming weights (its row of `up`).

    Source: baseline of arXiv 2410.13299. It looks at no data.
    """

    name: ClassVar[str] = "l1"

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
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

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Take the norm of each row."""
        return tuple(
            torch.linalg.vector_norm(g.in_edges.float(), dim=1) for g in graphs
        )

    @property
    def formula(self) -> str:
        """The norm of a row."""
        return r"s_j = \lVert \text{up}_{j,:} \rVert_2"


@CRITERIA.add("random")
@spec
class Random(Criterion):
    """Seeded uniform random scores: what any criterion has to beat."""

    name: ClassVar[str] = "random"
    seed: int = option(
        default=0, low=0, high=2**31, help="Which random numbers are drawn"
    )

    def layers(self, graphs: Sequence[FFNGraph]) -> tuple[Float[Tensor, " _"], ...]:
        """Draw one number per neuron."""
        generator = torch.Generator().manual_seed(self.seed)
        return tuple(torch.rand(g.ffn.d_ff, generator=generator) for g in graphs)

    @property
    def formula(self) -> str:
        """A draw from [0, 1)."""
        return rf"s_j \sim \mathcal U[0, 1), \quad \text{{seed}} = {self.seed}"


def _norm_of(site: Site) -> str:
    """The L2 norm over tokens of what is measured at a site, in LaTeX."""
    signal = "x_j" if site == "neuron" else r"(\text{up}\,h)_j"
    return rf"\lVert {signal} \rVert_2"
