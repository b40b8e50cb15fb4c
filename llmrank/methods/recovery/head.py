"""The divergence of two models that share their head, and its gradient.

Neither model's logits are ever held for more than a few rows.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from llmrank.models import ffn

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
    def divergence(
        self,
        dense: Float[Tensor, "rows d_model"],
        pruned: Float[Tensor, "rows d_model"],
    ) -> float:
        """Return the mean KL divergence, dense from pruned, in nats per row."""
        pairs = zip(dense.split(ROWS), pruned.split(ROWS), strict=True)
        return sum(float(self._lost(*pair)) for pair in pairs) / len(dense)

    def gradient(
        self,
        dense: Float[Tensor, "rows d_model"],
        pruned: Float[Tensor, "rows d_model"],
    ) -> tuple[float, Float[Tensor, "rows d_model"]]:
        """Return the divergence and its gradient by `pruned`."""
        total, gradients = 0.0, []
        for theirs, own in zip(dense.split(ROWS), pruned.split(ROWS), strict=True):
            hidden = own.detach().requires_grad_()
            with torch.enable_grad():
                lost = self._lost(theirs, hidden)
            gradients += torch.autograd.grad(lost, hidden)
            total += float(lost.detach())
        return total / len(dense), torch.cat(gradients) / len(dense)

    def _lost(self, dense: Tensor, pruned: Tensor) -> Tensor:
        """Sum the divergences of a few rows.

        Source: Hinton et al. 2015, arXiv 1503.02531, Eq. 2 at temperature 1.
        """
        with torch.no_grad():
            wanted = self.log_probs(dense)
        return nn.functional.kl_div(
            self.log_probs(pruned), wanted, reduction="sum", log_target=True
        )


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
