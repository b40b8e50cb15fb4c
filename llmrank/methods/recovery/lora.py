"""Distillation by low-rank updates, which are merged into the weights at the end."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Moment,
    Recovered,
    RecoveryInputs,
)
from llmrank.methods.recovery.budget import Trained
from llmrank.methods.recovery.distil import copied, trainable
from llmrank.methods.recovery.training import Student, Training
from llmrank.models.language_model import LanguageModel


@RECOVERIES.add("lora")
@spec
class LoRA(Trained):
    """The same divergence over low-rank updates of the FFN weights, merged at the end.

    Sources: Hu et al. 2021, arXiv 2106.09685, Eq. 3, by peft; as a recovery LLM-Pruner
    (Ma et al. 2023, arXiv 2305.11627, section 3.3), whose loss is the text's own
    cross-entropy. Ours is the divergence from dense: on little text the other learns
    the text, which dense would learn as well.
    """

    rank: int = option(default=8, low=1, high=1024, help="Rank of the updates")
    alpha: int = option(
        default=16, low=1, high=4096, help="Updates are scaled by alpha over rank"
    )

    formula = (
        r"\min_{A, B} \frac{1}{n} \sum_t \mathrm{KL}\big(p(\cdot \mid x_{\le t}) "
        r"\,\|\, q_{w + \frac{\alpha}{r} B A}(\cdot \mid x_{\le t})\big)"
    )

    def recover(
        self,
        pruned: LanguageModel,
        inputs: RecoveryInputs,
        *,
        progress: Progress = silent,
        publish: Callable[[Moment], None] = lambda _: None,
        enough: Callable[[], bool] = lambda: False,
    ) -> Recovered:
        """Train the updates until the budget is spent, and add them to the weights."""
        dtype = next(pruned.model.parameters()).dtype
        model = copied(pruned)
        targets = set(map(id, trainable(model, "ffn")))
        tuner = self._tuner(model, targets)
        weights = [w for w in model.parameters() if w.requires_grad]
        training = Training(self.budget, Student(model, weights), inputs)
        training.run(progress, publish, enough)
        merged = tuner.merge_and_unload().to(dtype)
        return Recovered(
            dataclasses.replace(pruned, model=merged),
            tuple(training.curve),
            training.ended,
        )

    def _tuner(self, model: nn.Module, weights: set[int]) -> Any:
        """Put updates beside these weights; all others are frozen."""
        try:
            import peft
        except ImportError as error:
            raise LLMRankError(
                "lora needs peft, which is not installed: pip install peft"
            ) from error
        targets = {
            name: module
            for name, module in model.named_modules()
            if any(id(w) in weights for w in module.parameters(recurse=False))
        }
        config = peft.LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            target_modules=list(targets),
            lora_dropout=0.0,
            fan_in_fan_out=any(isinstance(m, Conv1D) for m in targets.values()),
        )
        with torch.random.fork_rng(devices=[]):  # A is drawn at random, B is 0
            torch.manual_seed(self.seed)
            return peft.LoraModel(model, config, "recovery")
