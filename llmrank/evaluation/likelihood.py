"""Log-likelihoods of continuations, each context read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.data.tokens import encoded, opening
from llmrank.models.language_model import LanguageModel

MAX_LENGTH = 2048
"""Tokens of context and choice at most: what the harness takes where nothing else is
known, and more than any embedded item has."""

BATCH_TOKENS = 2048
BATCH_LOGITS = 2**26
"""In one forward pass at most (256 MB of logits): vocabularies differ twentyfold."""


Tokens = tuple[int, ...]
Parted = tuple[Tokens, Tokens]
"""The tokens of a context, with what stands before every text, and of what follows."""


def log_likelihoods(
    lm: LanguageModel,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_tokens: int | None = None,
    what: str = "Scoring",
    progress: Progress = silent,
) -> Float[Tensor, " n_pairs"]:
    """Sum the log-probabilities of each continuation's tokens after its context.

    Args:
        lm: the model.
        pairs: contexts and their continuations, spaces included.
        batch_tokens: tokens per forward pass; changes the memory, not the result.
        what: the name of the work, for progress and errors.
        progress: called per forward pass; these take about equally long.

    Raises:
        LLMRankError: a pair cannot be parted, or the model's output is not finite.
    """
    sums = []
    for context, continuation in pairs:
        pair = parted(lm, context, continuation)
        if pair is None:
            raise LLMRankError(
                f"{continuation[:40]!r} cannot be scored after {context[-40:]!r}: it "
                f"must have 1 to {_max_length(lm)} tokens of its own for this model, "
                "after at least one of the context"
            )
        sums.append(pair)
    return scored(lm, sums, batch_tokens=batch_tokens, what=what, progress=progress)


def parted(lm: LanguageModel, context: str, continuation: str) -> Parted | None:
    """Encode a pair and part it; None where that leaves nothing on a side, or too much.

    Encoded together, as lm-evaluation-harness does (`TemplateLM._encode_pair`); the
    continuation begins with the first token that the context alone has not, so that a
    token that both share is its own. Spaces that end the context are the
    continuation's. What is too long is cut on the left.
    """
    whole, head = encoded(lm, context + continuation), encoded(lm, context.rstrip())
    same = n_shared(whole, head)
    before, tail = opening(lm), tuple(whole[same:])
    room = _max_length(lm) + 1 - len(before) - len(tail)  # the last is never read
    if not tail or min(same, room) < 1:
        return None
    return (*before, *whole[max(0, same - room) : same]), tail


@torch.inference_mode()
def scored(
    lm: LanguageModel,
    pairs: Sequence[Parted],
    *,
    batch_tokens: int | None = None,
    what: str = "Scoring",
    progress: Progress = silent,
) -> Float[Tensor, " n_pairs"]:
    """Sum the log-probabilities of tokens after those of their contexts.

    Continuations of one context lie side by side in one row, each seeing the context
    and itself: the same numbers as pair by pair, and up to three times fewer tokens
    read. Softmax in float32, sums in float64. For the rest see `log_likelihoods`.

    Raises:
        LLMRankError: the model's output is not finite.
    """
    rows = _rows(pairs)
    size = batch_tokens or min(BATCH_TOKENS, BATCH_LOGITS // lm.config.vocab_size)
    sums = torch.zeros(len(pairs), dtype=torch.float64)
    for batch in track(_batches(rows, size), what, progress):
        numbers, likelihoods = _predicted(lm, batch)
        sums.index_add_(0, numbers, likelihoods)
    if not sums.isfinite().all():
        raise LLMRankError(
            f"{what}: {lm.spec.name} gives log-likelihoods that are not finite; "
            "it overflows here: use float32, or check its weights"
        )
    return sums


@dataclass(frozen=True)
class _Row:
    """A context and its continuations (with the number of their pair), not empty."""

    context: Tokens
    continuations: tuple[tuple[int, Tokens], ...]

    def read(self) -> Iterator[tuple[int, int, int]]:
        """Yield (token, position, segment): 0 is the context's, then one for each.

        The last token of a continuation is predicted and never read.
        """
        yield from ((token, i, 0) for i, token in enumerate(self.context))
        for segment, (_, tokens) in enumerate(self.continuations, start=1):
            for i, token in enumerate(tokens[:-1], start=len(self.context)):
                yield token, i, segment

    def predicted(self) -> Iterator[tuple[int, int, int]]:
        """Yield (number of the pair, place that predicts, token predicted)."""
        free = len(self.context)
        for number, tokens in self.continuations:
            yield number, len(self.context) - 1, tokens[0]
            for place, token in enumerate(tokens[1:], start=free):
                yield number, place, token
            free += len(tokens) - 1

    def __len__(self) -> int:
        return len(self.context) + sum(len(t) - 1 for _, t in self.continuations)


def n_shared(a: Sequence[object], b: Sequence[object]) -> int:
    """Return how many tokens, or words, two begin with alike."""
    pairs = zip(a, b, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _max_length(lm: LanguageModel) -> int:
    """Stay inside a sliding window too: the mask of shared contexts has none."""
    names = ("max_position_embeddings", "sliding_window")
    limits = (getattr(lm.config, name, None) for name in names)
    return min([MAX_LENGTH, *(limit for limit in limits if limit)])


def _rows(pairs: Sequence[Parted]) -> list[_Row]:
    """Gather the continuations of each context; the longest row first."""
    shared: dict[Tokens, list[tuple[int, Tokens]]] = {}
    for number, (context, continuation) in enumerate(pairs):
        shared.setdefault(context, []).append((number, continuation))
    rows = [_Row(context, tuple(targets)) for context, targets in shared.items()]
    return sorted(rows, key=len, reverse=True)


def _batches(rows: Sequence[_Row], batch_tokens: int) -> list[list[_Row]]:
    """Cut rows of falling length into batches of at most so many tokens, padded."""
    batches: list[list[_Row]] = []
    for row in rows:
        if batches and (len(batches[-1]) + 1) * len(batches[-1][0]) <= batch_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _predicted(
    lm: LanguageModel, batch: Sequence[_Row]
) -> tuple[Int[Tensor, " n_tokens"], Float[Tensor, " n_tokens"]]:
    """Return the pair's number and the log-probability of each predicted token."""
    first = min(len(row.context) for row in batch) - 1
    logits = _logits(lm, batch, first).float()
    places = [(i, *p) for i, row in enumerate(batch) for p in row.predicted()]
    line, numbers, place, token = torch.tensor(places, device=lm.device).unbind(1)
    at = (line, place - first)
    likelihoods = logits[*at, token] - logits.logsumexp(-1)[at]
    return numbers.cpu(), likelihoods.cpu().double()


def _logits(
    lm: LanguageModel, batch: Sequence[_Row], first: int
) -> Float[Tensor, "batch pos d_vocab"]:
    """Run the model; its head works from place `first` on only."""
    width = max(map(len, batch))
    padding = (0, 0, -1)
    read = [[*row.read(), *[padding] * (width - len(row))] for row in batch]
    tokens, positions, segments = torch.tensor(read, device=lm.device).unbind(-1)
    return lm.model(
        input_ids=tokens,
        position_ids=positions,
        attention_mask=_mask(segments, next(lm.model.parameters()).dtype),
        logits_to_keep=torch.arange(first, width, device=lm.device),
        use_cache=False,
    ).logits


def _mask(
    segments: Int[Tensor, "batch pos"], dtype: torch.dtype
) -> Float[Tensor, "batch 1 pos pos"]:
    """Let each token see the context and its own segment before it, itself included.

    Added to the attention's logits: every attention of transformers takes such a mask
    as it is.
    """
    of_context = segments[:, None, :] == 0
    own = segments[:, None, :] == segments[:, :, None]
    seen = torch.tril(of_context | own)
    hidden = torch.finfo(dtype).min
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, hidden)[:, None]
