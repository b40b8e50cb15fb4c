"""A repaired model at a new sparsity: by prefixes of one factor against solving anew.

Second moments and factors are made once; then every sparsity in turn, both roads.
"""

import argparse
import dataclasses
import statistics

import torch

from benchmarks.prefixes import ms
from benchmarks.scoring import seconds
from llmrank.calibration.activations import CalibrationSpec, drawn
from llmrank.calibration.second_moments import moments
from llmrank.core.progress import silent
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import Wanda
from llmrank.methods.method import Method
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan, prune
from llmrank.methods.repair import Cut, LeastSquares, RepairInputs
from llmrank.methods.repair.least_squares import penalty
from llmrank.models import ffn
from llmrank.models.language_model import LanguageModel, ModelSpec

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5)
RIDGE = 1.0


def main() -> None:
    """Print what is done once, and the seconds to a new sparsity on both roads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--samples", type=int, default=64)
    options = parser.parse_args()
    pipeline, read = Pipeline(), CalibrationSpec(samples=options.samples)
    experiment = Experiment(ModelSpec(name=options.model), read, Method(Wanda()))
    lm = pipeline.model(experiment)
    windows = drawn(lm, read)[1]
    known = (pipeline.scores(experiment), pipeline.stats(experiment), windows)
    found: list[RepairInputs] = []
    once = seconds(
        lambda: found.append(RepairInputs(lm, *known, tuple(moments(lm, windows))))
    )
    print(f"second moments of {windows.numel():,} tokens, once: {once:.1f} s")
    by = LeastSquares(ridge=RIDGE)
    cutters: list[Cut] = []
    print(
        f"factors, once: {seconds(lambda: cutters.append(by.cutter(found[0]))):.1f} s"
    )
    once = seconds(lambda: LeastSquares().cutter(found[0]))
    print(f"factors with the strength chosen on held-out windows: {once:.1f} s")
    ours, theirs = [], []
    for sparsity in SPARSITIES:
        new = plan(known[0], PruningSpec(sparsity=sparsity))
        ours.append(seconds(lambda new=new: cutters[0](new, silent)))
        theirs.append(seconds(lambda new=new: anew(found[0], new)))
        print(f"{sparsity:.0%}: {ms(ours[-1])} against {ms(theirs[-1])}")
    ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
    print(f"median {ms(statistics.median(ours))}, worst {ms(max(ours))}; ", end="")
    print(f"x{ratio:.1f} as fast as solving anew")


def anew(inputs: RepairInputs, new: PruningPlan) -> LanguageModel:
    """Solve every layer's kept block by itself, as a repair without factors does."""
    pruned, downs = prune(inputs.lm, new), []
    for view, known, keep in zip(
        ffn.ffns(inputs.lm.model), inputs.moments(), new.keep, strict=True
    ):
        rows = known.total[keep].double()
        pull = penalty(rows[:, keep].diagonal(), RIDGE)
        left = rows[:, keep] + pull.diag()
        right = rows @ view.down.double().T + pull[:, None] * view.down[:, keep].T
        solved = torch.cholesky_solve(right, torch.linalg.cholesky(left))
        downs.append(solved.T.float())
    return dataclasses.replace(pruned, model=ffn.with_down(pruned.model, downs))


if __name__ == "__main__":
    main()
