"""What teaches: the dense model, what it says of a text, and how far a student is."""

import dataclasses
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from llmrank.core.devices import reduces_to_bfloat16
from llmrank.methods.recovery.base import Reading
from llmrank.methods.recovery.budget import Budget
from llmrank.methods.recovery.head import Head, following, last_hidden
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel


@dataclass(eq=False)
class Student:
    """What is trained: a model, and those of its weights that are."""

    model: Any
    weights: list[nn.Parameter]


class Wanted(NamedTuple):
    """A batch of windows, and what dense makes of it."""

    ids: Int[Tensor, "batch pos"]
    hidden: Float[Tensor, "rows d_model"]


class Teacher:
    """The dense model: what it multiplies by is in bfloat16 where that is faster."""

    def __init__(self, dense: LanguageModel) -> None:
        self._device = dense.device
        self._reduces = reduces_to_bfloat16(dense.device)
        self._model: Any = _reduced(dense.model) if self._reduces else dense.model
        self.head = Head(self._model)

    def fast(self) -> AbstractContextManager[Any]:
        """Multiply in bfloat16 where the processor does; weights stay as they are."""
        kind = self._device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self._reduces)

    def wanted(self, ids: Int[Tensor, "batch pos"]) -> Wanted:
        """Return what a student is to reach."""
        with torch.no_grad(), self.fast():
            return Wanted(ids, last_hidden(self._model, ids).flatten(0, 1))

    def read(
        self, windows: Int[Tensor, "n_windows pos"], budget: Budget
    ) -> list[Wanted]:
        """Read a held-out text, or as much as its share of a short budget allows."""
        start, wanted = time.perf_counter(), []
        for ids in windows.to(self._device).split(budget.batch):
            wanted.append(self.wanted(ids))
            if time.perf_counter() - start > budget.most_read_s:
                break
        return wanted

    @torch.no_grad()
    def told(self, student: Any, wanted: Sequence[Wanted]) -> Reading:
        """Say how far a student is on what was read, every window alike."""
        read = []
        for ids, hidden in wanted:
            with self.fast():
                reached = last_hidden(student, ids).flatten(0, 1)
                read.append(self.head.reading(hidden, reached, following(ids)))
        sizes = [len(ids) for ids, _ in wanted]
        columns = zip(*(dataclasses.astuple(one) for one in read), strict=True)
        means = (sum(map(math.prod, zip(c, sizes, strict=True))) for c in columns)
        return Reading(*(mean / sum(sizes) for mean in means))


def _reduced(model: nn.Module) -> nn.Module:
    """Share a model, but what it multiplies by in bfloat16.

    It is cast once then, where autocast casts what is not trained in every product.
    """
    other = ffn.shared_copy(model)
    for module in other.modules():
        if isinstance(module, nn.Linear | Conv1D):
            for name, weight in list(module.named_parameters(recurse=False)):
                less = weight.detach().to(torch.bfloat16)
                setattr(module, name, nn.Parameter(less, requires_grad=False))
    return other
