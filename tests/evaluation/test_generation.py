"""Continuations: greedy, stopping where the text ends, within the positions."""

import pytest
import torch
from conftest import tiny_model

from llmrank.core.errors import CancelledError, LLMRankError
from llmrank.evaluation.generation import Continuations, continuation, continuations
from llmrank.methods.pruning import PruningPlan, prune

PROMPT = "The river bends"


def plain(lm, prompt, new_tokens):
    """Without a cache: the whole text is read again for each token."""
    ids = lm.tokenizer(prompt)["input_ids"]
    n_given = len(ids)
    for _ in range(new_tokens):
        token = int(lm.model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == lm.tokenizer.eos_token_id:
            break
        ids.append(token)
    return lm.tokenizer.decode(ids[n_given:])


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_the_continuation_is_the_likeliest_token_each_time(family):
    lm = tiny_model(family)
    written = continuation(lm, PROMPT, new_tokens=12)
    assert written == plain(lm, PROMPT, 12) != ""


def saying(token):
    """A model that always says the same token."""
    lm = tiny_model("gpt2")
    final = lm.model.transformer.ln_f
    final.weight.data.zero_()
    final.bias.data.zero_()
    final.bias.data[0] = 1
    head = lm.model.lm_head
    head.weight = torch.nn.Parameter(torch.zeros_like(head.weight))
    head.weight.data[token, 0] = 1
    return lm


def test_it_ends_where_the_model_ends_the_text():
    lm = saying(256)
    assert lm.tokenizer.eos_token_id == 256
    told = []
    assert continuation(lm, PROMPT, progress=lambda *step: told.append(step)) == ""
    assert [done for _, done, _ in told] == [0, 40]


def test_it_ends_after_the_tokens_asked_for():
    lm = saying(72)
    letter = lm.tokenizer.decode([72])
    seen = []
    written = continuation(lm, PROMPT, new_tokens=5, publish=seen.append)
    assert written == letter * 5
    assert seen == [letter * n for n in range(1, 6)]


def test_it_can_be_stopped(tiny):
    def stop(_, done, __):
        if done == 3:
            raise CancelledError

    seen = []
    with pytest.raises(CancelledError):
        continuation(tiny, PROMPT, progress=stop, publish=seen.append)
    assert len(seen) <= 3


def test_an_empty_prompt_is_refused(tiny):
    with pytest.raises(LLMRankError, match=r"must have 1 to 472 tokens .*, got 0"):
        continuation(tiny, "")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_prompt_and_continuation_stay_within_the_positions(family):
    """512 positions: with the prompt, 40 new tokens fit once and then no more."""
    lm = tiny_model(family)
    continuation(lm, "x" * 472, new_tokens=40)
    with pytest.raises(LLMRankError) as caught:
        continuation(lm, "x" * 473, new_tokens=40)
    assert str(caught.value) == (
        "the prompt must have 1 to 472 tokens (for 40 new ones), got 473"
    )


def test_both_models_continue_the_same_prompt(tiny):
    keep = (torch.arange(12), torch.arange(12))
    pruned = prune(tiny, PruningPlan(keep, (24, 24)))
    seen = []
    found = continuations(tiny, pruned, PROMPT, new_tokens=6, publish=seen.append)
    assert found.dense == continuation(tiny, PROMPT, new_tokens=6)
    assert found.pruned == continuation(pruned, PROMPT, new_tokens=6)
    assert seen[-1] == found
    assert seen[0].pruned == ""
    assert all(s.dense == found.dense for s in seen if s.pruned)


@pytest.mark.parametrize(
    ("dense", "pruned", "shared"),
    [
        ("the old mill", "the old wheel", 2),
        ("the old", "the  old mill", 2),
        ("a b", "b a", 0),
        ("", "a", 0),
        ("millstone", "mill", 0),
    ],
)
def test_shared_words_are_counted_from_the_start(dense, pruned, shared):
    assert Continuations("x", dense, pruned).shared_words == shared
