"""The tokenizer that a GGUF header describes."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmrank.ggufs.header import Header
from llmrank.hf import transformers

ADDS_BOS = ("llama3", "llama-v3", "llama-bpe", "falcon3")
"""Byte-level vocabularies that begin with BOS unless the file says otherwise; of the
others only SentencePiece's do (llama.cpp, `llama_vocab::impl::load`)."""


def tokenizer(header: Header) -> Any:
    """Build it without asking for the class of its type, which reads the file anew."""
    fast = transformers().PreTrainedTokenizerFast
    with alone(header.path) as place:
        built = fast.from_pretrained(**place)
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
    kind, pre = (header.values.get(f"tokenizer.ggml.{k}") for k in ("model", "pre"))
    default = pre in ADDS_BOS if kind == "gpt2" else kind == "llama"
    return bool(header.values.get("tokenizer.ggml.add_bos_token", default))
