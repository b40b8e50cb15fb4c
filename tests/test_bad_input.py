"""Every bad input of issue 2, section 4: one sentence each, and nothing is lost."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
from pathlib import Path

import pytest
import torch
from checkpoint_writers import write_gguf
from conftest import save_folder, tiny_model
from safetensors.torch import load_file, save_file

from llmrank.__main__ import main
from llmrank.models import ffn


@pytest.fixture
def folder(tiny_folder, tmp_path):
    """A copy of the tiny model's folder that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "model"))


def command(*words):
    """Run a command here; return its status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(word) for word in words])
    return status, out.getvalue(), err.getvalue()


def refusal(*words):
    """Run a command that must refuse; return its sentence."""
    status, out, err = command(*words)
    assert status == 2
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert err.endswith(f"{errors[0]}\n")
    assert "Traceback" not in err
    return errors[0].removeprefix("error: ")


def scored(tiny_text, tmp_path, *words):
    """The arguments of a `score` that reads a small text."""
    return (
        *("score", "--device", "cpu", "--calibration-text", tiny_text),
        *("--samples", 4, "--seq-len", 64, "--out", tmp_path / "s.safetensors", *words),
    )


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


# Numbers


@pytest.mark.parametrize("name", ["theta", "gamma", "sparsity"])
@pytest.mark.parametrize(
    "value", ["-0.1", "1.1", "nan", "inf", "-inf", "1e999", "", "0,5", "half", "None"]
)
def test_numbers_that_are_none_or_out_of_range(tmp_path, name, value):
    said = refusal("score", f"--{name}={value}", "--out", tmp_path / "s")
    top = ")" if name == "sparsity" else "]"
    assert said.startswith(f"{name} must lie in [0, 1{top}, got ")
    assert files(tmp_path) == {}


# Names


def test_unknown_names(tmp_path):
    out = tmp_path / "s"
    said = refusal("score", "--model", "nobody/nothing", "--out", out)
    assert said.startswith("no model 'nobody/nothing': ")
    said = refusal("score", "--criterion", "best", "--out", out)
    assert said.startswith("unknown criterion 'best'; there are: llm-rank, ")
    said = refusal("evaluate", "--tasks", "mmlu")
    assert said.startswith("unknown task 'mmlu'; there are: piqa, ")


# Models


def remove_config(folder):
    (folder / "config.json").unlink()


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def other_type(folder):
    """Named before the weights load: they are none."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "t5"}))
    (folder / "model.safetensors").write_bytes(b"")


def truncate(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def corrupt(folder):
    (folder / "model.safetensors").write_bytes(os.urandom(2000))


def drop_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("model.norm.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def pickle_only(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def break_config(folder):
    (folder / "config.json").write_text("{")


def break_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (remove_config, "holds no model: config.json is missing"),
        (remove_weights, "holds no *.safetensors"),
        (other_type, "models of type 't5' are not supported; supported types: llama"),
        (truncate, "could not be read (SafetensorError"),
        (corrupt, "it is damaged or incomplete, copy or download it again"),
        (drop_tensor, "1 tensors are missing, model.norm.weight among them"),
        (pickle_only, "pytorch_model.bin is a pickle, which is never loaded"),
        (break_config, ": config.json is damaged ("),
        (break_tokenizer, "holds no usable tokenizer"),
    ],
)
def test_models_that_cannot_be_opened(tiny_text, tmp_path, folder, damage, said):
    damage(folder)
    before = files(tmp_path)
    assert said in refusal(*scored(tiny_text, tmp_path, "--model", folder))
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [lambda b: b[:-20_000], lambda b: b[:100], lambda _: b"", lambda _: b"hello" * 99],
)
def test_gguf_files_that_cannot_be_opened(tiny, tiny_text, tmp_path, change):
    path = write_gguf(tiny, tmp_path / "model.gguf")
    path.write_bytes(change(path.read_bytes()))
    said = refusal(*scored(tiny_text, tmp_path, "--model", path))
    assert said.startswith(f"{path} could not be read (")
    assert not (tmp_path / "s.safetensors").exists()


# Texts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; give a UTF-8 text file with some pages"),
        (b" \n", "is empty; give a UTF-8 text file with some pages"),
        (b"x" * 255, "has 255 tokens, but 4 windows of 64 need 256"),
        (b"\xff\xfe" + b"x" * 999, "is not UTF-8 text (byte 0); save it as UTF-8"),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_texts_that_cannot_be_read(tiny_folder, tmp_path, content, said):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    assert said in refusal(*scored(path, tmp_path, "--model", tiny_folder))
    assert not (tmp_path / "s.safetensors").exists()


