"""Checkpoints that others open, verified, whole, or not there at all."""

import json
import os
import resource
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch
from conftest import byte_tokenizer, save_folder, tiny_model
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import llmrank
from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.core.errors import LLMRankError
from llmrank.methods.criteria import LLMRank, score
from llmrank.methods.pruning import PruningPlan, prune
from llmrank.methods.scores_file import write_scores
from llmrank.models import export, ffn, precision
from llmrank.models.export import free_folder, padded, save, zipped
from llmrank.models.language_model import LanguageModel, ModelSpec

PROMPT = torch.arange(1, 40)[None]
FAMILIES = ("llama", "gpt2", "opt", "gpt_neox", "gemma2")
WIDTH = {"llama": "intermediate_size", "gpt2": "n_inner", "opt": "ffn_dim"}


def cut(lm, *widths):
    """Keep every layer's last neurons, so that order and offset matter."""
    keep = tuple(torch.arange(24 - width, 24) for width in widths)
    return prune(lm, PruningPlan(keep, (24, 24)))


def contents(folder):
    return sorted(p.name for p in folder.iterdir())


# Opened by others


@pytest.mark.parametrize("family", FAMILIES)
def test_a_uniform_model_opens_in_plain_transformers(tmp_path, family):
    lm = tiny_model(family)
    pruned = cut(lm, 9, 9)
    saved = save(pruned, tmp_path / "smaller")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "smaller")
    assert torch.equal(model(PROMPT).logits, pruned.model(PROMPT).logits)
    assert not torch.equal(model(PROMPT).logits, lm.model(PROMPT).logits)
    assert getattr(model.config, WIDTH.get(family, "intermediate_size")) == 9
    assert saved.plain
    assert saved.max_difference == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "smaller")
    text = "The mill, and the wheel."
    assert tokenizer(text)["input_ids"] == lm.tokenizer(text)["input_ids"]


def test_all_files_may_be_read_by_whom_the_umask_lets(tmp_path, tiny):
    before = os.umask(0o022)
    try:
        save(tiny, tmp_path / "model")
    finally:
        os.umask(before)
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "model").iterdir()}
    assert modes["model.safetensors"] == 0o644
    assert set(modes.values()) == {0o644}


def test_a_plain_model_is_smaller_on_disk(tmp_path, tiny):
    dense, pruned = save(tiny, tmp_path / "a"), save(cut(tiny, 9, 9), tmp_path / "b")
    gone = 2 * 15 * 3 * 16 * 4  # layers, neurons, matrices, d_model, bytes
    assert dense.file_bytes - pruned.file_bytes == pytest.approx(gone, abs=200)
    size = sum(f.stat().st_size for f in (tmp_path / "b").iterdir())
    assert pruned.file_bytes == size


@pytest.mark.parametrize("family", FAMILIES)
def test_an_uneven_model_opens_in_llmrank_and_nowhere_else(tmp_path, family):
    pruned = cut(tiny_model(family), 5, 12)
    saved = save(pruned, tmp_path / "uneven")
    assert not saved.plain
    loaded = llmrank.load(ModelSpec(name=str(tmp_path / "uneven"), device="cpu"))
    assert ffn.widths(loaded.model) == (5, 12)
    assert torch.equal(loaded.model(PROMPT).logits, pruned.model(PROMPT).logits)
    assert type(loaded.model) is type(pruned.model)
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "uneven")


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_a_padded_model_opens_in_plain_transformers(tmp_path, family):
    pruned = cut(tiny_model(family), 5, 12)
    wide = padded(pruned)
    saved = save(wide, tmp_path / "padded")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "padded")
    assert saved.plain
    assert ffn.widths(model) == (12, 12)
    torch.testing.assert_close(model(PROMPT).logits, pruned.model(PROMPT).logits)
    assert ffn.widths(pruned.model) == (5, 12)
    assert wide.spec == pruned.spec


