"""Loading by name: device, precision, memory, and what is known before loading."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import save_folder, tiny_model
from transformers import PreTrainedModel
from transformers.utils.logging import tqdm

import llmrank
from llmrank.core.devices import pick_device
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.evaluation.footprint import footprint
from llmrank.methods.pruning import PruningPlan
from llmrank.models import ffn, language_model
from llmrank.models.families import SUPPORTED
from llmrank.models.hf import building, reported, transformers
from llmrank.models.language_model import ModelSpec, load, shape

PROMPT = torch.arange(1, 40)[None]


def test_a_name_alone_is_a_spec(tiny_folder):
    loaded = load(str(tiny_folder))
    assert loaded.spec == ModelSpec(name=str(tiny_folder))


def test_a_loaded_model_is_for_inference_only(tiny_folder):
    loaded = load(ModelSpec(name=str(tiny_folder), device="cpu"))
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    assert loaded.device == torch.device("cpu")
    assert loaded.config.num_hidden_layers == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precisions_load_and_run_on_the_cpu(tiny, tiny_folder, dtype):
    loaded = load(ModelSpec(name=str(tiny_folder), dtype=dtype, device="cpu"))
    assert {p.dtype for p in loaded.model.parameters()} == {getattr(torch, dtype)}
    logits = loaded.model(PROMPT).logits
    assert logits.dtype == getattr(torch, dtype)
    expected = tiny.model(PROMPT).logits
    error = torch.linalg.norm(logits.float() - expected) / torch.linalg.norm(expected)
    assert 0 < float(error) < 0.05


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_before_any_file(device):
    there = {"cuda": torch.cuda, "mps": torch.backends.mps}[device]
    if there.is_available():
        pytest.skip(f"{device} is there")
    with pytest.raises(LLMRankError) as caught:
        load(ModelSpec(name="/nonexistent", device=device))
    text = str(caught.value)
    assert text.startswith(f"device {device} is not available here; there is: ")
    assert text.endswith("cpu")


def test_auto_takes_the_fastest_device_there_is():
    fastest = "cpu"
    if torch.backends.mps.is_available():
        fastest = "mps"
    if torch.cuda.is_available():
        fastest = "cuda"
    assert pick_device("auto").type == fastest
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("field", ["dtype", "device"])
def test_a_precision_or_device_without_a_name_is_refused(field):
    with pytest.raises(OptionError, match=f"{field} must be one of .*got 'int3'"):
        ModelSpec(**{field: "int3"})


@pytest.mark.parametrize("model_type", SUPPORTED)
def test_the_shape_is_known_before_loading_in_every_family(tmp_path, model_type):
    lm = tiny_model(model_type)
    lm.config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    known = shape(ModelSpec(name=str(tmp_path)))
    weights = {id(p): p for p in lm.model.parameters()}.values()
    assert known.model_type == model_type
    assert (known.n_layers, known.d_model, known.d_vocab) == (2, 16, 257)
    assert (known.d_ff,) * 2 == ffn.widths(lm.model) == (24, 24)
    assert known.n_params == sum(p.numel() for p in weights)
    assert known.weight_bytes == sum(p.nbytes for p in weights)


def test_a_shape_is_found_once_and_anew_when_the_configuration_changes(
    tmp_path, monkeypatch
):
    lm = tiny_model("llama")
    lm.config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    spec = ModelSpec(name=str(tmp_path))
    monkeypatch.setattr(language_model, "cache_folder", lambda: tmp_path / "cache")
    known = shape(spec)
    (note,) = (tmp_path / "cache" / "shapes").iterdir()

    def never(*_):
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(language_model, "_skeleton", never)
        assert shape(spec) == known
    note.write_text("{")  # damaged: found again
    assert shape(spec) == known
    lm.config.num_hidden_layers = 1
    lm.config.save_pretrained(tmp_path)
    assert shape(spec).n_layers == 1


def test_half_precision_is_half_the_bytes(tiny_folder):
    full = shape(ModelSpec(name=str(tiny_folder)))
    half = shape(ModelSpec(name=str(tiny_folder), dtype="bfloat16"))
    assert half.n_params == full.n_params
    assert 2 * half.weight_bytes == full.weight_bytes


def test_gpt2_without_n_inner_is_four_times_as_wide(tmp_path):
    lm = tiny_model("gpt2")
    lm.config.n_inner = None
    lm.config.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"never read")
    assert shape(ModelSpec(name=str(tmp_path))).d_ff == 64


def test_the_shape_of_an_unsupported_type_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(LLMRankError, match="'bert' are not supported"):
        shape(ModelSpec(name=str(tmp_path)))


OUT_OF_MEMORY = """
import json, resource, struct, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from safetensors.torch import load_file
from llmrank.core.errors import LLMRankError
from llmrank.models.language_model import ModelSpec, load

