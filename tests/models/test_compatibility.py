"""Other readers find in an export the keys that they look for, with our values.

transformers 4 is run itself, in `test_export_readers.py`. vLLM and llama.cpp's
converter are not: the keys that their sources read are listed here, and llama.cpp's own
library (`gguf`) reads names and special tokens.
"""

import json
from pathlib import Path

import gguf
import pytest
from conftest import tiny_model
from safetensors import safe_open

import llmrank
from llmrank.models import compatibility
from llmrank.models.export import save
from llmrank.models.families import SUPPORTED, family_of

VLLM = "https://github.com/vllm-project/vllm/blob"
VLLM_ROPE = f"{VLLM}/e23031f0761f/vllm/transformers_utils/config.py"
"""patch_rope_parameters, beneath transformers 4 and 5"""
VLLM_SIZES = (
    f"{VLLM}/00bb6f59a0c7/vllm/transformers_utils/model_arch_config_convertor.py"
)
CONVERTER = "https://github.com/ggml-org/llama.cpp/blob/2bbcf7fc93a4/conversion/base.py"
"""TextModel.set_gguf_parameters and find_hparam, which takes the first that is there"""

N_HEADS, N_KV_HEADS, D_MODEL, D_FF = 4, 2, 16, 24
THETA = 777.0
FIRST = {  # reader: what it is after, then the names that it tries in this order
    VLLM_SIZES: {
        "d_type": ("dtype", "torch_dtype"),
        "n_layers": ("num_hidden_layers", "n_layer"),
        "n_heads": ("num_attention_heads", "n_head"),
        "d_model": ("hidden_size", "n_embd"),
        "d_vocab": ("vocab_size",),
    },
    VLLM_ROPE: {"theta": ("rope_theta", "rotary_emb_base")},
    CONVERTER: {
        "n_layers": ("n_layers", "num_hidden_layers", "n_layer", "num_layers"),
        "n_heads": ("num_attention_heads", "n_head", "n_heads"),
        "d_model": ("hidden_size", "n_embd", "dim"),
        "d_ff": ("intermediate_size", "n_inner", "hidden_dim"),
        "theta": ("rope_theta",),
    },
}
NO_ROPE = ("gpt2", "opt")
NOT_CONVERTED = ("opt",)
"""llama.cpp does not know the type."""

ARCHITECTURES = {  # of the `gguf` library, for tensor names
    "llama": "LLAMA", "mistral": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3",
    "gemma": "GEMMA", "gemma2": "GEMMA2", "gemma3_text": "GEMMA3", "olmo": "OLMO",
    "olmo2": "OLMO2", "smollm3": "SMOLLM3", "stablelm": "STABLELM",
    "granite": "GRANITE", "cohere": "COMMAND_R", "cohere2": "COHERE2", "gpt2": "GPT2",
    "gpt_neox": "GPTNEOX", "phi": "PHI2", "starcoder2": "STARCODER2",
    "exaone4": "EXAONE4", "seed_oss": "SEED_OSS", "ernie4_5": "ERNIE4_5",
    "hunyuan_v1_dense": "HUNYUAN_DENSE",
}  # fmt: skip
MAPPED = [kind for kind in SUPPORTED if kind in ARCHITECTURES]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An export of every type: its folder and what its config says."""
    root = tmp_path_factory.mktemp("exports")
    for kind in SUPPORTED:
        usual = tiny_model(kind).config
        rope = getattr(usual, "rope_parameters", None) or {}
        for part in (rope, rope.get("full_attention", {})):
            part.update({"rope_theta": THETA} if "rope_theta" in part else {})
        more = {} if kind in NO_ROPE else {"rope_parameters": rope}
        save(tiny_model(kind, **more), root / kind)
    return root


def config_of(folder):
    return json.loads((folder / "config.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", SUPPORTED)
@pytest.mark.parametrize("link", FIRST)
def test_the_first_name_that_a_reader_tries_has_our_value(exported, kind, link):
    config = config_of(exported / kind)
    ours = {
        "d_type": "float32", "n_layers": 2, "n_heads": N_HEADS, "d_model": D_MODEL,
        "d_vocab": 257, "d_ff": D_FF, "theta": THETA,
    }  # fmt: skip
    left_out = {"theta"} if kind in NO_ROPE else set()
    left_out |= {"d_ff"} if kind in NOT_CONVERTED else set()
    for wanted, names in FIRST[link].items():
        if wanted not in left_out:
            first = next((config[n] for n in names if n in config), None)
            assert first == ours[wanted], f"{wanted} in {link}"


@pytest.mark.parametrize("kind", SUPPORTED)
def test_the_width_is_under_the_familys_own_name(exported, kind):
    config = config_of(exported / kind)
    assert config[family_of(kind).width] == D_FF
    assert config["torch_dtype"] == config["dtype"] == "float32"
    assert config["architectures"] == [type(tiny_model(kind).model).__name__]


@pytest.mark.parametrize("kind", ["phi", "stablelm"])
def test_the_share_that_turns_is_at_the_top(exported, kind):
    """`find_hparam(["partial_rotary_factor"])` of llama.cpp's phi and stablelm."""
    config = config_of(exported / kind)
    inner = config["rope_parameters"]["partial_rotary_factor"]
    assert config["partial_rotary_factor"] == inner


