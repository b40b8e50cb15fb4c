"""Least squares: the kept columns of `down` take over what the cut ones contributed."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.calibration.second_moments import Moments, has_room
from llmrank.core.devices import with_doubles
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.pruning import PruningPlan, descending, prune
from llmrank.methods.repair.base import REPAIRS, Cut, Repair, RepairInputs
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

RIDGES = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)
"""Candidates for λ."""

OWN = 0.25
"""How much of a neuron's penalty goes with its own second moment, not with the mean."""

CHOSEN_AT = 0.3
"""The sparsity at which λ is chosen by the error on held-out tokens."""


@dataclass(frozen=True, eq=False)
class Factor:
    """The Cholesky factor of one layer's regularised second moments, by score.

    The factor of a leading block is the leading block of the factor, so that one
    factor serves every number of kept neurons.
    """

    order: Int[Tensor, " d_ff"]
    lower: Float[Tensor, "d_ff d_ff"]
    ridge: float

    def solve(
        self, down: Float[Tensor, "d_model d_ff"], n_kept: int
    ) -> Float[Tensor, "d_model n_kept"]:
        """Return the repaired columns of the first `n_kept` neurons in the order.

        With A = L Lᵀ, blocks k (kept) and r (removed), the solution of
        `A_kk X = A_kk D_kᵀ + A_kr D_rᵀ` is `D_kᵀ + L_kk⁻ᵀ (L_rkᵀ D_rᵀ)`.
        """
        kept, removed = self.order[:n_kept], self.order[n_kept:]
        own = down[:, kept.to(down.device)].float()
        gone = down[:, removed.to(down.device)].float()
        lower = self.lower.to(down.device)
        load = lower[n_kept:, :n_kept].T @ gone.T
        shift = torch.linalg.solve_triangular(
            lower[:n_kept, :n_kept].T, load, upper=True
        )
        return own + shift.T


@REPAIRS.add("least-squares")
@spec
class LeastSquares(Repair):
    """The kept output weights are refitted so that the layer's output changes least.

    For every layer, on calibration tokens: the `down` weights of the kept neurons that
    come closest, in the least squares, to what all neurons put out. Regularised
    towards the weights they had; the strength is chosen per layer by the error on
    calibration windows that were held out.

    Source: the linear reconstruction of He et al. 2017, arXiv 1707.06168 (Eq. 3), as
    used for language models by SlimGPT (arXiv 2412.18110) among others.
    """

    solves: ClassVar[bool] = True
    formula = (
        r"\min_{W'} \lVert X W^\top - X_k W'^\top \rVert^2 "
        r"+ \lambda \lVert (W' - W_k)\,D^{1/2} \rVert^2, \quad "
        r"D = \tfrac14 \operatorname{diag} X_k^\top X_k + \tfrac34 \bar d\, I"
    )
    ridge: float = option(
        default=0.0, low=0, high=100,
        help="λ, the pull towards the old weights, in units of the neurons' second "
        "moments; 0 chooses it per layer by the error on held-out windows",
    )  # fmt: skip

    def cutter(self, inputs: RepairInputs, *, progress: Progress = silent) -> Cut:
        """Factor every layer once, where memory holds the factors."""
        held = has_room(inputs.lm)

        def read() -> tuple[Factor, ...]:
            return tuple(self._factors(inputs, progress))

        factors = inputs.keep("factors", read) if held else ()

        def cut(plan: PruningPlan, progress: Progress) -> LanguageModel:
            # where nothing could be held, the text is read again for every cut
            own = iter(factors) if held else self._factors(inputs, progress)
            return _solved(inputs, plan, own, progress)

        return cut

    def _factors(self, inputs: RepairInputs, progress: Progress) -> Iterator[Factor]:
        read = inputs.moments(progress=progress)
        layers = zip(ffn.ffns(inputs.lm.model), inputs.scores.layers, read, strict=True)
        for view, scores, known in layers:
            yield factor(known, descending(scores).cpu(), view.down, self.ridge)


def factor(
    known: Moments,
    order: Int[Tensor, " d_ff"],
    down: Float[Tensor, "d_model d_ff"],
    ridge: float = 0.0,
) -> Factor:
    """Factor a layer's second moments in an order of its neurons, those kept in front.

    `ridge` is λ in units of the diagonal; 0 chooses it.

    Raises:
        LLMRankError: the matrix is singular even so.
    """
    chosen = ridge or _chosen_ridge(known, order, down)
    return _factored(known.total, order, chosen)


def penalty(moments: Float[Tensor, " n"], ridge: float) -> Float[Tensor, " n"]:
    """Return what the diagonal grows by; 1 where no neuron ever fired."""
    if not moments.any():
        return torch.ones_like(moments)
    return ridge * (OWN * moments + (1 - OWN) * moments.mean())


def _chosen_ridge(known: Moments, order: Tensor, down: Tensor) -> float:
    """Take the λ of least error on held-out tokens; without any, the mean diagonal."""
    if known.held_out is None:
        return RIDGES[-1]
    n_kept = max(1, round((1 - CHOSEN_AT) * len(order)))
    held_out = known.held_out[order][:, order].to(down.device)

    def error(ridge: float) -> float:
        solved = _factored(known.fitted, order, ridge).solve(down, n_kept)
        difference = down[:, order.to(down.device)].float()
        difference[:, :n_kept] -= solved
        return float(((difference @ held_out) * difference).sum())

    return min(RIDGES, key=error)


def _factored(gram: Tensor, order: Tensor, ridge: float) -> Factor:
    neurons = order.to(gram.device)
    matrix = with_doubles(gram[neurons][:, neurons]).double()
    matrix.diagonal().add_(penalty(matrix.diagonal().clone(), ridge))
    lower, info = torch.linalg.cholesky_ex(matrix)
    if int(info) or not lower.isfinite().all():
        raise LLMRankError(
            f"the second moments are singular with ridge {ridge:g}; choose a larger "
            "ridge, more calibration text, or repair none"
        )
    return Factor(order, lower.float(), ridge)


@torch.no_grad()
def _solved(
    inputs: RepairInputs,
    plan: PruningPlan,
    factors: Iterator[Factor],
    progress: Progress,
) -> LanguageModel:
    """Cut, and give each layer the repaired columns of the neurons it keeps."""
    pruned = prune(inputs.lm, plan, progress=progress)
    views = ffn.ffns(inputs.lm.model)
    downs = []
    for done, (view, keep) in enumerate(zip(views, plan.keep, strict=True)):
        progress("Repairing the layers", done, len(views))
        made, n_kept = next(factors), len(keep)
        if n_kept < view.d_ff:
            ascending = torch.argsort(made.order[:n_kept]).to(view.down.device)
            solved = made.solve(view.down, n_kept)[:, ascending]
            downs.append(solved.to(view.down.dtype))
        else:
            downs.append(view.down)
    progress("Repairing the layers", len(views), len(views))
    return dataclasses.replace(pruned, model=ffn.with_down(pruned.model, downs))
