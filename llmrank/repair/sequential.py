"""Least squares from the first layer on, each seeing what the pruned ones before do."""

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor, nn

from llmrank import ffn
from llmrank.models import LanguageModel
from llmrank.moments import HELD_OUT, Moments, checked
from llmrank.options import option, spec
from llmrank.progress import Progress, silent
from llmrank.pruning import PruningPlan, descending, prune
from llmrank.repair.base import REPAIRS, Basis, Cutter, Repair
from llmrank.repair.least_squares import factor, in_place
from llmrank.walk import StopWalkError, begin_at, entering, through

BATCH_TOKENS = 1024


@REPAIRS.add("least-squares-sequential")
@spec
class SequentialLeastSquares(Repair):
    """Least squares layer by layer, on what the already pruned layers before put out.

    Like `least-squares`, but a layer's neurons are measured on the residual stream of
    the pruned model up to there, not of the dense one. The text is read twice for every
    sparsity; nothing is prepared.

    Source: the layer-by-layer reconstruction of He et al. 2017, arXiv 1707.06168, with
    the asymmetric inputs of Zhang et al. 2016, arXiv 1505.06798.
    """

    name: ClassVar[str] = "least-squares-sequential"
    ridge: float = option(
        default=0.0, low=0, high=100,
        help="λ, the pull towards the old weights, in units of the neurons' second "
        "moments; 0 chooses it per layer by the error on held-out windows",
    )  # fmt: skip

    def cutter(self, basis: Basis, *, progress: Progress = silent) -> Cutter:  # noqa: ARG002
        """Prepare nothing: every plan has a prefix of its own."""

        def cut(plan: PruningPlan, progress: Progress) -> LanguageModel:
            return _walked(basis, plan, self.ridge, progress)

        return cut

    @property
    def formula(self) -> str:
        """What is minimised, on the pruned prefix."""
        return (
            r"\min_{W'} \lVert \tilde X W^\top - \tilde X_k W'^\top \rVert^2 "
            r"+ \lambda \lVert (W' - W_k)\,D^{1/2} \rVert^2, \quad "
            r"\tilde X \text{ after pruned layers}"
        )


@torch.no_grad()
def _walked(
    basis: Basis, plan: PruningPlan, ridge: float, progress: Progress
) -> LanguageModel:
    pruned = prune(basis.lm, plan, progress=progress)
    dense = basis.lm.model
    size = max(1, BATCH_TOKENS // basis.windows.shape[1])
    batches = [b.to(basis.lm.device) for b in basis.windows.split(size)]
    n_held = len(batches) // HELD_OUT
    streams = [entering(dense, ids) for ids in batches]
    views = ffn.ffns(dense)
    downs = [view.down for view in ffn.ffns(pruned.model)]
    model = pruned.model
    for layer, (view, keep) in enumerate(zip(views, plan.keep, strict=True)):
        progress("Repairing layer by layer", layer, len(views))
        if len(keep) < view.d_ff:
            known = _moments(dense, layer, batches, streams, n_held)
            order = descending(basis.scores.layers[layer]).cpu()
            made = factor(known, order, view.down, ridge)
            downs[layer] = in_place(made, view.down, len(keep))
            model = ffn.with_down(pruned.model, downs)
        if layer + 1 < len(views):
            streams = [
                through(model, layer, ids, stream)
                for ids, stream in zip(batches, streams, strict=True)
            ]
    progress("Repairing layer by layer", len(views), len(views))
    return dataclasses.replace(pruned, model=model)


def _moments(
    dense: nn.Module,
    layer: int,
    batches: list[Tensor],
    streams: list[Tensor],
    n_held: int,
) -> Moments:
    """Measure one layer's neurons on given residual streams, the first held out."""
    twin = ffn.twin(dense)
    given, seen = begin_at(twin, layer), []

    def on_down(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].flatten(0, -2).float())
        raise StopWalkError

    ffn.projections(twin)[layer].down.register_forward_pre_hook(on_down)
    sums: list[Tensor | None] = [None, None]
    for number, (ids, stream) in enumerate(zip(batches, streams, strict=True)):
        given[:] = [stream]
        try:
            twin.base_model(ids, use_cache=False)
        except StopWalkError:
            x = seen.pop()
        part = int(number < n_held)
        before = sums[part]
        sums[part] = x.T @ x if before is None else before.addmm_(x.T, x)
    fitted, held_out = sums
    assert fitted is not None
    return checked(layer, fitted, held_out, sum(ids.numel() for ids in batches))
