"""The tokens that a neuron's output direction promotes and suppresses."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmrank.analysis.neuron.neuron import Neuron, check, check_count
from llmrank.analysis.neuron.tokens import is_text, token_strings
from llmrank.core.errors import LLMRankError
from llmrank.methods.pruning import descending
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel

HEAD_ROWS = 8192
"""Rows of the unembedding taken to float32 at a time."""


@dataclass(frozen=True)
class TokenLogit:
    """A token and what the neuron's direct path adds to its logit, all else equal."""

    token_id: int
    token: str
    value: float


@dataclass(frozen=True)
class Promoted:
    """The tokens raised most and lowered most by a positive activation.

    A negative activation, which a gated neuron has as well, swaps the two.
    `final_norm` is False where the model has none.
    """

    promoted: tuple[TokenLogit, ...]
    suppressed: tuple[TokenLogit, ...]
    final_norm: bool


@torch.inference_mode()
def promoted(
    lm: LanguageModel, neuron: Neuron, n: int = 10, *, readable: bool = False
) -> Promoted:
    """Read a neuron's column of `down` through the final norm and the unembedding.

    `value = U (w ⊙ d)`, less its mean over the vocabulary, which no softmax sees: the
    logits per unit of activation if the residual stream has the scale 1. `w` is the
    final norm's weight (before it, of a norm between FFN and residual, where a family
    has one); a norm that centres centres `d` first.

    An estimate of the direct path only. Ignored: the norms' division by the scale of
    the real residual stream, which differs from token to token, all later layers, and
    constants of the head that keep the order (logit scale, soft cap, bias).

    Where they are to be `readable`, blanks and parts of characters are passed over.

    Raises:
        OptionError: no such neuron, or n below 1.
        LLMRankError: the model has no output head on its residual stream.

    Source: Geva et al. 2022, arXiv 2203.14680, section 3 (value vectors read in the
    vocabulary); the norm as in nostalgebraist 2020, "interpreting GPT: the logit lens".
    """
    views = ffn.ffns(lm.model)
    check(neuron, [v.d_ff for v in views])
    check_count("n", n)
    direction = views[neuron.layer].down[:, neuron.index].float()
    for norm in _norms(lm.model, neuron.layer):
        direction = through(norm, direction)
    logits = _unembedded(lm, direction)
    order = descending(logits).tolist()
    return Promoted(
        promoted=tuple(islice(_listed(lm.tokenizer, logits, order, readable), n)),
        suppressed=tuple(
            islice(_listed(lm.tokenizer, logits, order[::-1], readable), n)
        ),
        final_norm=_final_norm(lm.model) is not None,
    )


def through(
    norm: nn.Module, direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """Apply what a norm does to a direction besides dividing by a scale.

    The norm is asked, not read, since families store weights differently (Gemma: less
    one, OLMo: none). Entries of ±1 have the scale 1, so that half the difference of
    its answers to them and to their negatives is its weight; a norm that centres
    answers nothing to a constant.
    """
    like = next(norm.parameters(), direction)
    signs = torch.ones_like(direction, dtype=like.dtype)
    constant = _odd_part(norm, signs)
    signs[1::2] = -1
    weight = _odd_part(norm, signs) * signs.float()
    centres = bool((constant.abs() < 1e-3 * weight.abs()).all())
    return weight * (direction - direction.mean() if centres else direction)


def _odd_part(norm: nn.Module, x: Tensor) -> Tensor:
    """Leave a bias out: it is what the answers to x and to −x have in common."""
    return (norm(x).float() - norm(-x).float()) / 2


def _norms(model: Any, layer: int) -> tuple[nn.Module, ...]:
    """List the norms from an FFN's output to the head (attention's aside)."""
    own = getattr(ffn.blocks(model)[layer], ffn.family(model).after_norm, None)
    return tuple(norm for norm in (own, _final_norm(model)) if norm is not None)


def _final_norm(model: Any) -> nn.Module | None:
    holder, _, name = ffn.family(model).norm.rpartition(".")
    return getattr(model.get_submodule(holder), name, None)


def _unembedded(lm: LanguageModel, direction: Tensor) -> Float[Tensor, " _"]:
    """Return each token's logit less the mean; ids without a token are left out."""
    head: Any = lm.model.get_output_embeddings()
    if head is None or head.weight.shape[1] != len(direction):
        raise LLMRankError(
            f"{lm.spec.name} has no output head directly on its residual stream, so "
            "its neurons cannot be read as tokens; the other panels work"
        )
    rows = head.weight[: len(lm.tokenizer)].split(HEAD_ROWS)
    logits = torch.cat([r.float() @ direction.to(r.device) for r in rows]).cpu()
    return logits - logits.mean()


def _listed(
    tokenizer: Any, logits: Tensor, ids: list[int], readable: bool
) -> Iterator[TokenLogit]:
    for i in ids:
        (text,) = token_strings(tokenizer, [i])
        if is_text(text) or not readable:
            yield TokenLogit(i, text, float(logits[i]))
