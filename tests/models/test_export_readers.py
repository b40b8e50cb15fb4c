"""Exports mean the same in an older transformers, which is run beside this one.

`make transformers4` installs it; `LLMRANK_TRANSFORMERS4` names its Python.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import reader
import torch
import transformers
from conftest import byte_tokenizer, tiny_model
from tokenizers import processors

import llmrank
from llmrank.calibration.activations import CalibrationSpec
from llmrank.data import texts
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import L2
from llmrank.methods.method import Method
from llmrank.models import compatibility, precision
from llmrank.models.export import SAMPLE, save
from llmrank.models.families import SUPPORTED
from llmrank.models.language_model import LanguageModel

pytestmark = pytest.mark.slow  # two processes and a real checkpoint

OLDER = os.environ.get("LLMRANK_TRANSFORMERS4")
ROOT = Path(llmrank.__file__).parents[1]

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = YARN | {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LONG = YARN | {"rope_type": "longrope", "factor": 8.0}
LONG |= {"short_factor": [1.1, 1.7], "long_factor": [2.0, 4.0]}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0}
SCALED = {
    "llama-llama3": ("llama", LLAMA3),
    "llama-yarn": ("llama", YARN | {"beta_fast": 16.0}),
    "llama-longrope": ("llama", LONG),
    "qwen2-dynamic": ("qwen2", DYNAMIC),
    "olmo-linear": ("olmo", {"rope_type": "linear", "factor": 4.0}),
    "gemma3-linear": ("gemma3_text", {"rope_type": "linear", "factor": 8.0}),
    "hunyuan-alpha": ("hunyuan_v1_dense", DYNAMIC | {"alpha": 100.0}),
}
REFUSED = {
    "olmo-yarn": ("olmo", YARN),
    "hunyuan-dynamic": ("hunyuan_v1_dense", DYNAMIC),
}


def supported(cases):
    return {name: case for name, case in cases.items() if case[0] in SUPPORTED}


def moved(rope):
    """Halve every base: what a reader takes by default is then another."""
    if rope is None:
        return {}
    if "rope_theta" in rope:
        return {"rope_parameters": rope | {"rope_theta": rope["rope_theta"] / 2}}
    return {
        "rope_parameters": {
            name: p | {"rope_theta": p["rope_theta"] / 2} for name, p in rope.items()
        }
    }


def of_another_base(model_type, **scaling):
    """Build a model of no default base, its full attention scaled as given."""
    usual = tiny_model(model_type).config
    more = moved(getattr(usual, "rope_parameters", None))
    rope = more.get("rope_parameters", {})
    rope.get("full_attention", rope).update(scaling)
    if "partial_rotary_factor" in rope:  # or a quarter of a head is one dimension
        more["hidden_size"] = 64
    return tiny_model(model_type, **more)


def of_another_tokenizer():
    """Build one that begins with BOS, pads on the left, chats and has more tokens."""
    tokenizer = byte_tokenizer()
    more = {"bos_token": "<bos>", "additional_special_tokens": ["<wheel>", "<mill>"]}
    tokenizer.add_special_tokens(more)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        pair="<bos> $A <bos> $B",
        special_tokens=[("<bos>", tokenizer.bos_token_id)],
    )
    tokenizer.padding_side = "left"
    tokenizer.chat_template = "{% for m in messages %}<mill>{{ m.content }}{% endfor %}"
    return LanguageModel(tiny_model().spec, tiny_model().model, tokenizer)


def pruned_demo():
    """Drop 30 % of the demo's neurons, by their weights: quick."""
    few = CalibrationSpec(samples=1, seq_len=64)
    return Pipeline().pruned(Experiment(method=Method(L2()), calibration=few))


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Every export by name: the model, its folder, what was said."""
    made = {kind: of_another_base(kind) for kind in SUPPORTED}
    for name, (kind, scaling) in supported(SCALED | REFUSED).items():
        made[name] = of_another_base(kind, **scaling)
    made["tied"] = tiny_model("llama", tie_word_embeddings=True)
    made["tokenizer"] = of_another_tokenizer()
    made["demo"] = pruned_demo()
    root = tmp_path_factory.mktemp("exports")
    found = {name: (lm, save(lm, root / name)) for name, lm in made.items()}
    half = tiny_model()
    found["bfloat16"] = half, save(half, root / "bfloat16", dtype="bfloat16")
    return found


@pytest.fixture(scope="session")
def book():
    text = texts.text(Experiment().evaluation.eval_text, "evaluation")
    return text.content[:20_000]


@pytest.fixture(scope="session")
def read(exported, book):
    """What the older transformers says of every export."""
    if OLDER is None:
        pytest.skip("LLMRANK_TRANSFORMERS4 names no Python; see `make transformers4`")
    folders = {name: str(saved.folder) for name, (_, saved) in exported.items()}
    asked = {"folders": list(folders.values()), "text": SAMPLE, "book": book}
    child = subprocess.run(
        [OLDER, reader.__file__],
        input=json.dumps(asked | {"long": folders["demo"]}),
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert child.returncode == 0, child.stderr[-2000:]
    answer = json.loads(child.stdout)
    by_name = {name: answer["found"][folder] for name, folder in folders.items()}
    return answer | {"found": by_name}


def logits_of(exported, name):
    """Return the logits here and there."""
    lm, saved = exported[name]
    here = lm.model(reader.prompt(lm.config.vocab_size)).logits
    return here, torch.load(saved.folder / "logits.pt")


def opened(exported):
    """The names of the exports that are said to open."""
    _, older = compatibility.CHECKED
    return {name for name, (_, s) in exported.items() if f"and {older}" in s.opened}


def test_the_checked_versions_are_those_of_the_environments(read):
    newer, older = compatibility.CHECKED
    assert transformers.__version__ == newer
    assert read["version"] == older
    for name, version in {"": newer, "-transformers4": older}.items():
        pinned = (ROOT / f"requirements{name}.txt").read_text("utf-8")
        assert re.findall(r"^transformers==(\S+)", pinned, re.M) == [version]


def test_the_types_that_are_said_to_be_newer_are(read):
    unknown = set(SUPPORTED) - set(read["types"])
    assert unknown == set(compatibility.NEWER_TYPES) & set(SUPPORTED)


def test_what_is_said_to_open_opens_and_nothing_else(exported, read):
    errors = {n: f["error"] for n, f in read["found"].items() if "error" in f}
    assert set(read["found"]) - set(errors) == opened(exported), errors
    newer = set(compatibility.NEWER_TYPES) & set(SUPPORTED)
    assert set(errors) == newer | set(supported(REFUSED))


def test_every_export_computes_the_same_there(exported, read):
    apart = {}
    for name in opened(exported) - {"bfloat16"}:
        here, there = logits_of(exported, name)
        difference = float((here - there).abs().max())
        if difference > 1e-4 * max(1, float(here.abs().max())):
            apart[name] = difference
    assert read
    assert not apart


def test_what_the_older_leaves_out_is_said(exported):
    """It computes softcaps with eager attention alone, which is not its default."""
    softcapped = {
        name
        for name, (lm, _) in exported.items()
        if getattr(lm.config, "attn_logit_softcapping", None)
    }
    assert softcapped == {"gemma2", "vaultgemma"}
    for name, (_, saved) in exported.items():
        assert (compatibility.EAGER in saved.opened) is (name in softcapped)


def test_every_tokenizer_reads_the_same_there(exported, read):
    for name in opened(exported):
        lm, _ = exported[name]
        here, there = reader.read_by(lm.tokenizer, SAMPLE), read["found"][name]
        assert {key: there[key] for key in here} == here, name


def test_the_precision_is_the_one_that_is_said(exported, read):
    found = {n: read["found"][n]["dtype"] for n in ("llama", "bfloat16")}
    assert found == {"llama": "torch.float32", "bfloat16": "torch.bfloat16"}
    here, there = logits_of(exported, "bfloat16")
    rounded = precision.cast(
        precision.cast(exported["bfloat16"][0].model, "bfloat16"), "float32"
    )
    expected = rounded(reader.prompt(257)).logits
    torch.testing.assert_close(there, expected)
    assert not torch.equal(here, there)


@torch.inference_mode()
def test_the_pruned_demo_has_the_same_perplexity_there(exported, read, book):
    lm, _ = exported["demo"]
    here = reader.surprise(lm.model, lm.tokenizer, book)
    assert read["found"]["demo"]["surprise"] == pytest.approx(here, abs=1e-5)
