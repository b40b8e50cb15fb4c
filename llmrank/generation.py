"""One prompt continued by a model, greedily, token by token."""

from collections.abc import Callable

import torch

from llmrank.errors import LLMRankError
from llmrank.models import LanguageModel
from llmrank.progress import Progress, silent

MAX_PROMPT_TOKENS = 1024


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

    Greedy: the most likely token each time, so dense and pruned can be compared.

    Raises:
        LLMRankError: the prompt is empty or too long.
    """
    ids = lm.tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    if not 1 <= len(ids) <= MAX_PROMPT_TOKENS:
        raise LLMRankError(
            f"the prompt must have 1 to {MAX_PROMPT_TOKENS} tokens, got {len(ids)}"
        )
    tokens, cache, written = torch.tensor([ids], device=lm.device), None, []
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
