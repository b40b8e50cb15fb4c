"""Response planes: made once, then any θ, γ, against scoring from scratch.

From scratch is the authors' way, every normalised matrix written out: see `scoring`.
"""

import argparse
import statistics
from functools import partial

import torch

from benchmarks.scoring import from_scratch, seconds
from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.methods import pagerank
from llmrank.methods.criteria import Scores
from llmrank.methods.graph import FFNGraph, graphs
from llmrank.methods.pruning import plan
from llmrank.methods.response_planes import Planes, planes
from llmrank.models.ffn import ffns
from llmrank.models.language_model import load

GRID = [(theta / 8, gamma / 8) for theta in range(9) for gamma in range(9)]
ROW = "{:<10}{:>10}{:>10}{:>12}{:>14}{:>8}{:>12}{:>14}"


def main() -> None:
    """Print times and ratios for both graphs, and how far a chain's planes are off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    lm = load(options.model)
    drawn = graphs(ffns(lm.model), calibrate(lm, CalibrationSpec(samples=2)))
    heads = "made|any θ, γ|recursion|from scratch|ratio|error (L1)|dropped else"
    print(ROW.format("graph", *heads.split("|")))
    for graph in ("isolated", "chained"):
        made = planes(drawn, graph=graph, site="neuron")
        times = measured(made, drawn, options.rounds)
        ratio = statistics.median(
            slow / fast for slow, fast in zip(times[3], times[1], strict=True)
        )
        build, fast, step, slow = (1000 * statistics.median(t) for t in times)
        print(
            ROW.format(
                graph, f"{build:.0f} ms", f"{fast:.2f} ms", f"{step:.0f} ms",
                f"{slow:.0f} ms", f"×{ratio:.0f}", f"{max(made.errors):.1e}",
                differing(made, drawn),
            )
        )  # fmt: skip


def measured(
    made: Planes, drawn: tuple[FFNGraph, ...], rounds: int
) -> tuple[list[float], ...]:
    """Time making planes, reading them, one recursion and one from scratch, in turn."""
    runs = (
        lambda: planes(drawn, graph=made.graph, site=made.site),
        lambda: made.scores(0.5, 0.5),
        lambda: recursion(made, drawn, 0.5, 0.5),
        lambda: from_scratch(drawn, made.graph),
    )
    times: tuple[list[float], ...] = tuple([] for _ in runs)
    for _ in range(rounds):
        for run, kept in zip(runs, times, strict=True):
            kept.append(seconds(run))
    return times


def recursion(
    made: Planes, drawn: tuple[FFNGraph, ...], theta: float, gamma: float
) -> tuple[torch.Tensor, ...]:
    """Score by Eq. 7 itself, in float32, without planes."""
    step = partial(pagerank.weighted_pagerank, theta=theta, gamma=gamma)
    walk = pagerank.isolated if made.graph == "isolated" else pagerank.chained
    return walk(drawn, step, made.site)


def differing(made: Planes, drawn: tuple[FFNGraph, ...]) -> str:
    """Count dropped neurons that differ from the recursion's at 30 %, at worst."""
    worst = n_dropped = 0
    for theta, gamma in GRID:
        ours = plan(Scores(made.scores(theta, gamma)))
        theirs = plan(Scores(recursion(made, drawn, theta, gamma)))
        pairs = zip(ours.drop, theirs.drop, strict=True)
        worst = max(worst, sum(len({*a.tolist()} - {*b.tolist()}) for a, b in pairs))
        n_dropped = theirs.n_dropped
    return f"{worst} of {n_dropped:,}"


if __name__ == "__main__":
    main()