# Targets


def test_export_folders_that_are_not_free(tmp_path):
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "mine").write_text("precious")
    file.write_text("precious")
    before = files(tmp_path)
    said = refusal("run", "--export", full)
    assert said == (
        f"{full} is not empty and nothing in it is overwritten; "
        "name a new or an empty folder"
    )
    assert refusal("run", "--export", file).startswith(f"{file} is a file; name a new")
    assert files(tmp_path) == before


def test_a_precision_that_weights_cannot_have(tmp_path):
    said = refusal("run", "--export", tmp_path / "new", "--export-dtype", "int8")
    assert said == (
        "the precision of an export must be one of checkpoint, float32, bfloat16, "
        "float16, got 'int8'"
    )
    assert files(tmp_path) == {}


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc takes no folders")
def test_an_export_folder_that_cannot_be_written():
    said = refusal("run", "--export", "/proc/model")
    assert said.startswith("the folder of /proc/model cannot be written to (")


@pytest.mark.slow
def test_a_disk_that_fills_up_during_the_export(tiny_folder, tiny_text, tmp_path):
    """No file may pass 30 kB; the weights need 46 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        status, out, err = command(
            *("run", "--model", tiny_folder, "--device", "cpu", "--samples", 4),
            *("--calibration-text", tiny_text, "--eval-text", tiny_text),
            *("--seq-len", 64, "--eval-tokens", 1024, "--prompt-tokens", 4),
            *("--new-tokens", 1, "--repeats", 2, "--export", tmp_path / "model"),
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = err.splitlines()[-1]
    assert status == 2
    assert said.startswith(f"error: writing {tmp_path / 'model'} failed (")
    assert "File too large" in said
    assert list(tmp_path.iterdir()) == []
    assert "perplexity" in out  # what was measured is not lost with the export


# Values inside a model


def changed(tmp_path, change):
    """A saved model with other weights."""
    lm = tiny_model()
    change(lm)
    return save_folder(lm, tmp_path / "changed")


def spoil(lm):
    ffn.projections(lm.model)[1].up.weight.data[0, 0] = float("nan")


def starve(lm):
    """The norm before each FFN is zero, and so is every activation."""
    for block in lm.model.model.layers:
        block.post_attention_layernorm.weight.data.zero_()


def empty_layer(lm):
    p = ffn.projections(lm.model)[0]
    for module in (p.gate, p.up, p.down):
        module.weight.data.zero_()


def test_activations_that_are_no_numbers(tiny_text, tmp_path):
    model = changed(tmp_path, spoil)
    said = refusal(*scored(tiny_text, tmp_path, "--model", model))
    assert re.match(r"activations of layer 1 \(\w+\) are not finite; ", said)
    assert not (tmp_path / "s.safetensors").exists()


@pytest.mark.parametrize("change", [starve, empty_layer])
@pytest.mark.parametrize("criterion", ["llm-rank", "activation", "wanda"])
def test_zeros_are_scored_all_alike(tiny_text, tmp_path, change, criterion):
    """Nothing is wrong with zeros: they tell neurons apart by the graph, or not."""
    model = changed(tmp_path, change)
    words = scored(tiny_text, tmp_path, "--model", model, "--criterion", criterion)
    status, _, err = command(*words)
    assert status == 0, err
    stored = load_file(tmp_path / "s.safetensors")
    scores = stored["layers.0.scores"]
    assert scores.isfinite().all()
    assert (stored["layers.0.neuron_norm"] == 0).all()
    if change is empty_layer or criterion != "llm-rank":
        assert torch.equal(scores, scores[:1].expand(24))


def test_a_model_with_zeros_goes_the_whole_way(tiny_text, tmp_path):
    """Scored, cut and exported: the lower indices are kept, the logits agree."""
    import llmrank

    dense = llmrank.load(str(changed(tmp_path, empty_layer)))
    spec = llmrank.CalibrationSpec(calibration_text=str(tiny_text), samples=4)
    stats = llmrank.calibrate(dense, spec)
    plan = llmrank.plan(
        llmrank.score(dense, stats, llmrank.LLMRank()),
        llmrank.PruningSpec(sparsity=0.5),
    )
    assert torch.equal(plan.keep[0], torch.arange(12))
    saved = llmrank.save(llmrank.prune(dense, plan), tmp_path / "pruned")
    assert saved.max_difference == 0