folder, wide = Path(sys.argv[1]), 8_000_000
spec = ModelSpec(name=str(folder), device="cpu", dtype=sys.argv[2])
load(spec)
config = json.loads((folder / "config.json").read_text())
(folder / "config.json").write_text(json.dumps(config | {"intermediate_size": wide}))
head, end = {"__metadata__": {"format": "pt"}}, 0
for name, tensor in load_file(folder / "model.safetensors").items():
    shape = [wide if size == 24 else size for size in tensor.shape]
    n_bytes = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + n_bytes]}
    end += n_bytes
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with (folder / "model.safetensors").open("wb") as file:
    file.write(struct.pack("<Q", len(text)) + text)
    file.truncate(8 + len(text) + end)  # 3 GB of holes: no disk is used
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(float(sys.argv[3]) * 1e9)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    load(spec)
except LLMRankError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's address limits")
@pytest.mark.parametrize(
    ("dtype", "room_gb", "need"), [("float32", 0.5, "3.07"), ("bfloat16", 4, "1.54")]
)
def test_too_little_memory_is_one_sentence(tiny, tmp_path, dtype, room_gb, need):
    """A process that may not take what the weights need; the file is all holes."""
    folder = save_folder(tiny, tmp_path / "wide")
    ran = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(folder), dtype, str(room_gb)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout.strip() == (
        f"{folder} needs about {need} GB for its weights in {dtype}, more than cpu "
        "has free; choose a smaller dtype, another device, or a smaller model"
    ), ran.stderr[-2000:]


def test_models_read_by_several_threads_at_once_are_tied(tmp_path):
    """transformers switches tying off while it reads, for all threads."""
    lm = tiny_model()
    lm.model.config.tie_word_embeddings = True
    lm.model.tie_weights()
    llmrank.save(lm, tmp_path / "tied")
    spec = ModelSpec(name=str(tmp_path / "tied"), device="cpu")
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(load, [spec] * 24))
    for one in found:
        assert one.model.lm_head.weight is one.model.model.embed_tokens.weight


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_reading_weights_reports_each_tensor_and_can_be_stopped(tiny, tmp_path, dtype):
    """What transformers had patched for reading is as before, also after a stop."""
    spec = ModelSpec(name=str(save_folder(tiny, tmp_path / "m")), device="cpu")
    told, n_tensors = [], len(tiny.model.state_dict())
    whole = load(spec, progress=lambda *report: told.append(report))
    what = f"Loading {spec.name}"
    assert [r for r in told if r[2] == n_tensors] == [
        (what, done, n_tensors) for done in range(n_tensors + 1)
    ]

    def stop(_, done, total):
        if total == n_tensors and done == 3:
            raise CancelledError

    before = PreTrainedModel.tie_weights
    with pytest.raises(CancelledError):
        load(replace(spec, dtype=dtype), progress=stop)
    assert PreTrainedModel.tie_weights is before
    assert torch.get_default_dtype() == torch.float32
    again = load(spec)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)


def test_waiting_for_another_model_can_be_stopped(tiny, tmp_path):
    spec = ModelSpec(name=str(save_folder(tiny, tmp_path / "m")), device="cpu")

    def stop(what, *_):
        if "waiting for another model" in what:
            raise CancelledError

    with (
        building(),
        ThreadPoolExecutor(1) as pool,
        pytest.raises(CancelledError),
    ):
        pool.submit(load, spec, progress=stop).result(timeout=60)


def test_bars_of_one_thread_are_not_told_to_another():
    transformers()
    told = []

    def read(name):
        with reported(name, lambda *report: told.append(report)):
            barrier.wait()
            list(tqdm([1, 2], desc="Loading weights"))

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, ["a", "b"]))
    list(tqdm([1, 2, 3]))  # nobody watches
    for name in "ab":
        assert [r for r in told if r[0] == name] == [(name, d, 2) for d in range(3)]
    assert len(told) == 6


def test_the_shape_of_an_uneven_export_is_its_own(tmp_path):
    lm = tiny_model()
    keep = (torch.arange(24), torch.arange(7))
    pruned = llmrank.prune(lm, PruningPlan(keep, (24, 24)))
    llmrank.save(pruned, tmp_path / "uneven")
    known = shape(ModelSpec(name=str(tmp_path / "uneven")))
    assert known.widths == ffn.widths(pruned.model) == (24, 7)
    assert known.n_params == footprint(pruned).n_params
