"""One prompt continued by a model, greedily, token by token."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.data.tokens import encoded, fitting, opening
from llmrank.evaluation.likelihood import n_shared
from llmrank.models.language_model import LanguageModel

MAX_PROMPT_TOKENS = 1024


@dataclass(frozen=True)
class Continuations:
    """What two models write after one prompt, as far as they got."""

    prompt: str
    dense: str = ""
    pruned: str = ""

    @property
    def shared_words(self) -> int:
        """The number of words with which both begin."""
        return n_shared(self.dense.split(), self.pruned.split())


def continuations(
    dense: LanguageModel,
    pruned: LanguageModel,
    prompt: str,
    *,
    new_tokens: int = 40,
    progress: Progress = silent,
    publish: Callable[[Continuations], None] = lambda _: None,
) -> Continuations:
    """Let both models continue a prompt, the dense one first; see `continuation`.

    Raises:
        LLMRankError: the prompt is empty or too long.
    """
    first = continuation(
        dense,
        prompt,
        new_tokens=new_tokens,
        progress=progress,
        publish=lambda text: publish(Continuations(prompt, text)),
    )
    second = continuation(
        pruned,
        prompt,
        new_tokens=new_tokens,
        progress=progress,
        publish=lambda text: publish(Continuations(prompt, first, text)),
    )
    return Continuations(prompt, first, second)


@torch.inference_mode()
def continuation(
    lm: LanguageModel,
    prompt: str,
    *,
    new_tokens: int = 40,
    progress: Progress = silent,
    publish: Callable[[str], None] | None = None,
) -> str:
    """Return what the model writes after the prompt, stopping at the end of text.

    Greedy: the most likely token each time, so dense and pruned can be compared. Of a
    model's positions at most half are left to new tokens.

    Raises:
        LLMRankError: the prompt is empty or too long.
    """
    ids, room = encoded(lm, prompt), fitting(lm, MAX_PROMPT_TOKENS + new_tokens)
    new_tokens = min(new_tokens, room // 2)
    limit = min(MAX_PROMPT_TOKENS, room - new_tokens)
    if not 1 <= len(ids) <= limit:
        raise LLMRankError(
            f"the prompt must have 1 to {limit} tokens (for {new_tokens} new ones), "
            f"got {len(ids)}"
        )
    read = [[*opening(lm), *ids]]
    tokens, cache, written = torch.tensor(read, device=lm.device), None, []
    for done in range(new_tokens):
        progress("Writing a continuation", done, new_tokens)
        output = lm.model(tokens, past_key_values=cache, use_cache=True)
        tokens, cache = output.logits[:, -1:].argmax(-1), output.past_key_values
        if int(tokens) == lm.tokenizer.eos_token_id:
            break
        written.append(int(tokens))
        if publish is not None:
            publish(lm.tokenizer.decode(written))
    progress("Writing a continuation", new_tokens, new_tokens)
    return lm.tokenizer.decode(written)