def test_a_tied_output_head_is_stored_once(tmp_path):
    lm = tiny_model()
    lm.model.config.tie_word_embeddings = True
    lm.model.tie_weights()
    for name, widths in {"even": (9, 9), "uneven": (9, 4)}.items():
        pruned = cut(lm, *widths)
        save(pruned, tmp_path / name)
        assert "lm_head.weight" not in load_file(tmp_path / name / "model.safetensors")
        loaded = llmrank.load(ModelSpec(name=str(tmp_path / name), device="cpu"))
        assert loaded.model.lm_head.weight is loaded.model.model.embed_tokens.weight
        assert torch.equal(loaded.model(PROMPT).logits, pruned.model(PROMPT).logits)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("widths", [(9, 9), (9, 4)])
def test_half_precision_is_kept(tmp_path, tiny_folder, dtype, widths):
    spec = ModelSpec(name=str(tiny_folder), dtype=dtype, device="cpu")
    pruned = cut(llmrank.load(spec), *widths)
    saved = save(pruned, tmp_path / "half")
    assert saved.max_difference == 0
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {getattr(torch, dtype)}


@pytest.fixture
def own_half(tmp_path, tiny):
    """A bfloat16 folder, computed in float32 as by default, and pruned."""
    half = replace(tiny, model=precision.cast(tiny.model, "bfloat16"))
    folder = save_folder(half, tmp_path / "own")
    return cut(llmrank.load(ModelSpec(name=str(folder), device="cpu")), 9, 9)


def stored_dtypes(folder):
    return {t.dtype for t in load_file(folder / "model.safetensors").values()}


def test_the_checkpoints_own_precision_is_kept(tmp_path, own_half):
    saved = save(own_half, tmp_path / "smaller")
    assert stored_dtypes(saved.folder) == {torch.bfloat16}
    assert (saved.max_difference, saved.rounding) == (0, 0)
    said = "The weights are in bfloat16, the checkpoint's own precision; rounding them"
    assert f"{said} changed no logit. Plain" in saved.summary
    config = json.loads((saved.folder / "config.json").read_text("utf-8"))
    assert config["dtype"] == config["torch_dtype"] == "bfloat16"
    assert {p.dtype for p in own_half.model.parameters()} == {torch.float32}


def test_another_precision_is_written_when_asked(tmp_path, own_half):
    sizes = {}
    for dtype in ("float32", "bfloat16", "float16"):
        saved = save(own_half, tmp_path / dtype, dtype=dtype)
        assert stored_dtypes(saved.folder) == {getattr(torch, dtype)}
        assert f"The weights are in {dtype}, as asked" in saved.summary
        sizes[dtype] = saved.file_bytes
    half = 2 * sum(p.numel() for p in own_half.model.parameters())
    for dtype in ("bfloat16", "float16"):
        assert sizes["float32"] - sizes[dtype] == pytest.approx(half, abs=200)


def test_what_rounding_did_to_repaired_weights_is_said(tmp_path, own_half):
    """Their own bits are not the checkpoint's: a third is no bfloat16."""
    thirds = [f.down / 3 for f in ffn.ffns(own_half.model)]
    repaired = replace(own_half, model=ffn.with_down(own_half.model, thirds))
    saved = save(repaired, tmp_path / "repaired")
    model = AutoModelForCausalLM.from_pretrained(saved.folder, dtype="float32")
    first = PROMPT[:, :32]  # the export is verified by it
    apart = (model(first).logits - repaired.model(first).logits).abs().max().item()
    assert saved.max_difference == 0
    assert saved.rounding == pytest.approx(apart, rel=1e-3)
    assert f"rounding them moves logits by up to {saved.rounding:.1e}" in saved.summary


def test_weights_too_large_for_float16_are_refused_before_writing(tmp_path, tiny):
    large = [f.down * 1e6 for f in ffn.ffns(tiny.model)]
    lm = replace(tiny, model=ffn.with_down(tiny.model, large))
    with pytest.raises(LLMRankError, match="does not fit into float16"):
        save(lm, tmp_path / "model", dtype="float16")
    assert contents(tmp_path) == []


