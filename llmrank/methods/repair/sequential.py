"""Least squares from the first layer on, each seeing what the pruned ones before do."""

import dataclasses
import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmrank.calibration.activations import BATCH_TOKENS
from llmrank.calibration.residual_stream import entering, watched
from llmrank.calibration.second_moments import HELD_OUT
from llmrank.core.devices import with_doubles
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.methods.repair.base import REPAIRS, Cut, Repair, RepairInputs
from llmrank.methods.repair.least_squares import RIDGES, LeastSquares, penalty
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@REPAIRS.add("least-squares-sequential")
@spec
class SequentialLeastSquares(Repair):
    """Least squares layer by layer, each making up for the pruned layers before it.

    Like `least-squares`, but a layer's neurons are measured on the residual stream of
    the pruned model up to there. Its output is fitted to the dense layer's on that
    stream, moved towards what brings the stream back to the dense model's. The text is
    read three times for every sparsity; nothing is prepared.

    Source: the layer-by-layer reconstruction of He et al. 2017, arXiv 1707.06168, with
    the asymmetric targets of Zhang et al. 2016, arXiv 1505.06798.
    """

    reads: ClassVar[int] = 3
    ridge: float = option(
        default=0.0, low=0, high=100,
        help="λ, the pull towards the old weights, in units of the neurons' second "
        "moments; 0 chooses it per layer by the error on held-out windows",
    )  # fmt: skip
    correct: float = option(
        default=1.0, low=0, high=1,
        help="How much of the error of the layers before is corrected: 1 aims at the "
        "dense residual stream, 0 at the dense layer alone",
    )  # fmt: skip

    @property
    def on_trial(self) -> Repair:
        """What comes to the same in the first layer that is cut, from factors."""
        return LeastSquares(ridge=self.ridge)

    def check(self, lm: LanguageModel) -> None:
        """Refuse to correct where a norm stands between the FFN and the stream."""
        after_norm = ffn.family(lm.model).after_norm
        if self.correct and hasattr(ffn.blocks(lm.model)[0], after_norm):
            raise LLMRankError(
                f"models of type {lm.config.model_type} have a norm after the FFN, so "
                "that earlier errors cannot be corrected in its weights; set correct 0"
            )

    def cutter(self, inputs: RepairInputs, *, progress: Progress = silent) -> Cut:  # noqa: ARG002
        """Prepare nothing: every plan has a prefix of its own."""
        self.check(inputs.lm)

        def cut(plan: PruningPlan, progress: Progress) -> LanguageModel:
            return _LayerByLayer(inputs, plan, self).done(progress)

        return cut

    @property
    def formula(self) -> str:
        return (
            r"\min_{W'} \lVert \tilde X W^\top "
            rf"+ {self.correct:g}\,(H - \tilde H) - \tilde X_k W'^\top \rVert^2 "
            r"+ \lambda \lVert (W' - W_k)\,D^{1/2} \rVert^2"
        )


@dataclass(frozen=True, eq=False)
class Sums:
    """`Σ x xᵀ` and `Σ x yᵀ` over tokens: neurons as they are, outputs as wanted."""

    gram: Float[Tensor, "n_kept n_kept"]
    cross: Float[Tensor, "n_kept d_model"]

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.gram + other.gram, self.cross + other.cross)

    def solve(
        self, old: Float[Tensor, "d_model n_kept"], ridge: float
    ) -> Float[Tensor, "d_model n_kept"]:
        """Return the weights of least error, pulled towards the old ones."""
        gram, cross = (with_doubles(x).double() for x in (self.gram, self.cross))
        pull = penalty(gram.diagonal(), ridge)
        right = cross + pull[:, None] * with_doubles(old).double().T
        solved = torch.linalg.solve(gram + pull.diag(), right)
        return solved.T.to(old)

    def error(self, weights: Float[Tensor, "d_model n_kept"]) -> float:
        """Return the squared error of weights on these tokens, up to a constant."""
        fitted = ((weights @ self.gram) * weights).sum()
        return float(fitted - 2 * (weights.T * self.cross).sum())


