"""Dense against pruned at several sparsities: measured beside ideal speed-up."""

import argparse

from llmrank.calibration.activations import CalibrationSpec
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.speedup import Ratio, measure, speedup
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.models.language_model import ModelSpec


def main() -> None:
    """Print parameters, prefill and decode per sparsity, and the reasons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.1, 0.3, 0.5])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    pipeline = Pipeline()
    experiment = Experiment(ModelSpec(name=options.model), CalibrationSpec(samples=2))
    spec = BenchmarkSpec(repeats=options.rounds, batch=options.batch)
    print(
        "| removed | parameters | prefill measured / ideal | decode measured / ideal |"
    )
    print("|---|---|---|---|")
    reasons: list[str] = []
    for sparsity in options.sparsities:
        pruned = pipeline.pruned(experiment.at(sparsity))
        costs = measure((pipeline.model(experiment), pruned), spec)
        found = speedup(*costs)
        n_params = costs[1].footprint.n_params
        cells = [
            f"{sparsity:.0%}",
            f"{n_params:,}",
            cell(found.prefill),
            cell(found.decode),
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
        reasons += [f"{sparsity:.0%}: {r}" for r in found.reasons]
    print("\n".join(["", *reasons]))


def cell(ratio: Ratio) -> str:
    """Write a measured speed-up with its interval beside the ideal one."""
    interval = f"[{ratio.low:.2f}, {ratio.high:.2f}]"
    return f"×{ratio.measured:.2f} {interval} / ×{ratio.ideal:.2f}"


if __name__ == "__main__":
    main()
