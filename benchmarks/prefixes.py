"""A model at a new sparsity: a prefix of the sorted model against a cut one.

Made at many sparsities in turn, the plan included; then timed beside the dense model.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence

from benchmarks.scoring import seconds
from llmrank.calibration.activations import CalibrationSpec
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.latency import Timing, latency
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.pipeline import Pipeline
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningSpec, plan, prune
from llmrank.methods.sorted_model import SortedModel, prefix, sort_neurons
from llmrank.models.language_model import LanguageModel, ModelSpec

SPARSITIES = [n / 20 for n in range(1, 20)]
ROW = "{:<14}{:>14}{:>12}{:>12}{:>12}"


def main() -> None:
    """Print the time to a new sparsity, and how fast the models then are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--sparsity", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    pipeline = Pipeline()
    experiment = Experiment(ModelSpec(name=options.model), CalibrationSpec(samples=2))
    lm = pipeline.model(experiment)
    scores = pipeline.scores(experiment)
    ordered: list[SortedModel] = []
    once = seconds(lambda: ordered.append(sort_neurons(lm, scores)))
    times = new_sparsities(lm, ordered[0], scores)
    chosen = plan(scores, PruningSpec(sparsity=options.sparsity))
    models = (lm, prune(lm, chosen), prefix(ordered[0], chosen))
    speeds = latency(models, BenchmarkSpec(repeats=options.rounds))
    print(ROW.format("", "new sparsity", "worst", "prefill", "decode"))
    for name, made, speed in zip(
        ("dense", "cut", "prefix"), ([], *times), speeds, strict=True
    ):
        new = [ms(statistics.median(made)), ms(max(made))] if made else ["", ""]
        took = [f"{t.median:.1f} ms" for t in (speed.prefill, speed.decode)]
        print(ROW.format(name, *new, *took))
    ratios = [
        statistics.median(p / c for c, p in zip(*times, strict=True)),
        paired(speeds[2].prefill, speeds[1].prefill),
        paired(speeds[2].decode, speeds[1].decode),
    ]
    new, *took = [f"{ratio:.3f}" for ratio in ratios]
    print(ROW.format("prefix / cut", new, "", *took))
    print(f"sorting the neurons, once for all sparsities: {ms(once)}")


def new_sparsities(
    lm: LanguageModel, ordered: SortedModel, scores: Scores
) -> tuple[list[float], list[float]]:
    """Time cut and prefix models at every sparsity, in turn, from the scores on."""
    roads: Sequence[Callable[[PruningSpec], LanguageModel]] = (
        lambda spec: prune(lm, plan(scores, spec)),
        lambda spec: prefix(ordered, plan(scores, spec)),
    )
    times: tuple[list[float], list[float]] = ([], [])
    for sparsity in SPARSITIES:
        spec, made = PruningSpec(sparsity=sparsity), []
        for road, kept in zip(roads, times, strict=True):
            kept.append(seconds(lambda r=road, s=spec, m=made: m.append(r(s))))
    return times


def paired(ours: Timing, theirs: Timing) -> float:
    """Return the median ratio of two models' rounds."""
    pairs = zip(ours.round_medians_ms, theirs.round_medians_ms, strict=True)
    return statistics.median(a / b for a, b in pairs)


def ms(of_seconds: float) -> str:
    """Write seconds as milliseconds."""
    return f"{1000 * of_seconds:.1f} ms"


if __name__ == "__main__":
    main()
