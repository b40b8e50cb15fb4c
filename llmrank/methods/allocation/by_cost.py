"""Allocations that follow measurements of what each layer's cut costs; and by hand."""

from typing import ClassVar

import numpy as np

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.specs import option, spec
from llmrank.methods.allocation.base import (
    ALLOCATIONS,
    Allocation,
    AllocationInputs,
    Evidence,
    Sensitivity,
    n_dropped,
)

N_STEPS = 2048
"""Into about so many steps the neurons of all layers are divided for the programme."""

UNMEASURED = 1e3
"""Nats per token of a whole layer beyond the measured shares: a deterrent."""


@ALLOCATIONS.add("additive")
@spec
class Additive(Allocation):
    """The widths whose measured costs, layer by layer, add up to the least.

    Each layer alone is cut at several widths and the loss measured on calibration
    tokens; the costs are assumed to add, and dynamic programming finds the widths. A
    layer is not cut further than was measured (70 %) while others have room.

    Source: Xu et al. 2023, Efficient Joint Optimization of Layer-Adaptive Weight
    Pruning, ICCV, with losses in nats in the place of output distortions.
    """

    needs: ClassVar[frozenset[Evidence]] = frozenset({"sensitivity"})
    formula = r"\min_k \textstyle\sum_l c_l(k_l) \quad \text{with} \quad \sum_l k_l = K"

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:
        assert known.sensitivity is not None
        return cheapest(known.sensitivity, known.dense_widths, sparsity)


@ALLOCATIONS.add("search")
@spec
class Search(Allocation):
    """Widths found by trial: neurons move between layers while the model stays closer.

    An evolutionary search from the additive widths or those by block influence,
    whichever come closer: candidates are cut and repaired, the divergence of their
    next-token distribution from the dense model's is measured on few calibration
    tokens, that of the best on more.

    Source: after Týr-the-Pruner and DarwinLM (Tang et al. 2025, arXiv 2502.07780).
    """

    needs: ClassVar[frozenset[Evidence]] = frozenset({"sensitivity", "searched"})
    formula = (
        r"\min_k \; \mathrm{KL}\bigl(p_{\text{dense}} \,\|\, p_k\bigr) "
        r"\quad \text{with} \quad \textstyle\sum_l k_l = K"
    )
    evaluations: int = option(
        default=200, low=1, high=100_000,
        help="How many candidates are tried; more takes longer and may find better",
    )  # fmt: skip

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:  # noqa: ARG002
        assert known.searched is not None
        return known.searched


@ALLOCATIONS.add("by-hand")
@spec
class ByHand(Allocation):
    """Your own width for every layer; the sparsity then follows from them."""

    formula = r"k_l \;\text{as given}"
    sets_sparsity = True
    kept: str = option(
        default="",
        help="Neurons kept per layer, first layer first, between commas or spaces",
    )

    def widths(self, known: AllocationInputs, sparsity: float) -> tuple[int, ...]:  # noqa: ARG002
        return self.checked(known.dense_widths)

    def checked(self, dense: tuple[int, ...]) -> tuple[int, ...]:
        """Return the widths, or those of the dense model where none are given.

        Raises:
            OptionError: they are no whole numbers, too many or few, or out of range.
        """
        if not self.kept.strip():
            return dense
        parts = self.kept.replace(",", " ").split()
        if not all(p.isdecimal() and len(p) < 10 for p in parts):
            raise OptionError("kept must be whole numbers between commas or spaces")
        if len(parts) != len(dense):
            raise OptionError(
                f"kept names {len(parts)} widths, and the model has {len(dense)} "
                "layers; give one width for each"
            )
        for layer, (part, d_ff) in enumerate(zip(parts, dense, strict=True)):
            if not 1 <= int(part) <= d_ff:
                raise OptionError(
                    f"kept must lie in [1, {d_ff}] for layer {layer}, got {part}"
                )
        return tuple(int(part) for part in parts)


def cheapest(
    costs: Sensitivity, dense: tuple[int, ...], sparsity: float
) -> tuple[int, ...]:
    """Find the widths of least total cost among those that meet the total exactly.

    Dynamic programming over layers and neurons dropped, in steps of the same size in
    each layer; what is left over goes where it costs least. No layer loses a greater
    share than was measured while another can still lose some: costs do not add up
    where whole layers go.

    Raises:
        LLMRankError: the measurements are of a model with other layers.
    """
    if len(costs.costs) != len(dense):
        raise LLMRankError(
            f"the costs were measured on {len(costs.costs)} layers and the model has "
            f"{len(dense)}; measure again"
        )
    goal = min(n_dropped(sum(dense), sparsity), sum(dense) - len(dense))
    step = max(1, sum(dense) // N_STEPS)
    n_steps = min(goal // step, sum((d - 1) // step for d in dense))
    best = np.full(n_steps + 1, np.inf)
    best[0], taken = 0.0, []
    for layer, d_ff in enumerate(dense):
        n_choices = min((d_ff - 1) // step, n_steps) + 1
        own = [_price(costs, layer, n * step / d_ff) for n in range(n_choices)]
        best, choice = _with_layer(best, np.array(own))
        taken.append(choice)
    dropped = _traced(taken, n_steps, step)
    return _rest(costs, dense, dropped, goal - sum(dropped))


def _price(costs: Sensitivity, layer: int, sparsity: float) -> float:
    beyond = max(0.0, sparsity - costs.sparsities[-1])
    return costs.cost(layer, sparsity) + UNMEASURED * beyond


def _with_layer(best: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add a layer: for every total the least cost, and how much this layer drops."""
    totals = np.full((len(own), len(best)), np.inf)
    for n, cost in enumerate(own):
        totals[n, n:] = best[: len(best) - n] + cost
    choice = totals.argmin(0)
    return totals[choice, np.arange(len(best))], choice


def _traced(taken: list[np.ndarray], goal: int, step: int) -> list[int]:
    """Walk back from the total through the choices of each layer."""
    dropped = []
    for choice in reversed(taken):
        dropped.append(int(choice[goal]) * step)
        goal -= int(choice[goal])
    return dropped[::-1]


def _rest(
    costs: Sensitivity, dense: tuple[int, ...], dropped: list[int], rest: int
) -> tuple[int, ...]:
    """Drop what the steps left over, one neuron at a time, where it costs least."""
    for _ in range(rest):
        more = {
            layer: _price(costs, layer, (n + 1) / d) - _price(costs, layer, n / d)
            for layer, (n, d) in enumerate(zip(dropped, dense, strict=True))
            if n < d - 1
        }
        dropped[min(more, key=more.__getitem__)] += 1
    return tuple(d - n for d, n in zip(dense, dropped, strict=True))
