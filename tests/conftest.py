"""Models for the tests: random, tiny, session-scoped and read only."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["LLMRANK_DB"] = "/dev/null/no-test-writes-to-the-visitor's-own-results"

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmrank.evaluation import latency, other_load, peak_memory
from llmrank.evaluation.decoding import inference_bytes
from llmrank.models import language_model
from llmrank.models.language_model import LanguageModel, ModelSpec

TEXT = (
    "The river bends twice before the old mill, and in spring the water climbs the "
    "stones until the wheel turns by itself. Nobody has ground corn here for years. "
) * 40


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte: any text, no file, 257 tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {symbol: i for i, symbol in enumerate([*alphabet, "<eos>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


SIZES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 257,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
}
BOTH_ATTENTIONS = ["sliding_attention", "full_attention"]
SCALED = {
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "llama_4_scaling_beta": 0.1,
}
OWN_SIZES = {
    "gpt2": {
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 24,
        "n_positions": 512,
    },
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "gemma": {"head_dim": 4},
    "gemma2": {"head_dim": 4, "query_pre_attn_scalar": 4},
    "gemma3_text": {"head_dim": 4, "query_pre_attn_scalar": 4}
    | {"layer_types": BOTH_ATTENTIONS},
    "qwen3": {"head_dim": 4},
    "olmo3": {"layer_types": BOTH_ATTENTIONS},
    "cohere2": {"layer_types": BOTH_ATTENTIONS, "eos_token_id": 256},
    "exaone4": {"layer_types": BOTH_ATTENTIONS},
    "seed_oss": {"head_dim": 4},
    "ernie4_5": {"head_dim": 4},
    "hunyuan_v1_dense": {"head_dim": 4},
    "helium": {"head_dim": 4},
    "ministral": {"head_dim": 4, "layer_types": BOTH_ATTENTIONS},
    "ministral3": {"head_dim": 4, "rope_parameters": SCALED | {"rope_type": "yarn"}},
    "cwm": {"head_dim": 4, "bos_token_id": 0, "eos_token_id": 256}
    | {"rope_parameters": SCALED | {"rope_type": "llama3"}},
    "vaultgemma": {"head_dim": 4},
}


def tiny_model(model_type: str = "llama", seed: int = 0, **more: Any) -> LanguageModel:
    """Build a random two-layer model of a family; `more` are its config's fields."""
    own = SIZES | OWN_SIZES.get(model_type, {}) | more
    config = CONFIG_MAPPING[model_type](**own)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # large enough for neurons to differ
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    model = model.eval().requires_grad_(False)
    return LanguageModel(
        ModelSpec(name=f"tiny-{model_type}", device="cpu"), model, byte_tokenizer()
    )


@pytest.fixture(scope="session")
def tiny() -> LanguageModel:
    return tiny_model()


@pytest.fixture(scope="session")
def tiny_gpt2() -> LanguageModel:
    return tiny_model("gpt2")


def save_folder(lm: LanguageModel, folder: Path) -> Path:
    """Write a model as plain transformers does, without our exporter."""
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a folder: read only, copy it before changing it."""
    return save_folder(tiny, tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UTF-8 text of 6,000 bytes, one token each for the tiny models."""
    path = tmp_path_factory.mktemp("texts") / "mill.txt"
    path.write_text(TEXT[:6000], "utf-8")
    return path


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database of the test's own, which the pages then write to."""
    from pages.shared.app import resources

    file = tmp_path / "results.sqlite3"
    monkeypatch.setenv("LLMRANK_DB", str(file))

    def forget() -> None:
        resources.store.cache_clear()
        resources.opening.clear()
        resources.reports.cache_clear()

    forget()
    yield file
    monkeypatch.undo()
    forget()


@pytest.fixture
def estimated_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Estimate peak memory: a process that measures it takes seconds to import."""
    monkeypatch.setattr(
        peak_memory,
        "_from_child",
        lambda lm, spec, *_: peak_memory.MemoryPeak(
            0, inference_bytes(lm, spec), "estimate"
        ),
    )


@pytest.fixture(scope="session")
def asked(tiny_folder, tiny_text):
    """The settings of a measurement of a second or two."""
    return {
        "model": str(tiny_folder),
        "device": "cpu",
        "calibration_text": str(tiny_text),
        "eval_text": str(tiny_text),
        "samples": "2",
        "seq_len": "64",
        "eval_tokens": "1024",
        "prompt_tokens": "8",
        "new_tokens": "2",
        "repeats": "2",
        "sparsity": "0.5",
    }


@pytest.fixture(autouse=True, scope="session")
def timed_as_asked() -> Iterator[None]:
    """Time no longer than asked, beside nobody: both depend on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "ROUNDS_S", 0.0)
        patch.setattr(other_load, "now", other_load.Load)
        yield


@pytest.fixture(autouse=True, scope="session")
def shapes_of_today(tmp_path_factory) -> Iterator[None]:
    """Keep no shape beyond these tests: the code that finds them is what is tested."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "cache_folder", lambda: folder)
        yield
