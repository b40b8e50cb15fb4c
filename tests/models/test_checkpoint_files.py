"""A model's folder is looked through before it is read: nothing in it leads astray."""

import json
import pickle
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
import transformers
from checkpoint_writers import DEEP, Mark, change_config, refusal
from conftest import save_folder, tiny_model
from huggingface_hub.errors import RemoteEntryNotFoundError
from safetensors.torch import load_file, save_file

from llmrank.core.errors import LLMRankError
from llmrank.models import downloader, ffn
from llmrank.models.checkpoint_files import CONFIG, check_config, read_json
from llmrank.models.families import SUPPORTED, check_type
from llmrank.models.language_model import ModelSpec, load, shape
from llmrank.models.sizes import check_sizes

PROMPT = torch.arange(1, 40)[None]
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model's folder that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


@pytest.fixture
def no_weights(monkeypatch):
    """No weight is opened, and no pickle: whoever tries is told so."""

    def reached(*_, **__):
        pytest.fail("a weight was opened")

    monkeypatch.setattr(torch, "load", reached)
    monkeypatch.setattr(pickle, "load", reached)
    monkeypatch.setattr(pickle, "Unpickler", reached)
    monkeypatch.setattr(transformers.modeling_utils, "safe_open", reached)


def write_index(folder, part, file=INDEX):
    names = load_file(folder / "model.safetensors")
    content = {"metadata": {}, "weight_map": dict.fromkeys(names, part)}
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(json.dumps(content))


# Pickles


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize(
    "named", ["adapter_model.bin", "sub/x.safetensors.index.json", "x.safetensors"]
)
@pytest.mark.usefixtures("no_weights")
def test_a_config_that_names_weights_is_refused(folder, tmp_path, named, beside):
    """transformers opens what it names, though the real weights lie beside."""
    write_index(folder, "sub/w.bin", "sub/x.safetensors.index.json")
    for pickled in ("adapter_model.bin", "sub/w.bin"):
        (folder / pickled).write_bytes(pickle.dumps(Mark(tmp_path / "read")))
    if not beside:
        (folder / "model.safetensors").rename(folder / "x.safetensors")
    change_config(folder, transformers_weights=named)
    said = refusal(folder)
    assert said.startswith(f"{folder}: config.json sets transformers_weights, which is")
    assert not (tmp_path / "read").exists()


@pytest.mark.usefixtures("no_weights")
def test_a_config_that_names_weights_by_another_name_is_refused(folder):
    change_config(folder, attribute_map={"transformers_weights": "x"}, x="w.bin")
    assert "config.json sets attribute_map, which is never followed" in refusal(folder)


@pytest.mark.parametrize("part", ["w.bin", "w.safetensors.bin", "w", "../w.pt"])
@pytest.mark.usefixtures("no_weights")
def test_an_index_whose_parts_are_no_safetensors_is_refused(folder, part):
    write_index(folder, part)
    (folder / "model.safetensors").unlink()
    (folder / "other.safetensors").touch()
    assert f"{INDEX} names {part!r}, which is no .safetensors file" in refusal(folder)


@pytest.mark.usefixtures("no_weights")
def test_weights_by_another_name_are_not_guessed(folder):
    (folder / "model.safetensors").rename(folder / "x.safetensors")
    said = refusal(folder)
    assert f"holds neither model.safetensors nor {INDEX}" in said


# What leads out of the folder


@pytest.mark.parametrize("part", ["../secret.safetensors", "/etc/passwd.safetensors"])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.usefixtures("no_weights")
def test_an_index_that_leads_out_is_refused(folder, part, there):
    """It is answered the same whether the file exists or not."""
    if there:
        (folder.parent / "secret.safetensors").touch()
    write_index(folder, part)
    said = refusal(folder)
    assert said == (
        f"{folder}: {part!r} leads out of the model's folder and is not opened; "
        "put the file itself there"
    )


