"""Criteria that ask whether a neuron matters on more than one kind of text."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from llmrank.core.specs import option, spec
from llmrank.core.statistics import average_ranks
from llmrank.data.texts import SITUATIONS
from llmrank.methods.criteria.base import CRITERIA, Criterion, Need
from llmrank.methods.graph import FFNGraph


@CRITERIA.add("gprune")
@spec
class GPrune(Criterion):
    """Ranks robust neurons by activation, those that depend on the text apart.

    Neurons are ranked by activation on two texts. Those whose rank changes most are
    sensitive; of them the half with little activation is ranked by weights alone. The
    three parts compete each within itself: a score is the place in its own part, so
    that each part gives up the same share.

    Source: GPrune-LLM, Liu et al. 2026, arXiv 2603.13418. We take two texts, one split
    and one median where the authors form modules, and the same share of each part where
    they learn it. The default second text is of another kind than Wikipedia, and no
    evaluation here reads it.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"activations", "second text"})
    second_text: str = option(
        default=SITUATIONS,
        help="The text compared with the calibration text: situations (Social IQa, "
        "everyday scenes), embedded (Wikipedia passages), or a UTF-8 text file",
    )
    sensitive_share: float = option(
        default=0.5, low=0, high=1,
        help="The share of a layer's neurons called sensitive: those whose rank "
        "changes most between the texts",
    )  # fmt: skip

    def layer(self, g: FFNGraph) -> Float[Tensor, " _"]:
        assert g.second is not None
        on_both = [s.neuron_norm.cpu().double() for s in (g.stats, g.second)]
        signal, weights = torch.hypot(*on_both), _weights(g)
        moved = (places(on_both[0]) - places(on_both[1])).abs()
        sensitive = _above(moved, self.sensitive_share)
        weak = sensitive & ~(signal > signal[sensitive].median())
        scores = torch.empty_like(signal)
        for part, by in (
            (~sensitive, signal), (sensitive & ~weak, signal), (weak, weights),
        ):  # fmt: skip
            scores[part] = places(by[part])
        return scores

    @property
    def formula(self) -> str:
        x, y = r"\lVert x_j \rVert_2", r"\lVert y_j \rVert_2"
        cases = [
            rf"\sqrt{{{x}^2 + {y}^2}} & j \text{{ robust, or sensitive and strong}}",
            r"\lVert w_j \rVert_2 & j \text{ sensitive and weak}",
        ]
        split = rf"{100 * self.sensitive_share:.3g}\,\%"
        return (
            r"s_j = \text{place in its part by } \begin{cases} "
            + r" \\ ".join(cases)
            + rf" \end{{cases}}, \quad \text{{sensitive: the }} {split} "
            r"\text{ with the largest } \lvert r_x(j) - r_y(j) \rvert"
        )


def places(values: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Return where each value stands among all, in (0, 1); equal ones share a place.

    What is no number has no place, nor have those beside it.
    """
    if not values.isfinite().all():
        return torch.full_like(values, torch.nan)
    return (average_ranks(values).to(values) - 0.5) / len(values)


def _above(values: Float64[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """Mark the share of the largest values; ties at its edge stay out, as do zeros."""
    n_below = len(values) - int(share * len(values) + 0.5)
    edge = values.sort().values[n_below - 1] if n_below else torch.tensor(0.0)
    return values > edge


def _weights(g: FFNGraph) -> Float64[Tensor, " d_ff"]:
    """Return the L2 norm of all of each neuron's weights."""
    squares = [rows.float().square().sum(1) for rows in g.ffn.rows]
    return torch.stack(squares).sum(0).sqrt().cpu().double()
