"""Every method at every sparsity on the same text: perplexity against dense.

Perplexity of the pruned model over dense on the same windows with its 95 % interval,
and the share of tokens guessed first; calibrated on other text. Peers' methods are
re-run by our own code in the same run.
"""

import argparse
import time
from dataclasses import replace

from llmrank.calibration.activations import CalibrationSpec
from llmrank.cli.terminal import ProgressBar
from llmrank.core.formatting import number
from llmrank.core.progress import silent
from llmrank.core.statistics import Estimate
from llmrank.data.texts import EMBEDDED
from llmrank.evaluation.perplexity import EvaluationSpec, perplexity_ratio
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.method import Method, method
from llmrank.models.language_model import ModelSpec

METHODS = (
    "random",
    "l1",
    "l2",
    "activation:site=up",
    "llm-rank:site=up",
    "llm-rank:site=up:gamma=0",
    "llm-rank:site=up:graph=chained",
    "llm-rank",
    "llm-rank:graph=chained",
    "llm-rank:variant=modified",
    "activation",
    "wanda",
    "flap",
    "flap+bias",
    "flap+standardised+bias",
    "taylor",
    "taylor:granularity=vector",
    "gblm",
    "cfsp+block-influence",
    "transact",
    "gprune",
    "reverse-rank",
    "llm-rank+global",
    "wanda+similarity",
    "llm-rank+pq-index",
    "llm-rank+effective",
    "llm-rank+least-squares",
    "wanda+least-squares",
    "wanda+additive",
    "cfsp+block-influence+least-squares",
    "cfsp+additive+least-squares",
    "wanda+additive+least-squares",
    "wanda+additive+least-squares-sequential",
    "wanda+search:evaluations=64+least-squares",
)
SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5)


def main() -> None:
    """Print one line per method as soon as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--calibration-text", default=EMBEDDED)
    parser.add_argument("--eval-text", default=EMBEDDED)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--eval-tokens", type=int, default=4096)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--sparsities", nargs="+", type=float, default=SPARSITIES)
    parser.add_argument("--quiet", action="store_true", help="Draw no progress")
    options = parser.parse_args()
    methods = [method(words) for words in options.methods]
    pipeline, bar = Pipeline(), silent if options.quiet else ProgressBar()
    read = CalibrationSpec(
        calibration_text=options.calibration_text, samples=options.samples
    )
    experiment = Experiment(
        ModelSpec(name=options.model),
        read,
        evaluation=EvaluationSpec(
            eval_text=options.eval_text, eval_tokens=options.eval_tokens
        ),
    )
    dense = pipeline.dense_text(experiment, progress=bar)
    print(
        f"{dense.n_tokens:,} tokens of {dense.text_source}; dense perplexity ", end=""
    )
    print(
        f"{dense.perplexity.value:.2f}; calibrated on {read.samples} × {read.seq_len}"
    )
    head = "".join(f"{s:>34.0%}" for s in options.sparsities)
    print(f"{'method':<48}{head}{'seconds':>9}")
    for by in sorted(methods, key=lambda m: methods.index(_first_alike(m, methods))):
        start, ratios = time.perf_counter(), []
        for sparsity in options.sparsities:
            asked = replace(experiment, method=by).at(sparsity)
            _, text = pipeline.pruned_text(asked, progress=bar)
            ratios.append((perplexity_ratio(dense, text), text.top1.value))
        cells = "".join(f"{_cell(*found):>34}" for found in ratios)
        print(f"{by.name:<48}{cells}{time.perf_counter() - start:>9.0f}", flush=True)


def _first_alike(by: Method, methods: list[Method]) -> Method:
    """Methods with one criterion and repair follow one another: they share factors."""
    same = (m for m in methods if (m.criterion, m.repair) == (by.criterion, by.repair))
    return next(same)


def _cell(ratio: Estimate, top1: float) -> str:
    ends = f"[{number(ratio.low)}, {number(ratio.high)}]"
    return f"{number(ratio.value)} {ends} {top1:.3f}"


if __name__ == "__main__":
    main()
