"""The embedded model for real: the whole job at 30 %, on few tokens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import llmrank
from llmrank.calibration.activations import CalibrationSpec
from llmrank.core.statistics import t_interval
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.perplexity import EvaluationSpec, evaluate, perplexity_ratio
from llmrank.experiments.pipeline.kept import found
from llmrank.experiments.pipeline.stage import reading_key
from llmrank.experiments.settings import experiment
from llmrank.methods.allocation import Global
from llmrank.methods.criteria import LLMRank, Random
from llmrank.methods.pruning import PruningSpec
from llmrank.models.language_model import ModelSpec, shape

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROMPT = torch.arange(1000, 1064)[None]
EVALUATION = EvaluationSpec(eval_tokens=2048)


@pytest.fixture(scope="module")
def demo():
    return llmrank.load(ModelSpec(device="cpu"))


@pytest.fixture(scope="module")
def stats(demo):
    return llmrank.calibrate(demo, CalibrationSpec(samples=12, seq_len=256))


@pytest.fixture(scope="module")
def pruned(demo, stats):
    def by(criterion):
        scores = llmrank.score(demo, stats, criterion)
        return llmrank.prune(demo, llmrank.plan(scores, PruningSpec(sparsity=0.3)))

    return {"llm-rank": by(LLMRank()), "random": by(Random())}


@pytest.fixture(scope="module")
def texts(demo, pruned):
    models = {"dense": demo, **pruned}
    return {name: evaluate(lm, EVALUATION) for name, lm in models.items()}


def test_the_embedded_model_is_what_the_readme_says(demo):
    """SmolLM2-135M: 30 layers, 576 wide, 1,536 neurons each."""
    found, known = footprint(demo), shape(ModelSpec())
    assert found.n_params == known.n_params == 134_515_008
    assert found.widths == (1536,) * 30
    assert (known.model_type, known.d_model, known.n_layers) == ("llama", 576, 30)
    assert demo.tokenizer.decode(demo.tokenizer("The old mill")["input_ids"]) == (
        "The old mill"
    )


def test_a_third_of_the_neurons_is_really_gone(demo, pruned):
    """1,536 - 461 = 1,075; each neuron has three times 576 weights."""
    found = footprint(pruned["llm-rank"])
    assert found.widths == (1075,) * 30
    assert found.n_params == 110_616_768 == 134_515_008 - 30 * 461 * 3 * 576
    assert footprint(demo).n_params == 134_515_008


def test_centrality_costs_some_perplexity_and_chance_much_more(texts):
    """benchmarks.methods: 2.26 [1.98, 2.57] on 4,096 tokens; random 40 [22, 76]."""
    ours = perplexity_ratio(texts["dense"], texts["llm-rank"])
    random = perplexity_ratio(texts["dense"], texts["random"])
    assert 10 < texts["dense"].perplexity.value < 40
    assert 1.2 < ours.value < 4
    assert random.value > 4 * ours.value
    apart = t_interval(texts["random"].nll - texts["llm-rank"].nll)
    assert apart.low > 0  # paired by window
    assert texts["llm-rank"].top1.value > texts["random"].top1.value


def test_the_export_opens_in_plain_transformers_bit_for_bit(pruned, tmp_path):
    lm = pruned["llm-rank"]
    saved = llmrank.save(lm, tmp_path / "smaller", recipe={"sparsity": 0.3})
    assert saved.plain
    assert saved.max_difference == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "smaller")
    assert sum(p.numel() for p in model.parameters()) == 110_616_768
    with torch.inference_mode():
        assert torch.equal(model(PROMPT).logits, lm.model(PROMPT).logits)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "smaller")
    text = "In spring the water climbs the stones."
    assert tokenizer(text)["input_ids"] == lm.tokenizer(text)["input_ids"]


def test_one_threshold_for_all_layers_exports_and_opens_here(demo, stats, tmp_path):
    scores = llmrank.score(demo, stats, LLMRank())
    plan = llmrank.plan(scores, PruningSpec(sparsity=0.3), Global())
    assert plan.n_dropped == 13_824  # 0.3 of 46,080
    assert not plan.uniform
    uneven = llmrank.prune(demo, plan)
    saved = llmrank.save(uneven, tmp_path / "uneven")
    assert not saved.plain
    assert saved.max_difference == 0
    loaded = llmrank.load(ModelSpec(name=str(tmp_path / "uneven"), device="cpu"))
    assert footprint(loaded).widths == plan.widths


def test_half_precision_runs(demo):
    half = llmrank.load(ModelSpec(dtype="bfloat16", device="cpu"))
    with torch.inference_mode():
        ours, full = half.model(PROMPT).logits, demo.model(PROMPT).logits
    assert ours.dtype == torch.bfloat16
    agree = (ours.argmax(-1) == full.argmax(-1)).float().mean()
    assert float(agree) > 0.8


def test_the_embedded_model_is_prepared_from_its_gguf_once(demo, tmp_path):
    """The conversion itself, in an empty cache and a process of its own."""
    ran = subprocess.run(
        [
            sys.executable,
            "-c",
            "from llmrank.models import checkpoints; "
            "print(checkpoints.demo_folder(), end='')",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"LLMRANK_CACHE": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
    (folder,) = tmp_path.iterdir()
    assert ran.stdout == str(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.inference_mode():
        assert torch.equal(model(PROMPT).logits, demo.model(PROMPT).logits)


def test_what_the_default_method_reads_was_kept_at_set_up(demo):
    """`make setup` has run before any test: nothing is calibrated once more."""
    kept = found(reading_key(experiment({})), demo, "statistics")
    assert kept.n_tokens == 64 * 256
    assert len(kept.layers) == 30