def test_the_space_that_is_needed_follows_the_precision(tmp_path, tiny, monkeypatch):
    full = sum(p.nbytes for p in tiny.model.parameters())
    disk = SimpleNamespace(free=int(full * 0.6))
    monkeypatch.setattr(export.shutil, "disk_usage", lambda _: disk)
    with pytest.raises(LLMRankError, match="free some space or name another folder"):
        save(tiny, tmp_path / "whole")
    assert save(tiny, tmp_path / "half", dtype="bfloat16").plain


def test_a_tokenizer_that_reads_otherwise_is_not_kept(tmp_path, tiny):
    other = byte_tokenizer()
    read = other.save_pretrained
    other.save_pretrained = lambda folder: (
        read(folder),
        shift_tokens(folder),
    )
    with pytest.raises(LLMRankError, match="tokenizer does not read a text as"):
        save(replace(tiny, tokenizer=other), tmp_path / "model")
    assert contents(tmp_path) == []


def shift_tokens(folder):
    """Let every byte's token be the next one's."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text("utf-8"))
    vocab = content["model"]["vocab"]
    content["model"]["vocab"] = dict(zip(vocab, [*range(1, 256), 0, 256], strict=True))
    file.write_text(json.dumps(content), "utf-8")


def test_an_export_can_be_pruned_and_exported_again(tmp_path, tiny):
    save(cut(tiny, 20, 12), tmp_path / "first")
    first = llmrank.load(ModelSpec(name=str(tmp_path / "first"), device="cpu"))
    keep = (torch.arange(6), torch.arange(6))
    second = prune(first, PruningPlan(keep, (20, 12)))
    assert save(second, tmp_path / "second").plain
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "second")
    assert torch.equal(model(PROMPT).logits, second.model(PROMPT).logits)


# What is said and stored


def test_the_recipe_lies_beside_the_weights(tmp_path, tiny):
    recipe = {"criterion": {"name": "llm-rank", "theta": 0.5}, "text": "μύλος"}
    save(cut(tiny, 5, 12), tmp_path / "model", recipe=recipe)
    stored = json.loads((tmp_path / "model" / "llmrank.json").read_text("utf-8"))
    assert stored["widths"] == [5, 12]
    assert stored["recipe"] == recipe


def test_no_pickle_is_written(tmp_path, tiny):
    save(cut(tiny, 9, 9), tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").iterdir()} == {
        ".json", ".safetensors",
    }  # fmt: skip


def test_the_summary_says_how_to_open_it(tmp_path, tiny):
    plain, uneven = (
        save(cut(tiny, 9, w), tmp_path / f"to {w}").summary for w in (9, 4)
    )
    where = f"{str(tmp_path / 'to 9')!r}"
    assert "bit-identical logits. The weights are in float32, as it was" in plain
    checked = "Plain transformers opens it (checked with 5.23.0 and 4.57.6): "
    assert checked in plain
    assert plain.endswith(f"AutoModelForCausalLM.from_pretrained({where})")
    assert "plain transformers cannot open: llmrank opens it, or pad it" in uneven
    assert uneven.endswith(f"llmrank.load({str(tmp_path / 'to 4')!r})")


@pytest.mark.parametrize("widths", [(9, 9), (9, 4)])
def test_the_loader_that_is_said_really_opens_it(tmp_path, tiny, widths):
    pruned = cut(tiny, *widths)
    saved = save(pruned, tmp_path / 'it\'s "quoted"')
    names = {"AutoModelForCausalLM": AutoModelForCausalLM, "llmrank": llmrank}
    opened = eval(saved.loader, names)
    model = opened if saved.plain else opened.model
    assert torch.equal(model(PROMPT).logits, pruned.model(PROMPT).logits)


@pytest.mark.parametrize("widths", [(9, 9), (5, 12)])
def test_the_snippet_opens_model_and_tokenizer(tmp_path, tiny, widths):
    pruned, opened = cut(tiny, *widths), {}
    saved = save(pruned, tmp_path / "AutoModelForCausalLM")
    exec(saved.snippet, opened)
    logits = opened["model"](PROMPT.to(opened["model"].device)).logits.cpu()
    assert torch.allclose(logits, pruned.model(PROMPT).logits, atol=1e-4)
    assert (
        opened["tokenizer"]("mill")["input_ids"] == tiny.tokenizer("mill")["input_ids"]
    )


def test_a_free_folder_is_not_there_yet(tmp_path):
    wanted = tmp_path / "smaller"
    assert free_folder(wanted) == wanted
    wanted.mkdir()
    (tmp_path / "smaller-2").write_text("a file")
    assert free_folder(wanted) == tmp_path / "smaller-3"


def test_progress_is_told_by_part_and_by_tensor(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(export, "SHARD", "10KB")
    told = []
    saved = save(tiny, tmp_path / "model", progress=lambda *step: told.append(step))
    n_parts = len(list(saved.folder.glob("*.safetensors")))
    assert n_parts > 2
    writing = [(d, n) for what, d, n in told if what == "Writing the checkpoint"]
    assert writing == [(done, n_parts) for done in range(n_parts + 1)]
    n_tensors = len(tiny.model.state_dict())
    reloading = [(d, n) for what, d, n in told if what == "Reloading it to verify"]
    assert {(done, n_tensors) for done in range(n_tensors + 1)} <= set(reloading)
    assert len(told) == len(writing) + len(reloading)
    model = AutoModelForCausalLM.from_pretrained(saved.folder)
    assert torch.equal(model(PROMPT).logits, tiny.model(PROMPT).logits)


# Whole or not at all


def test_a_full_folder_is_refused_and_left_alone(tmp_path, tiny):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(LLMRankError, match="is not empty and nothing in it is"):
        save(tiny, tmp_path)
    assert contents(tmp_path) == ["mine.txt"]
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_the_home_folder_may_be_written_with_a_tilde(tmp_path, tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert save(tiny, "~/model").folder == tmp_path / "model"


class Forgetful(torch.nn.Module):
    """Adds something that no checkpoint stores."""

    def __init__(self, inner, amount):
        super().__init__()
        self.weight, self.amount = inner.weight, amount

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight) + self.amount


@pytest.mark.parametrize("amount", [0.1, float("nan")])
def test_a_model_that_does_not_verify_is_not_kept(tmp_path, tiny, amount):
    model = ffn.shared_copy(tiny.model)
    model.lm_head = Forgetful(model.lm_head, amount)
    with pytest.raises(LLMRankError, match="does not compute what the model does"):
        save(LanguageModel(tiny.spec, model, tiny.tokenizer), tmp_path / "model")
    assert contents(tmp_path) == []


@pytest.mark.parametrize("where", ["Writing", "Reloading"])
def test_stopping_an_export_leaves_nothing(tmp_path, tiny, monkeypatch, where):
    monkeypatch.setattr(export, "SHARD", "10KB")

    def stop(what, done, _):
        if what.startswith(where) and done == 2:
            raise llmrank.CancelledError

    with pytest.raises(llmrank.CancelledError):
        save(tiny, tmp_path / "model", progress=stop)
    assert contents(tmp_path) == []


def test_an_export_that_memory_cannot_verify_is_refused(tmp_path, tiny, monkeypatch):
    little = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(LLMRankError, match="verifying the export loads it once more"):
        save(tiny, tmp_path / "model")
    assert contents(tmp_path) == []


@contextmanager
def small_files(n_bytes):
    """Let no file of this process grow beyond a size, as a full disk would.

    Around the call alone: pytest's own output may go to a file as well.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [100, 1000, 20_000, 45_000])
