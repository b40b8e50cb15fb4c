"""The divergence of two models that share their head, and its gradient.

Neither model's logits are ever held for more than a few rows.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from llmrank.methods.recovery.base import Loss, Reading
from llmrank.models import ffn

Hidden = Float[Tensor, "rows d_model"]
Targets = Int[Tensor, " rows"]

NOTHING = -100
"""What torch leaves out of a loss."""

ROWS = 128
"""Positions whose logits are held at once: 25 MB of a vocabulary of 50,000."""


class Head:
    """What a model computes from its last hidden states: logits, scaled as it does."""

    def __init__(self, model: nn.Module) -> None:
        self._twin: Any = ffn.shared_copy(model)
        self._twin.set_submodule(self._twin.base_model_prefix, _Given())

    def log_probs(
        self, hidden: Float[Tensor, "rows d_model"]
    ) -> Float[Tensor, "rows d_vocab"]:
        """Return the log-probabilities of the next token, in float32."""
        given = hidden[None].to(next(self._twin.parameters()).dtype)
        logits = self._twin(inputs_embeds=given, use_cache=False).logits[0]
        return logits.float().log_softmax(-1)

    @torch.no_grad()
    def reading(self, dense: Hidden, pruned: Hidden, targets: Targets) -> Reading:
        """Compare what the two say of each position, and of the token that came."""
        parts = zip(*(t.split(ROWS) for t in (dense, pruned, targets)), strict=True)
        sums = [self._sums(*part) for part in parts]
        return _mean([tuple(map(float, some)) for some in sums], targets)

    def gradient(
        self, dense: Hidden, pruned: Hidden, targets: Targets, loss: Loss = "kl"
    ) -> tuple[Reading, Float[Tensor, "rows d_model"]]:
        """Return the same, and the gradient of the loss by `pruned`."""
        parts = zip(*(t.split(ROWS) for t in (dense, pruned, targets)), strict=True)
        sums, gradients = [], []
        for theirs, own, wanted in parts:
            hidden = own.detach().requires_grad_()
            with torch.enable_grad():
                read = self._sums(theirs, hidden, wanted)
                lost = read[0] if loss == "kl" else read[2]
            gradients += torch.autograd.grad(lost, hidden)
            sums.append(tuple(float(value.detach()) for value in read))
        n = len(dense) if loss == "kl" else int((targets != NOTHING).sum())
        return _mean(sums, targets), torch.cat(gradients) / n

    def _sums(
        self, dense: Tensor, pruned: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Sum over a few rows the divergence, and both negative log-likelihoods.

        Source: Hinton et al. 2015, arXiv 1503.02531, Eq. 2 at temperature 1.
        """
        with torch.no_grad():
            wanted = self.log_probs(dense)
        reached = self.log_probs(pruned)
        lost = nn.functional.kl_div(reached, wanted, reduction="sum", log_target=True)
        nll = (
            nn.functional.nll_loss(said, targets, reduction="sum")
            for said in (wanted, reached)
        )
        return (lost, *nll)


def _mean(sums: Sequence[tuple[float, ...]], targets: Tensor) -> Reading:
    n_rows, n_told = len(targets), int((targets != NOTHING).sum())
    lost, dense, pruned = (sum(column) for column in zip(*sums, strict=True))
    return Reading(lost / n_rows, dense / n_told, pruned / n_told)


def following(ids: Int[Tensor, "batch pos"]) -> Targets:
    """Return the token that follows each position, row by row; none follows the last.

    Returns:
        As many as `ids`, one after another.
    """
    after = torch.full_like(ids, NOTHING)
    after[:, :-1] = ids[:, 1:]
    return after.flatten()


def last_hidden(
    model: Any, ids: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos d_model"]:
    """Return what the head is given, after the last norm."""
    hidden: Tensor = model.base_model(ids, use_cache=False).last_hidden_state
    return hidden


class _Given(nn.Module):
    """Stands where the blocks were: what it is given is what they have computed."""

    @property
    def decoder(self) -> nn.Module:
        """What OPT's head asks in place of the model."""
        return self

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> Any:
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=inputs_embeds
        )
