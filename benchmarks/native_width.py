"""A pruned model against one built natively with that width: same size, same speed?"""

import argparse
import dataclasses

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from llmrank.calibration.activations import CalibrationSpec
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.footprint import footprint
from llmrank.evaluation.latency import latency
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.models.families import family_of
from llmrank.models.language_model import LanguageModel, ModelSpec


def main() -> None:
    """Print both sizes and the ratio of their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sparsity", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    experiment = Experiment(ModelSpec(name=options.model), CalibrationSpec(samples=2))
    pruned = Pipeline().pruned(experiment.at(options.sparsity))
    native = natively_built(pruned)
    sizes = [footprint(lm) for lm in (pruned, native)]
    assert sizes[0] == sizes[1], "a natively built model must have the same footprint"
    spec = BenchmarkSpec(repeats=options.rounds)
    times = latency((pruned, native), spec)
    print(f"{sizes[0].n_params:,} parameters both; {options.rounds} interleaved rounds")
    print(f"{'':<10}{'pruned':>12}{'native':>12}{'ratio':>8}")
    for phase in ("prefill", "decode"):
        ours, theirs = (getattr(t, phase).median for t in times)
        print(f"{phase:<10}{ours:>9.1f} ms{theirs:>9.1f} ms{ours / theirs:>8.3f}")


def natively_built(pruned: LanguageModel) -> LanguageModel:
    """Build the same architecture from a config with the smaller width."""
    config = AutoConfig.for_model(**pruned.config.to_dict())
    width = family_of(config.model_type).width
    assert getattr(config, width) == footprint(pruned).widths[0]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model = model.to(pruned.device).eval().requires_grad_(False)
    return dataclasses.replace(pruned, model=model)


if __name__ == "__main__":
    main()
