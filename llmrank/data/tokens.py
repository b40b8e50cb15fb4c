"""From text to token ids, for all that the product reads: the one place that does it.

What stands before a text is the tokenizer's own habit, or the visitor's choice. It
stands before the tokens asked for (a window of 512 holds 512 tokens of the text), so
that with and without it the same tokens are predicted: all but the first of the text,
which has nothing of the text before it. For the rest it is a position as any other:
statistics, moments and divergences are over it too, and their numbers of tokens count
it. On Gemma 3 270M with 30 % removed that is no worse than to leave it out (perplexity
28.1 against 28.3 by llm-rank, 33.7 against 36.2 by wanda, though hardly one in 300
dropped neurons is another; by activation it is 30.5 both ways); without BOS in
calibration it is 30.3 and 38.1 (and 29.4, less, by activation), and 6 to 34 % of each
layer's dropped neurons are others.

What a text quotes is text: an added token controls the model if it is marked as
special, or if it stands in brackets (`<|im_end|>`, `<think>`, `[INST]`) and is no tag
of HTML; such a one is written in pieces. Other added tokens (runs of blanks or of
lines, words, `<table>`) are how the model writes text, and stay whole.
"""

import copy
import json
import re
from typing import Any
from weakref import WeakKeyDictionary

from llmrank.core.errors import LLMRankError
from llmrank.models.language_model import LanguageModel

SHORTEST = 2
"""Of a window: one token to read, one to predict."""


_BRACKETED = re.compile(r"\s*(<[^<>]*\w[^<>]*>|\[[^\[\]]*\w[^\[\]]*\])\s*")
_HTML = re.compile(
    r"\s*</?(a|article|aside|audio|b|blockquote|body|br|button|canvas|caption|center|"
    r"code|dd|div|dl|dt|em|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|"
    r"html|i|iframe|img|input|label|li|link|main|meta|nav|ol|option|p|pre|s|script|"
    r"section|select|small|span|strike|strong|style|sub|sup|svg|table|tbody|td|"
    r"textarea|tfoot|th|thead|title|tr|tt|u|ul|video)\s*/?>\s*",
    re.IGNORECASE,
)

_readers: WeakKeyDictionary[Any, tuple[int, Any]] = WeakKeyDictionary()
"""By tokenizer: how many tokens it had, and what reads texts in its place."""


def encoded(lm: LanguageModel, content: str) -> list[int]:
    """Return a text's own tokens: nothing is put before or behind them.

    Raises:
        LLMRankError: the model has no embedding for one of them.
    """
    return _embedded(lm, _ids(lm, content, add_special_tokens=False))


def opening(lm: LanguageModel) -> tuple[int, ...]:
    """Return the tokens that stand before every text; most often BOS, or none.

    The habit is found by encoding: what the attributes of a tokenizer say of it and
    what its post-processor does are not always the same.

    Raises:
        LLMRankError: BOS is asked for, and the tokenizer has none; or the model has no
            embedding for it.
    """
    if lm.spec.bos == "never":
        return ()
    bare, whole = (_ids(lm, "a", add_special_tokens=add) for add in (False, True))
    starts = (i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
    start = whole[: next(starts, 0)]
    if lm.spec.bos == "always" and not start:
        if lm.tokenizer.bos_token_id is None:
            raise LLMRankError(
                f"the tokenizer of {lm.spec.name} has no BOS token that texts could "
                "begin with; set bos to auto or never"
            )
        start = [lm.tokenizer.bos_token_id]
    return tuple(_embedded(lm, start))


def opening_text(lm: LanguageModel) -> str:
    """Return what stands before every text as it is written; empty for nothing."""
    return "".join(lm.tokenizer.convert_ids_to_tokens(list(opening(lm))))


def fitting(lm: LanguageModel, n_tokens: int) -> int:
    """Return how many tokens of a text the model takes at once, at most so many.

    Raises:
        LLMRankError: not even two, with what stands before them.
    """
    if lm.n_positions is None:
        return n_tokens
    fit = min(n_tokens, lm.n_positions - len(opening(lm)))
    if fit < SHORTEST:
        raise LLMRankError(
            f"{lm.spec.name} has {lm.n_positions} positions, which are too few to read "
            "a text; choose another model"
        )
    return fit


def facts(lm: LanguageModel, seq_len: int) -> dict[str, str]:
    """Return what the model and its tokenizer make of a recipe, where they add to it.

    `bos`: what stands before every text; `seq_len`: how long windows are, where the
    model takes fewer tokens than asked for.
    """
    before, size = opening_text(lm), fitting(lm, seq_len)
    short = {"seq_len": str(size)} if size < seq_len else {}
    return ({"bos": before} if before else {}) | short


def _ids(lm: LanguageModel, content: str, *, add_special_tokens: bool) -> list[int]:
    quoted = lm.spec.control_tokens == "text"
    reader = _reader(lm.tokenizer) if quoted else lm.tokenizer
    ids: list[int] = reader(
        content,
        add_special_tokens=add_special_tokens,
        split_special_tokens=quoted,
        verbose=False,
    )["input_ids"]
    return ids


def _reader(tokenizer: Any) -> Any:
    """Return the tokenizer, or a twin to which all that controls is special.

    Special tokens alone are read as text on demand, and which are marked so cannot be
    changed in a tokenizer once they are added.
    """
    n_tokens, reader = _readers.get(tokenizer, (0, None))
    if n_tokens != len(tokenizer):
        reader = _twin(tokenizer)
        # A tokenizer that stood for itself here would never be let go.
        _readers[tokenizer] = (len(tokenizer), reader)
    return tokenizer if reader is None else reader


def _twin(tokenizer: Any) -> Any:
    """Return a twin, or None where every token that controls is marked as special."""
    added = tokenizer.added_tokens_decoder.values()
    if not any(_controls(str(t)) and not t.special for t in added):
        return None
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = token["special"] or _controls(token["content"])
    twin = copy.copy(tokenizer)
    twin._tokenizer = type(tokenizer.backend_tokenizer).from_str(json.dumps(state))
    return twin


def _controls(token: str) -> bool:
    """Whether it is written as tokens are that control a model."""
    return bool(_BRACKETED.fullmatch(token)) and not _HTML.fullmatch(token)


def _embedded(lm: LanguageModel, ids: list[int]) -> list[int]:
    """Refuse what the embedding would answer with an error of its own, or worse."""
    d_vocab = lm.model.get_input_embeddings().weight.shape[0]
    highest = max(ids, default=0)
    if highest >= d_vocab:
        piece = lm.tokenizer.convert_ids_to_tokens(highest)
        raise LLMRankError(
            f"the tokenizer of {lm.spec.name} gives token {highest} ({piece!r}), and "
            f"the model has embeddings for {d_vocab}; the two do not belong together: "
            "put the model's own tokenizer beside its weights"
        )
    return ids