class _LayerByLayer:
    """The residual streams of both models, and the pruned one's weights so far."""

    def __init__(
        self, inputs: RepairInputs, plan: PruningPlan, spec: SequentialLeastSquares
    ) -> None:
        self._inputs, self._plan, self._spec = inputs, plan, spec
        self._dense = inputs.lm.model
        n_windows, seq_len = inputs.windows.shape
        size = max(1, min(BATCH_TOKENS // seq_len, n_windows // HELD_OUT))
        self._batches = [b.to(inputs.lm.device) for b in inputs.windows.split(size)]
        self._streams = [entering(self._dense, ids) for ids in self._batches]
        self._wanted = list(self._streams)

    @torch.inference_mode()
    def done(self, progress: Progress) -> LanguageModel:
        pruned = prune(self._inputs.lm, self._plan, progress=progress)
        downs = [view.down for view in ffn.ffns(pruned.model)]
        views, moved = ffn.ffns(self._dense), False
        for layer, (view, keep) in enumerate(zip(views, self._plan.keep, strict=True)):
            progress("Repairing layer by layer", layer, len(views))
            self._wanted = self._passed(self._dense, layer, self._wanted)
            is_cut = len(keep) < view.d_ff
            moved = moved or is_cut
            if is_cut or (moved and self._spec.correct):
                downs[layer] = self._fitted(view.down, layer, keep)
            model = ffn.with_down(pruned.model, downs)
            self._streams = self._passed(model, layer, self._streams)
        progress("Repairing layer by layer", len(views), len(views))
        with torch.no_grad():  # weights of inference mode would break autograd
            own = [down.clone() for down in downs]
            return dataclasses.replace(pruned, model=ffn.with_down(pruned.model, own))

    def _passed(
        self, model: nn.Module, layer: int, streams: Sequence[Tensor]
    ) -> list[Tensor]:
        pairs = zip(self._batches, streams, strict=True)
        return [watched(model, layer, ids, stream)[2] for ids, stream in pairs]

    def _fitted(self, down: Tensor, layer: int, keep: Int[Tensor, " n"]) -> Tensor:
        """Choose λ on held-out tokens, then solve on all."""
        old = down[:, keep.to(down.device)].float()
        n_held = len(self._batches) // HELD_OUT
        held = [self._sums(layer, keep, i) for i in range(n_held)]
        fits = [self._sums(layer, keep, i) for i in range(n_held, len(self._batches))]
        fitted = _total(fits)
        ridge = self._spec.ridge
        if held and not ridge:
            test = _total(held)
            ridge = min(RIDGES, key=lambda r: test.error(fitted.solve(old, r)))
        solved = _total([fitted, *held]).solve(old, ridge or RIDGES[-1])
        if not solved.isfinite().all():
            raise LLMRankError(
                f"layer {layer} cannot be repaired: its activations overflow; use "
                "float32, or choose repair none"
            )
        return solved.to(down.dtype)

    def _sums(self, layer: int, keep: Tensor, batch: int) -> Sums:
        ids, stream = self._batches[batch], self._streams[batch]
        x, y, own = watched(self._dense, layer, ids, stream)
        bias = ffn.ffns(self._dense)[layer].down_bias
        goal = (y if bias is None else y - bias).flatten(0, -2).float()
        if self._spec.correct:
            missing = (self._wanted[batch] - own).flatten(0, -2).float()
            name = ffn.family(self._dense).residual_scale
            scale = getattr(ffn.blocks(self._dense)[layer], name, 1.0)
            goal = goal + self._spec.correct / scale * missing
        kept = x.flatten(0, -2).float()[:, keep.to(x.device)]
        return Sums(kept.T @ kept, kept.T @ goal)


def _total(sums: Iterable[Sums]) -> Sums:
    return functools.reduce(operator.add, sums)
