"""Perplexity and top-1 accuracy by sparsity and criterion, with paired intervals."""

import argparse
from pathlib import Path

from llmrank.calibration import CalibrationSpec
from llmrank.corpora import EMBEDDED
from llmrank.criteria import L1, Activation, Criterion, LLMRank, Random, Wanda
from llmrank.curve import Point, as_table, curve, label
from llmrank.evaluation import EvaluationSpec, perplexity_ratio
from llmrank.experiment import Experiment
from llmrank.models import ModelSpec
from llmrank.spelling import number
from llmrank.summary import share_spread, spread, times_spread

CRITERIA: tuple[Criterion, ...] = (
    LLMRank(),
    LLMRank(graph="chained"),
    LLMRank(variant="modified"),
    LLMRank(site="up"),
    LLMRank(gamma=0.0, site="up"),
    Activation(),
    Wanda(),
    L1(),
    Random(),
)


def main() -> None:
    """Print one row per criterion, one column per sparsity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--calibration-text", default=EMBEDDED)
    parser.add_argument("--eval-text", default=EMBEDDED)
    parser.add_argument("--eval-tokens", type=int, default=4096)
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    base = Experiment(
        model=ModelSpec(name=options.model),
        calibration=CalibrationSpec(
            calibration_text=options.calibration_text, samples=options.samples
        ),
        evaluation=EvaluationSpec(
            eval_text=options.eval_text, eval_tokens=options.eval_tokens
        ),
    )
    points = curve(base, CRITERIA, options.sparsities)
    if options.csv:
        as_table(points).to_csv(options.csv, index=False)
    print_table(points, options.sparsities)


def print_table(points: tuple[Point, ...], sparsities: list[float]) -> None:
    """Print perplexity, its paired ratio to dense with interval, and top-1."""
    dense = points[0].dense
    print(f"{dense.n_tokens:,} tokens of {dense.text_source}")
    perplexity, top1 = spread(dense.perplexity), share_spread(dense.top1)
    print(f"dense: perplexity {perplexity}, top-1 {top1}")
    head = "".join(f" {s:.0%} removed |" for s in sparsities)
    print(f"| criterion |{head}\n|---|" + "---|" * len(sparsities))
    for criterion in CRITERIA:
        row = [p for p in points if p.criterion == criterion]
        print(f"| {label(criterion)} |" + "".join(f" {cell(p)} |" for p in row))


def cell(p: Point) -> str:
    """Write perplexity, ratio to dense [95 %], top-1."""
    ratio = times_spread(perplexity_ratio(p.dense, p.pruned))
    perplexity = number(p.pruned.perplexity.value)
    return f"{perplexity} = {ratio}, {p.pruned.top1.value:.3f}"


if __name__ == "__main__":
    main()