def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path, tiny, n_bytes):
    """Weights take 48 kB, the tokenizer 10 kB, the configuration 1 kB."""
    with pytest.raises(LLMRankError) as caught, small_files(n_bytes):
        save(tiny, tmp_path / "model")
    assert f"writing {tmp_path}/model failed (" in str(caught.value)
    assert "File too large" in str(caught.value)
    assert contents(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only Linux's root may mount a disk")
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_during_an_export_is_left_empty(small_disk, tiny):
    """The weights (48 kB) fit by themselves, with the rest they do not."""
    with pytest.raises(LLMRankError, match="No space left on device"):
        save(tiny, small_disk / "model")
    assert contents(small_disk) == []


def test_a_disk_that_is_too_small_is_refused_before_writing(small_disk):
    wide = prune(tiny_model(), PruningPlan((torch.arange(24),) * 2, (24, 24)))
    (small_disk / "other").write_bytes(b"x" * 20_000)
    with pytest.raises(LLMRankError, match=r"has 0\.00 GB free, the checkpoint needs"):
        save(wide, small_disk / "model")
    assert contents(small_disk) == ["other"]


# Archives


def test_a_zip_holds_the_folder(tmp_path, tiny):
    pruned = cut(tiny, 9, 9)
    save(pruned, tmp_path / "model.v1")
    archive = zipped(tmp_path / "model.v1")
    assert archive == tmp_path / "model.v1.zip"
    assert contents(tmp_path) == ["model.v1", "model.v1.zip"]
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model.v1")
    assert torch.equal(model(PROMPT).logits, pruned.model(PROMPT).logits)


def test_packing_can_be_stopped_and_leaves_nothing(tmp_path, tiny):
    save(tiny, tmp_path / "model")

    def stop(*_):
        raise llmrank.CancelledError

    with pytest.raises(llmrank.CancelledError):
        zipped(tmp_path / "model", progress=stop)
    assert contents(tmp_path) == ["model"]


def test_a_zip_that_is_there_is_not_overwritten(tmp_path, tiny):
    save(tiny, tmp_path / "model")
    (tmp_path / "model.zip").write_text("mine")
    with pytest.raises(LLMRankError, match=r"model\.zip exists already and is not"):
        zipped(tmp_path / "model")
    assert (tmp_path / "model.zip").read_text() == "mine"


def test_a_zip_that_cannot_be_written_leaves_nothing(tmp_path, tiny):
    save(tiny, tmp_path / "model")
    failed = r"model\.zip failed \(File too large\)"
    with pytest.raises(LLMRankError, match=failed), small_files(10_000):
        zipped(tmp_path / "model")
    assert contents(tmp_path) == ["model"]


# Scores


@pytest.fixture(scope="module")
def scored(tiny, tiny_text):
    spec = CalibrationSpec(calibration_text=str(tiny_text), samples=3, seq_len=32)
    stats = calibrate(tiny, spec)
    return score(tiny, stats, LLMRank()), stats


def test_scores_are_written_by_name_with_their_origin(tmp_path, scored):
    scores, stats = scored
    path, recipe = tmp_path / "scores.safetensors", {"criterion": {"θ": 0.5}}
    write_scores(path, scores, stats, recipe)
    stored = load_file(path)
    names = ("input_norm", "up_norm", "neuron_norm", "output_norm")
    expected = {f"layers.{i}.{n}" for i in (0, 1) for n in ("scores", *names)}
    assert set(stored) == expected
    for i in (0, 1):
        assert torch.equal(stored[f"layers.{i}.scores"], scores.layers[i].float())
        for name in names:
            assert torch.equal(
                stored[f"layers.{i}.{name}"], getattr(stats.layers[i], name)
            )
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["recipe"]) == recipe
        assert file.metadata()["text_sha256"] == stats.text_sha256


def test_scores_that_cannot_be_written_leave_nothing(tmp_path, scored):
    with pytest.raises(LLMRankError, match="File too large"), small_files(500):
        write_scores(tmp_path / "scores.safetensors", *scored, {})
    assert contents(tmp_path) == []


def test_the_tolerance_is_strict_on_the_cpu(tmp_path, tiny):
    """A change of one part in ten thousand of one logit is seen."""
    model = ffn.shared_copy(tiny.model)
    model.lm_head = Forgetful(model.lm_head, 2e-4)
    with pytest.raises(LLMRankError, match=r"logits differ by 0\.0002"):
        export.save(LanguageModel(tiny.spec, model, tiny.tokenizer), tmp_path / "m")
