"""Distillation: the pruned model is taught to predict what the dense one predicts."""

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.methods.recovery.base import (
    RECOVERIES,
    Moment,
    Recovered,
    Recovery,
    RecoveryInputs,
)
from llmrank.methods.recovery.head import Head, last_hidden
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

WARM_UP_STEPS = 8
CLIP = 1.0
BETAS = (0.9, 0.95)
LOOK_EVERY = 1 / 8
"""Of the budget: how often the held-out windows are read."""

NORMS = ("norm", "ln_")
"""What the names of a norm's module have."""


@RECOVERIES.add("distil")
@spec
class Distillation(Recovery):
    """Minimise KL(dense ‖ pruned) of the next token over the weights that stay.

    Head and embeddings are frozen, so that both models meet at the last hidden states.
    Sources: Hinton et al. 2015, arXiv 1503.02531, at temperature 1; Minitron
    (Muralidharan et al. 2024, arXiv 2407.14679) for logits alone after pruning.
    """

    minutes: float = option(
        default=10.0,
        low=0.0,
        high=1440.0,
        help="Budget by the clock; 0: as long as the tokens take",
    )
    tokens: int = option(
        default=0,
        low=0,
        high=10**9,
        help="Budget of tokens trained on; 0: as many as the minutes allow",
    )
    lr: float = option(
        default=4e-4, low=1e-6, high=1e-1, help="Highest learning rate of AdamW"
    )
    batch: int = option(default=2, low=1, high=256, help="Windows in one step")
    trained: Literal["ffn", "ffn+norms", "ffn+norms+attention"] = option(
        default="ffn", help="Which weights are trained; embeddings and head never are"
    )
    seed: int = option(default=0, low=0, help="Order in which the windows are read")

    formula = (
        r"\min_w \frac{1}{n} \sum_t \mathrm{KL}\big(p(\cdot \mid x_{\le t}) "
        r"\,\|\, q_w(\cdot \mid x_{\le t})\big)"
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
        """Train on the windows until the budget is spent."""
        self._check(inputs)
        return _Training(self, pruned, inputs).run(progress, publish, enough)

    def _check(self, inputs: RecoveryInputs) -> None:
        if not self.minutes and not self.tokens:
            raise LLMRankError(
                "distil needs a budget: minutes (up to 1440) or tokens above 0"
            )
        if len(inputs.windows) < self.batch:
            raise LLMRankError(
                f"distil reads {self.batch} windows in a step, and the text gives "
                f"{len(inputs.windows)}; give a longer text or a smaller batch"
            )


class _Training:
    """One training while it runs."""

    def __init__(
        self, spec: Distillation, pruned: LanguageModel, inputs: RecoveryInputs
    ) -> None:
        self._spec, self._inputs = spec, inputs
        self._dense: Any = inputs.dense.model
        self._dtype = next(pruned.model.parameters()).dtype
        self._student: Any = ffn.shared_copy(pruned.model)
        if self._dtype != torch.float32:  # small steps would be rounded away
            self._student = copy.deepcopy(pruned.model).float()
        self._pruned = pruned
        self._head = Head(inputs.dense.model)
        self._weights = list(_trainable(self._student, spec.trained))
        self._optimizer = torch.optim.AdamW(
            self._weights, lr=spec.lr, betas=BETAS, weight_decay=0.0
        )
        batches = inputs.held_out.to(pruned.device).split(spec.batch)
        with torch.no_grad():
            self._held_out = [
                (ids, last_hidden(self._dense, ids).flatten(0, 1)) for ids in batches
            ]
        self._curve: list[Moment] = []
        self._n_tokens = 0
        self._start = time.perf_counter()

    def run(
        self,
        progress: Progress,
        publish: Callable[[Moment], None],
        enough: Callable[[], bool],
    ) -> Recovered:
        best = self._look(math.nan, publish)
        kept, lost, next_look = self._state(), [], LOOK_EVERY
        for step, ids in enumerate(self._batches()):
            done = self._done()
            if done >= 1 or enough():
                break
            for group in self._optimizer.param_groups:
                group["lr"] = self._spec.lr * _rate(step, done)
            lost.append(self._step(ids))
            self._n_tokens += ids.numel()
            done = self._done()
            progress("Distilling", min(1000, round(1000 * done)), 1000)
            if done >= min(1.0, next_look):
                held_out = self._look(sum(lost) / len(lost), publish)
                lost, next_look = [], next_look + LOOK_EVERY
                if held_out < best:
                    best, kept = held_out, self._state()
        if lost and self._look(sum(lost) / len(lost), publish) < best:
            kept = self._state()
        return Recovered(self._model(kept), tuple(self._curve))

    def _step(self, ids: Int[Tensor, "batch pos"]) -> float:
        """Train on one batch; return its divergence before."""
        with torch.no_grad():
            wanted = last_hidden(self._dense, ids).flatten(0, 1)
        with torch.enable_grad():
            reached = last_hidden(self._student, ids)
            lost, gradient = self._head.gradient(wanted, reached.flatten(0, 1))
            if not math.isfinite(lost):
                raise LLMRankError(
                    "the loss is no longer finite; take a smaller lr, or float32"
                )
            reached.backward(gradient.view_as(reached))
        nn.utils.clip_grad_norm_(self._weights, CLIP)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return lost

    @torch.no_grad()
    def _look(self, divergence: float, publish: Callable[[Moment], None]) -> float:
        """Read what is held out, and note the moment."""
        total = 0.0
        for ids, wanted in self._held_out:
            reached = last_hidden(self._student, ids).flatten(0, 1)
            total += self._head.divergence(wanted, reached) * ids.numel()
        held_out = total / self._inputs.held_out.numel()
        elapsed_s = time.perf_counter() - self._start
        moment = Moment(self._n_tokens, elapsed_s, divergence, held_out)
        self._curve.append(moment)
        publish(moment)
        return held_out

    def _batches(self) -> Iterator[Int[Tensor, "batch pos"]]:
        """Draw the windows again and again, each time in another order."""
        generator = torch.Generator().manual_seed(self._spec.seed)
        windows, size = self._inputs.windows, self._spec.batch
        while True:
            order = torch.randperm(len(windows), generator=generator)
            for part in order[: len(order) // size * size].split(size):
                yield windows[part].to(self._pruned.device)

    def _done(self) -> float:
        """Return the share of the budget that is spent, by clock or by tokens."""
        spent_s, spec = time.perf_counter() - self._start, self._spec
        by_clock = spent_s / (60 * spec.minutes) if spec.minutes else 0.0
        by_tokens = self._n_tokens / spec.tokens if spec.tokens else 0.0
        return max(by_clock, by_tokens)

    def _state(self) -> list[Tensor]:
        return [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def _model(self, state: list[Tensor]) -> LanguageModel:
        for weight, best in zip(self._weights, state, strict=True):
            weight.copy_(best)
            weight.requires_grad_(False)
            weight.grad = None
        return dataclasses.replace(self._pruned, model=self._student.to(self._dtype))


def _trainable(model: nn.Module, trained: str) -> Iterator[nn.Parameter]:
    """Give the trained modules weights of their own, which dense does not share."""
    for module in _trained_modules(model, trained):
        for name, weight in list(module.named_parameters(recurse=False)):
            own = nn.Parameter(weight.detach().clone(), requires_grad=True)
            setattr(module, name, own)
            yield own


def _trained_modules(model: nn.Module, trained: str) -> Iterator[nn.Module]:
    inside = [module for p in ffn.projections(model) for module in p.modules]
    yield from inside
    for block in ffn.blocks(model):
        for path, module in block.named_modules():
            kind = _kind(path)
            if module not in inside and kind is not None and kind in trained:
                yield module


def _kind(path: str) -> str | None:
    """Return what a module of a block is part of, by its path in there."""
    if any(part in path.rpartition(".")[2] for part in NORMS):
        return "norms"
    return "attention" if "attn" in path or "attention" in path else None


def _rate(step: int, done: float) -> float:
    """Rise over the first steps, then fall to 0 as a cosine over the budget."""
    rise = min(1.0, (step + 1) / WARM_UP_STEPS)
    return rise * (1 + math.cos(math.pi * min(1.0, done))) / 2
