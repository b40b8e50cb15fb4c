"""The tokenizer that a GGUF header describes: every key computed, or refused."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.models.gguf.header import Header
from llmrank.models.hf import transformers

WHOLE_WORDS = (
    "llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
    "lfm2", "jina-v5-nano", "tekken",
)  # fmt: skip
"""Byte-level vocabularies that take a word they hold whole without merging it, and
begin with BOS unless the file says otherwise; of the others only SentencePiece's do
(llama.cpp, `llama_vocab::impl::load`)."""

AS_GPT2 = (
    "gpt-2", "phi-2", "mpt", "olmo", "jais", "gigachat", "a.x-4.0", "mellum", "smollm",
)  # fmt: skip
"""Splits that are GPT-2's own, which transformers takes wherever it knows no other.
(That of `smollm` has every digit apart, which its merges do as well: the tokens are
others only where several blanks or lines stand before a digit.)"""

DIGITS_APART = ("starcoder", "refact", "command-r", "codeshell", "exaone")
"""Splits that are GPT-2's between single digits."""

AS_QWEN2 = ("stablelm2",)

BARE = ("gemma2", "gemma3")
"""SentencePiece's without a blank before the text, whatever the file leaves out."""

HARMLESS = (
    "tokens", "token_type", "token_type_count", "scores", "merges", "suppress_tokens",
    "model", "pre", "add_space_prefix", "add_bos_token", "add_eos_token",
    "add_sep_token",
)  # fmt: skip
"""Keys that are computed, or that only say what stands behind a text."""

NEUTRAL = {"remove_extra_whitespaces": False, "normalizer.lowercase": False}

CONTROL, USER_DEFINED = 3, 4
TOKENS = "tokenizer.ggml.tokens"


def tokenizer(header: Header) -> Any:
    """Build it without asking for the class of its type, which reads the file anew."""
    fast = transformers().PreTrainedTokenizerFast
    with alone(header.path) as place:
        built = fast.from_pretrained(**place)
    if _key(header, "model") == "gpt2":
        _split(built.backend_tokenizer, _key(header, "pre"))
        _take_whole(header, built)
    elif _key(header, "add_space_prefix") is False:
        _begin_bare(built.backend_tokenizer)
    if built.add_bos_token != adds_bos(header):
        built.add_bos_token = adds_bos(header)
    return built


@contextmanager
def alone(file: Path) -> Iterator[dict[str, Any]]:
    """Have transformers look for a GGUF file in a folder of its own.

    Else it would prefer another model's tokenizer or adapter that lies beside it.
    """
    with tempfile.TemporaryDirectory() as empty:
        yield {
            "pretrained_model_name_or_path": empty,
            "gguf_file": str(file.absolute()),
        }


def adds_bos(header: Header) -> bool:
    """Whether llama.cpp begins every text with BOS."""
    kind, pre = _key(header, "model"), _key(header, "pre")
    default = pre in WHOLE_WORDS if kind == "gpt2" else kind == "llama"
    return bool(header.values.get("tokenizer.ggml.add_bos_token", default))


def check_tokenizer(header: Header) -> None:
    """Refuse a key that would make other tokens of a text than are computed here."""
    kind = _key(header, "model")
    if kind is None or (kind == "gpt2" and _key(header, "pre") is None):
        missing = "model" if kind is None else "pre"
        raise LLMRankError(
            f"{header.name} lacks the key tokenizer.ggml.{missing}, which says how "
            "text becomes tokens; it is incomplete, convert it again"
        )
    named = ("tokenizer.chat_template", "tokenizer.huggingface.json")
    for key, value in header.values.items():
        computed = not key.startswith("tokenizer.") or key.startswith(named)
        if key.startswith("tokenizer.ggml."):
            short = key.removeprefix("tokenizer.ggml.")
            computed = _is_computed(header, short, value)
        if not computed:
            raise LLMRankError(
                f"{header.name} sets {key} to {str(value)[:40]}, which changes how "
                "text becomes tokens and is not understood here; give the model's "
                "safetensors folder instead"
            )


def _is_computed(header: Header, key: str, value: Any) -> bool:
    kind = _key(header, "model")
    if key == "model":
        return kind in ("gpt2", "llama")
    if key == "pre":
        return value in _known_splits() if kind == "gpt2" else value == "default"
    if key == "add_space_prefix":
        bare = kind == "gpt2" or header.architecture in BARE
        return isinstance(value, bool) and not (value and bare)
    if key in NEUTRAL:
        return bool(value == NEUTRAL[key])
    return key in HARMLESS or key.endswith(("_token_id", "_token_ids"))


def _key(header: Header, key: str) -> Any:
    return header.values.get(f"tokenizer.ggml.{key}")


def _known_splits() -> set[str]:
    from transformers.integrations.gguf import gguf_tokenizer_mapping as theirs

    return {*theirs.GGUF_PRE_TOKENIZER_SPLITS, *AS_GPT2, *DIGITS_APART, *AS_QWEN2}


def _split(backend: Any, pre: str) -> None:
    """Split as llama.cpp does where transformers knows no split of that name."""
    from tokenizers import Regex, pre_tokenizers
    from transformers.integrations.gguf import gguf_tokenizer_mapping as theirs

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    first: Any = None
    if pre in DIGITS_APART:
        first = pre_tokenizers.Digits(individual_digits=True)
    elif pre in AS_QWEN2:
        split = theirs.GGUF_PRE_TOKENIZER_SPLITS["qwen2"]
        first = pre_tokenizers.Split(Regex(split), behavior="isolated")
        byte_level.use_regex = False
    if first is not None:
        backend.pre_tokenizer = pre_tokenizers.Sequence([first, byte_level])
    if pre in WHOLE_WORDS:
        backend.model.ignore_merges = True


def _begin_bare(backend: Any) -> None:
    """Put no blank before a text, and take none away from what is written."""
    from tokenizers import decoders, pre_tokenizers

    if isinstance(backend.pre_tokenizer, pre_tokenizers.Metaspace):
        backend.pre_tokenizer.prepend_scheme = "never"
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )


def _take_whole(header: Header, built: Any) -> None:
    """Take tokens of their own by the name that the file gives them.

    transformers spells those with other letters than the byte-level ones (`<｜User｜>`,
    runs of blanks) as if they were bytes, and does not find them in a text any more.
    """
    from tokenizers import AddedToken, Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    from transformers.integrations.gguf.reader import read_gguf_metadata

    letters = set(bytes_to_unicode().values())
    tokens = read_gguf_metadata(str(header.path), (TOKENS,))[0][TOKENS]
    own = {
        token: (place, kind == CONTROL)
        for place, (token, kind) in enumerate(
            zip(tokens, _key(header, "token_type") or (), strict=False)
        )
        if kind in (CONTROL, USER_DEFINED) and not set(token) <= letters
    }
    if not own:
        return
    state = json.loads(built.backend_tokenizer.to_str())
    places = {place for place, _ in own.values()}
    state["model"]["vocab"] = {
        token: place
        for token, place in state["model"]["vocab"].items()
        if place not in places
    } | {token: place for token, (place, _) in own.items()}
    state["added_tokens"] = [
        t for t in state["added_tokens"] if t["content"] not in own
    ]
    built._tokenizer = Tokenizer.from_str(json.dumps(state))
    built.add_tokens(
        [
            AddedToken(token, normalized=False, special=special)
            for token, (_, special) in own.items()
        ]
    )
    built.update_post_processor()
