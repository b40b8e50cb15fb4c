"""No repair, and the repair that shifts each layer's output by a constant."""

import dataclasses
from functools import partial

import torch

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import spec
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.methods.repair.base import REPAIRS, Cut, Repair, RepairInputs
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@REPAIRS.add("none")
@spec
class NoRepair(Repair):
    """The weights that stay are left as they are."""

    formula = r"W'_{\text{down}} = W_{\text{down}}[:, \text{kept}]"

    def cutter(self, inputs: RepairInputs, *, progress: Progress = silent) -> Cut:  # noqa: ARG002
        def cut(plan: PruningPlan, progress: Progress) -> LanguageModel:
            return prune(inputs.lm, plan, progress=progress)

        return cut


@REPAIRS.add("bias")
@spec
class Bias(Repair):
    """What the cut neurons added on average is added as a constant.

    Source: An et al. 2023, arXiv 2312.11983 (FLAP), Eq. 4-5.
    """

    formula = r"b' = b + \sum_{j \,\text{cut}} w_j\,\bar x_j"

    def check(self, lm: LanguageModel) -> None:
        """Refuse architectures whose FFN output has no bias and cannot be given one."""
        if not ffn.can_have_bias(lm.model):
            raise LLMRankError(
                f"repair bias needs a bias at the FFN's output, and models of type "
                f"{lm.config.model_type} have none that a checkpoint could hold; "
                "repair least-squares changes only weights that are there"
            )

    def cutter(self, inputs: RepairInputs, *, progress: Progress = silent) -> Cut:  # noqa: ARG002
        self.check(inputs.lm)
        return partial(_with_means, inputs)


@torch.no_grad()
def _with_means(
    inputs: RepairInputs, plan: PruningPlan, progress: Progress
) -> LanguageModel:
    pruned = prune(inputs.lm, plan, progress=progress)
    shifts = []
    for view, stats, drop in zip(
        ffn.ffns(inputs.lm.model), inputs.stats.layers, plan.drop, strict=True
    ):
        columns = view.down.index_select(1, drop.to(view.down.device)).float()
        shifts.append(columns @ stats.neuron_mean[drop].to(columns))
    return dataclasses.replace(pruned, model=ffn.shifted(pruned.model, shifts))
