"""A new θ, γ: ours against scoring from scratch, as the authors' code does it.

From scratch: per matrix, absolute values, both column-normalised matrices written out,
two matrix-vector products. Ours never writes a normalised matrix.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from llmrank.calibration.activations import CalibrationSpec, calibrate
from llmrank.methods.criteria import LLMRank
from llmrank.methods.graph import FFNGraph, graphs
from llmrank.methods.pagerank import distribution
from llmrank.models.ffn import ffns
from llmrank.models.language_model import load


def main() -> None:
    """Print seconds per scoring and the ratio, for both graphs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    lm = load(options.model)
    stats = calibrate(lm, CalibrationSpec(samples=2))
    drawn = graphs(ffns(lm.model), stats)
    print(f"{'graph':<10}{'from scratch':>14}{'ours':>10}{'ratio':>8}{'max diff':>12}")
    for graph in ("isolated", "chained"):
        ours = LLMRank(theta=0.5, gamma=0.5, graph=graph)
        theirs = from_scratch(drawn, graph)
        pairs = zip(ours.layers(drawn), theirs, strict=True)
        difference = max(float((a - b).abs().max()) for a, b in pairs)
        slow, fast = [], []
        for _ in range(options.rounds):
            slow.append(seconds(lambda g=graph: from_scratch(drawn, g)))
            fast.append(seconds(lambda o=ours: o.layers(drawn)))
        ratio = statistics.median(a / b for a, b in zip(slow, fast, strict=True))
        print(
            f"{graph:<10}{statistics.median(slow):>12.3f} s"
            f"{statistics.median(fast):>8.3f} s{ratio:>8.2f}{difference:>12.1e}"
        )


def from_scratch(drawn: tuple[FFNGraph, ...], graph: str) -> list[torch.Tensor]:
    """Score with every normalised matrix written out (θ = γ = 0.5)."""
    scores, mass = [], drawn[0].stats.input_norm
    for g in drawn:
        mass = mass if graph == "chained" else g.stats.input_norm
        neurons = written_out(g.in_edges, mass, g.stats.neuron_norm)
        scores.append(neurons)
        if graph == "chained":
            mass = written_out(g.out_edges, neurons, g.stats.output_norm)
    return scores


def written_out(
    edges: torch.Tensor, mass: torch.Tensor, prior: torch.Tensor
) -> torch.Tensor:
    """Take one step of Eq. 7 with Ŵ and Â as matrices."""
    weights = edges.abs()
    by_weight = weights / weights.sum(0)
    present = (weights > 0).float()
    by_degree = present / present.sum(0)
    s, b = distribution(mass), distribution(prior)
    return distribution(0.5 * (0.5 * by_weight @ s + 0.5 * by_degree @ s) + 0.5 * b)


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
