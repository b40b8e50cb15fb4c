"""How much faster each pruned shape is: points over the share of neurons removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from llmrank.core.progress import Progress, silent
from llmrank.evaluation.comparison import Comparison, Measures, compare
from llmrank.evaluation.decoding import BenchmarkSpec
from llmrank.evaluation.latency import Latency
from llmrank.evaluation.speedup import Phase, Ratio, Speedup
from llmrank.models.language_model import LanguageModel

PHASES: tuple[str, ...] = get_args(Phase)


@dataclass(frozen=True)
class SpeedPoint:
    """One shape timed against the dense one in the same rounds.

    Time depends on how many neurons each layer keeps, not on which: every criterion
    that leaves these widths shares the point.
    """

    removed: float
    widths: tuple[int, ...]
    speedup: Speedup
    dense: Latency
    pruned: Latency


def time_pair(
    dense: LanguageModel,
    pruned: LanguageModel,
    spec: BenchmarkSpec = BenchmarkSpec(),
    *,
    progress: Progress = silent,
) -> SpeedPoint:
    """Time a pruned model against its dense one, in turns.

    Raises:
        LLMRankError: the run does not fit into memory or the model's positions.
        CancelledError: from `progress`.
    """
    measures = Measures(benchmark=spec, which=("latency",))
    point = speed_point(compare(dense, pruned, measures, progress=progress))
    assert point is not None
    return point


def speed_point(comparison: Comparison) -> SpeedPoint | None:
    """Return the point that a comparison has timed, or None."""
    before, after = comparison.dense, comparison.pruned
    if comparison.speedup is None or before.latency is None or after.latency is None:
        return None
    return SpeedPoint(
        removed=1 - after.footprint.n_ffn_neurons / before.footprint.n_ffn_neurons,
        widths=after.footprint.widths,
        speedup=comparison.speedup,
        dense=before.latency,
        pruned=after.latency,
    )


def nearest(
    points: Sequence[SpeedPoint], removed: float, widths: tuple[int, ...]
) -> SpeedPoint:
    """Return the point of these widths, or the one closest in what was removed."""
    return min(points, key=lambda p: (p.widths != widths, abs(p.removed - removed)))


def phase(point: SpeedPoint, name: str) -> Ratio:
    """Return the ratio of one phase."""
    ratio: Ratio = getattr(point.speedup, name)
    return ratio