def test_an_index_may_name_a_part_one_folder_down(tiny, folder):
    write_index(folder, "sub/part.safetensors")
    (folder / "sub").mkdir()
    (folder / "model.safetensors").rename(folder / "sub" / "part.safetensors")
    loaded = load(ModelSpec(name=str(folder), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


@pytest.mark.usefixtures("no_weights")
def test_a_part_that_is_missing_is_named(folder):
    write_index(folder, "part.safetensors")
    assert "is incomplete: part.safetensors is missing, which" in refusal(folder)


@pytest.mark.parametrize(
    "file",
    ["config.json", "model.safetensors", "tokenizer.json", "generation_config.json"],
)
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.usefixtures("no_weights")
def test_a_link_that_leads_out_is_not_followed(folder, file, there):
    """Neither what it leads to nor whether that exists is said."""
    target = folder.parent / "secret"
    (folder / file).rename(target)
    (folder / file).symlink_to(target)
    if not there:
        target.unlink()
    said = refusal(folder)
    assert said.startswith(f"{folder}: {file!r} leads out of the model's folder")
    assert "secret" not in said


def test_a_circle_of_links_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(folder / "tokenizer.json")
    assert "'tokenizer.json' leads out" in refusal(folder)


@pytest.mark.parametrize("name", ["../secret/tokenizer.1.0.0.json"])
def test_a_tokenizer_that_leads_out_is_refused(folder, name):
    path = folder / "tokenizer_config.json"
    fields = json.loads(path.read_text()) | {"fast_tokenizer_files": [name]}
    path.write_text(json.dumps(fields))
    assert f"{name!r} leads out of the model's folder" in refusal(folder)


def test_a_folder_that_is_a_link_itself_is_read(tiny, folder):
    (folder.parent / "link").symlink_to(folder)
    loaded = load(ModelSpec(name=str(folder.parent / "link"), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


@pytest.fixture
def snapshot(folder, tmp_path):
    """The folder as the hub's cache holds it: links into the model's own blobs."""
    blobs = tmp_path / "models--someone--tiny" / "blobs"
    own = tmp_path / "models--someone--tiny" / "snapshots" / ("0123456789" * 4)
    blobs.mkdir(parents=True)
    own.mkdir(parents=True)
    for n, path in enumerate(sorted(folder.iterdir())):
        shutil.copy(path, blobs / f"blob{n}")
        (own / path.name).symlink_to(f"../../blobs/blob{n}")
    return own


def test_the_links_of_the_hubs_cache_are_followed(tiny, snapshot):
    loaded = load(ModelSpec(name=str(snapshot), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


def test_a_link_out_of_the_hubs_cache_is_not_followed(snapshot):
    """Nor one that only looks like the cache: its blob is a link again."""
    blob = (snapshot / "config.json").resolve()
    blob.symlink_to(blob.rename(blob.parents[2] / "secret"))
    assert "'config.json' leads out of the model's folder" in refusal(snapshot)


# What is no model, or more than one


def make_adapter(folder, base="someone/base"):
    content = {"peft_type": "LORA", "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    save_file({"lora_A": torch.zeros(2)}, folder / "adapter_model.safetensors")


@pytest.mark.usefixtures("no_weights")
def test_an_adapter_is_said_to_be_one_and_of_what(tmp_path):
    make_adapter(tmp_path)
    said = refusal(tmp_path)
    assert "it is an adapter of someone/base; merge it into its model first" in said
    assert "merge_and_unload" in said


@pytest.mark.usefixtures("no_weights")
def test_an_adapter_beside_a_whole_model_is_not_ignored(folder):
    make_adapter(folder)
    said = refusal(folder)
    assert "holds an adapter (adapter_config.json) beside a whole model" in said


def test_a_folder_of_a_gguf_file_says_to_name_the_file(tmp_path):
    (tmp_path / "model-q4.gguf").touch()
    assert "to read model-q4.gguf, name the file itself" in refusal(tmp_path)


GEMMA3 = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}}


@pytest.mark.usefixtures("no_weights")
def test_a_model_of_text_and_images_is_refused_before_its_weights(folder):
    change_config(folder, **GEMMA3)
    said = refusal(folder)
    assert "a model of more than text (type 'gemma3'), of which only the text" in said
    assert "(type 'gemma3_text') can be read" in said
    with pytest.raises(LLMRankError, match="more than text"):
        shape(ModelSpec(name=str(folder)))


def test_a_hub_model_of_text_and_images_is_refused_before_its_weights(
    folder, monkeypatch
):
    change_config(folder, **GEMMA3)
    config = str(folder / "config.json")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: config)
    (answer,) = downloader._answers("someone/gemma", "main", weights=True)
    assert "a model of more than text" in answer["sentence"]


@pytest.mark.parametrize("base", ["someone/base", None])
def test_an_adapter_on_the_hub_is_said_to_be_one(tmp_path, monkeypatch, base):
    def given(_, file, **__):
        if file == CONFIG:
            raise RemoteEntryNotFoundError("404", response=Mock())
        (tmp_path / file).write_text(json.dumps({"base_model_name_or_path": base}))
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", given)
    (answer,) = downloader._answers("someone/lora", "main", weights=True)
    assert "it is an adapter" in answer["sentence"]
    assert (f"adapter of {base}" in answer["sentence"]) is (base is not None)
    assert "merge it into its model first" in answer["sentence"]


@pytest.mark.parametrize("content", [DEEP, '{"model_type": ' + DEEP])
def test_a_hub_config_that_nests_deep_is_no_crash(folder, monkeypatch, content):
    (folder / "config.json").write_text(content)
    config = str(folder / "config.json")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: config)
    answers = downloader._answers("a/b", "main", weights=True)
    assert list(answers) == [{"error": "ValueError"}]


@pytest.mark.usefixtures("no_weights")
def test_a_type_is_refused_before_its_weights_are_missed(folder):
    change_config(folder, model_type="bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "models of type 'bert' are not supported" in refusal(folder)


# Bytes that break readers


@pytest.mark.parametrize(
    "file", ["config.json", INDEX, "llmrank.json", "tokenizer_config.json"]
)
@pytest.mark.parametrize("content", [DEEP, '{"a":' + DEEP, '{"widths":' + DEEP, "\0"])
def test_json_that_cannot_be_read_is_one_sentence(folder, file, content):
    (folder / file).write_text(content)
    said = refusal(folder)
    assert f"{folder}: {file} is damaged" in said
    assert len(said) < 300


@pytest.mark.parametrize("file", ["tokenizer.json", "generation_config.json"])
def test_json_that_only_transformers_reads_is_one_sentence(folder, file):
    (folder / file).write_text(DEEP)
    assert len(refusal(folder)) < 400


def test_json_that_fills_the_memory_is_not_read(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(2**40)  # holes: no disk is used
    with pytest.raises(ValueError, match="has more than 33554432 bytes"):
        read_json(path)


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", "[1]"])
def test_widths_that_are_no_numbers_are_refused(folder, value):
    (folder / "llmrank.json").write_text(f'{{"widths": [{value}, 2]}}')
    assert "llmrank.json is damaged: it must hold the list `widths`" in refusal(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", 0),
        ("num_hidden_layers", 1000),
        ("num_hidden_layers", 10**9),
        ("hidden_size", 0),
        ("hidden_size", 2**24),
        ("hidden_size", 10**12),
        ("intermediate_size", 0),
        ("intermediate_size", -1),
        ("vocab_size", 0),
        ("intermediate_size", 2**24),
        ("vocab_size", 2**24),
        ("vocab_size", 10**12),
        ("head_dim", 2**16),
        ("head_dim", 10**12),
        ("max_position_embeddings", 10**15),
    ],
)
@pytest.mark.usefixtures("no_weights")
def test_sizes_of_nothing_or_without_end_are_refused(folder, field, value):
    change_config(folder, **{field: value})
    said = refusal(folder)
    assert said.startswith(f"{folder} describes ")
    assert len(said) < 300


@pytest.mark.usefixtures("no_weights")
def test_positions_that_each_have_a_row_must_be_there(tmp_path):
    folder = save_folder(tiny_model("gpt2"), tmp_path / "model")
    change_config(folder, n_positions=2**31)
    assert "describes at least 34,3" in refusal(folder)


@pytest.mark.parametrize("field", ["num_hidden_layers", "hidden_size"])
def test_the_shape_of_nothing_is_refused(folder, field):
    change_config(folder, **{field: 0})
    with pytest.raises(LLMRankError, match=f"describes a model whose {field} is 0"):
        shape(ModelSpec(name=str(folder)))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("field", ["num_hidden_layers", "hidden_size", "rms_norm_eps"])
def test_a_config_of_infinities_is_one_sentence_or_a_model(folder, field, value):
    change_config(folder, **{field: value})
    spec = ModelSpec(name=str(folder), device="cpu")
    if field == "rms_norm_eps":
        assert ffn.widths(load(spec).model) == (24, 24)
        return
    with pytest.raises(LLMRankError):
        load(spec)


def test_sizes_of_every_supported_type_are_accepted():
    check_sizes(tiny_model("gpt2").config, "tiny")
    check_type({"model_type": "gpt2"})


def move_ids(folder, change):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.usefixtures("no_weights")
def test_tokens_without_a_row_in_the_embedding_are_refused(folder):
    def far(content):
        vocab = content["model"]["vocab"]
        content["model"]["vocab"] = {t: i + 100_000 * (i > 9) for t, i in vocab.items()}

    move_ids(folder, far)
    said = refusal(folder)
    assert "and its embedding has 257 rows; the tokenizer is another model's" in said


def test_an_added_token_may_lie_beyond_the_embedding(folder):
    """Many models have one for padding, which no text contains."""
    pad = {"id": 257, "content": "<pad>", "special": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    move_ids(folder, lambda content: content["added_tokens"].append(pad | flags))
    assert len(load(ModelSpec(name=str(folder), device="cpu")).tokenizer) == 258


def test_a_folder_that_fails_is_one_sentence(folder, monkeypatch):
    def fail(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(LLMRankError, match=r"model cannot be read \(Permission den"):
        check_config(folder, "model")


def test_code_on_the_hub_is_not_asked_for(tiny, folder):
    """A config may name a kernel to be fetched and run; it is read without."""
    change_config(folder, _attn_implementation="someone/kernel")
    loaded = load(ModelSpec(name=str(folder), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


# A tokenizer that names files


@pytest.mark.parametrize(
    "fields",
    [
        {"vocab": "vocab.json", "merges": "merges.txt"},
        {"vocab_file": "vocab.json"},
        {"merges_file": "merges.txt"},
        {"gguf_file": "model.gguf"},
        {"spm_file": "x.model"},
        {"source_spm": "x.model"},
        {"sudachi_config_path": "x"},
        {"sp_model_kwargs": {"model_file": "x.model"}},
        {"init_inputs": ["vocab.json", "merges.txt"]},
    ],
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.usefixtures("no_weights")
def test_a_tokenizer_that_names_files_is_refused(folder, file, fields, kept):
    """transformers opens what it names, wherever that is."""
    elsewhere = folder.parent / "secret"
    elsewhere.mkdir()
    named = json.loads(json.dumps(fields), object_hook=lambda d: placed(d, elsewhere))
    path = folder / file
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | {"tokenizer_class": "GPT2Tokenizer"} | named))
    if not kept:
        (folder / "tokenizer.json").unlink()
    said = refusal(folder)
    assert said.startswith(f"{folder}: {file} sets ")
    assert "which may name any file and is never followed; take it out" in said
    assert "secret" not in said


def placed(fields, elsewhere):
    return {
        key: str(elsewhere / value) if isinstance(value, str) else value
        for key, value in fields.items()
    }


def test_what_old_versions_noted_of_a_tokenizer_is_let_through(tiny, folder):
    """`special_tokens_map_file` names a stranger's cache in many published models."""
    path = folder / "tokenizer_config.json"
    noted = ("tokenizer_file", "special_tokens_map_file", "name_or_path")
    fields = dict.fromkeys(noted, "/nobody/there") | {"vocab_file": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    loaded = load(ModelSpec(name=str(folder), device="cpu"))
    assert loaded.tokenizer("mill")["input_ids"] == tiny.tokenizer("mill")["input_ids"]


@pytest.mark.usefixtures("no_weights")
def test_a_tokenizer_file_elsewhere_is_not_opened(folder):
    """transformers puts the folder's own, or none, in the place of what is noted."""
    path = folder / "tokenizer_config.json"
    outside = (folder / "tokenizer.json").rename(folder.parent / "tokenizer.json")
    fields = json.loads(path.read_text()) | {"tokenizer_file": str(outside)}
    path.write_text(json.dumps(fields))
    assert "holds no usable tokenizer" in refusal(folder)


@pytest.mark.usefixtures("no_weights")
def test_a_tokenizer_of_a_class_that_reads_files_its_own_way_is_refused(folder):
    """Which of its tokens control cannot be told, and some start other programs."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text('{"<unk>": 0, "a</w>": 1}')
    (folder / "merges.txt").write_text("#version: 0.2\n")
    path = folder / "tokenizer_config.json"
    path.write_text('{"tokenizer_class": "CTRLTokenizer"}')
    assert "holds no usable tokenizer (TypeError); put tokenizer" in refusal(folder)


def test_a_config_that_names_another_config_is_refused(folder):
    """transformers reads that one then, which nobody has looked through."""
    other = json.loads((folder / "config.json").read_text())
    (folder / "config.4.0.0.json").write_text(
        json.dumps(other | {"transformers_weights": "w.bin"})
    )
    change_config(folder, configuration_files=["config.4.0.0.json"])
    assert "config.json sets configuration_files, which is never" in refusal(folder)


# Sizes, before anything is built of them


@pytest.mark.parametrize("model_type", SUPPORTED)
@pytest.mark.parametrize("n_layers", [10**6, 3 * 10**8, 1e9])
def test_layers_without_end_are_refused_before_they_are_listed(
    tmp_path, monkeypatch, model_type, n_layers
):
    """transformers lists their kinds: 10**8 took longer than two minutes."""
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", None)
    sizes = {"model_type": model_type, "num_hidden_layers": n_layers}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    with pytest.raises(LLMRankError, match=r"num_hidden_layers is .* from 1 to 1,000"):
        check_config(tmp_path, "model")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_labels": 10**9}, "num_labels is 1000000000"),
        ({"n_layer": 10**9}, "n_layer is 1000000000"),
        ({"inner": [{"num_hidden_layers": 10**9}]}, "num_hidden_layers is 1000000000"),
        ({"layer_types": ["x"] * 20_000}, "layer_types has 20,000 entries"),
        ({"a": {"layer_types": [[0] * 20_000]}}, "layer_types has 20,000 entries"),
        ({"id2label": dict.fromkeys(range(20_000))}, "id2label has 20,000 entries"),
    ],
)
def test_what_would_be_listed_is_refused_at_any_depth(folder, fields, said):
    change_config(folder, **fields)
    with pytest.raises(LLMRankError, match=said):
        check_config(folder, "model")