def test_gpt_neox_has_the_names_of_its_own(exported):
    """`self.hparams["rotary_pct"]` of llama.cpp; transformers 4 reads both."""
    config = config_of(exported / "gpt_neox")
    assert (config["rotary_emb_base"], config["rotary_pct"]) == (THETA, 0.25)


def test_a_scaled_embedding_is_at_the_top_as_transformers_4_had_it(tmp_path):
    rope = {
        "rope_type": "yarn",
        "rope_theta": THETA,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    saved = save(tiny_model("llama", rope_parameters=rope), tmp_path / "model")
    config = config_of(saved.folder)
    assert config["rope_theta"] == THETA
    assert config["rope_scaling"] == {n: rope[n] for n in rope if n != "rope_theta"}
    assert config["rope_parameters"] == rope


@pytest.mark.parametrize("kind", MAPPED)
def test_llama_cpps_library_has_a_name_for_every_tensor(exported, kind):
    architecture = gguf.MODEL_ARCH[ARCHITECTURES[kind]]
    names = gguf.get_tensor_name_map(architecture, 2)
    with safe_open(exported / kind / "model.safetensors", "pt") as file:
        unknown = [
            name
            for name in file.keys()  # noqa: SIM118
            if names.get_name(name, try_suffixes=(".weight", ".bias")) is None
        ]
    assert not unknown


def test_llama_cpps_library_reads_the_special_tokens_and_the_chat(tmp_path):
    lm = tiny_model()
    lm.tokenizer.add_special_tokens({"bos_token": "<bos>"})
    lm.tokenizer.chat_template = "{{ messages[0].content }}"
    vocab = gguf.SpecialVocab(save(lm, tmp_path / "model").folder)
    found = vocab.special_token_ids
    assert (found["bos"], found["eos"]) == (lm.tokenizer.bos_token_id, 256)
    assert vocab.add_special_token == {"bos": False}  # as our tokenizer does
    assert vocab.chat_template == "{{ messages[0].content }}"


def test_the_tokenizer_says_what_others_take_otherwise(tmp_path):
    lm = tiny_model()
    lm.tokenizer.padding_side = "left"
    lm.tokenizer.add_special_tokens({"additional_special_tokens": ["<wheel>"]})
    folder = save(lm, tmp_path / "model").folder
    said = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert said["model_input_names"] == ["input_ids", "attention_mask"]
    assert said["padding_side"] == "left"
    assert said["additional_special_tokens"] == ["<wheel>"]
    assert not {"backend", "is_local", "local_files_only"} & set(said)


def test_the_readme_names_the_versions_that_were_checked():
    readme = (Path(llmrank.__file__).parents[1] / "README.md").read_text("utf-8")
    assert f"transformers {' and '.join(compatibility.CHECKED)}" in readme


def described(model_type, **rope):
    return {"model_type": model_type, "rope_parameters": rope}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (described("llama", rope_theta=1.0), " and 4.57.6)"),
        ({"model_type": "gpt2"}, " and 4.57.6)"),
        (described("olmo", rope_type="linear"), " and 4.57.6)"),
        (described("olmo", rope_type="yarn"), "4.57.6 does not read its rotary"),
        (described("llama", rope_type="next"), "4.57.6 does not read its rotary"),
        (described("cwm"), "4.57.6 does not know cwm)"),
        (
            described(
                "gemma3_text",
                full_attention={"rope_theta": 2.0},
                sliding_attention={"rope_theta": 1.0},
            ),
            " and 4.57.6)",
        ),
        (
            described(
                "olmo3",
                full_attention={"rope_theta": 2.0},
                sliding_attention={"rope_theta": 1.0},
            ),
            "4.57.6 does not read its rotary",
        ),
    ],
)
def test_who_opens_it_is_said_with_the_versions(config, said):
    assert said in compatibility.opened_by(config)
    assert "checked with 5.23.0" in compatibility.opened_by(config)
