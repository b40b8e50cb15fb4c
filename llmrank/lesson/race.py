"""Why structured: zeros at random places, in rows, and rows gone, on the clock."""

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.evaluation.decoding import alone, elapsed_ms
from llmrank.evaluation.latency import Timing, processor

VERSIONS = ("all weights", "zeros at random places", "zeros in rows", "rows cut")
WARM_UP = 2


@spec
class RaceSpec:
    """A two-layer block, how much of it is pruned, and how often it is timed."""

    d_model: int = option(default=512, low=1, high=8192, help="Inputs and outputs")
    d_ff: int = option(default=2048, low=2, high=32768, help="Hidden neurons")
    rows: int = option(default=128, low=1, high=8192, help="Examples at once")
    sparsity: float = option(default=0.5, low=0, below=1, help="Share that is pruned")
    rounds: int = option(default=50, low=3, high=1000, help="Timed runs of each")
    seed: int = option(default=0, low=0, help="Seed of weights, examples and places")


@dataclass(frozen=True)
class Race:
    """The times of every version in ms, one per round, and on what they were taken."""

    spec: RaceSpec
    timings: dict[str, Timing]
    nonzero: dict[str, int]
    device: str
    processor: str
    n_threads: int
    torch_version: str
    measured_at: str

    def ratio(self, name: str) -> tuple[float, float, float]:
        """Return how many times as fast as all weights: median, and the middle half.

        Of the rounds' own ratios: a drift of the machine meets both of a round.
        """
        pairs = zip(
            self.timings[VERSIONS[0]].samples_ms,
            self.timings[name].samples_ms,
            strict=True,
        )
        ratios = [dense / own for dense, own in pairs]
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
        return statistics.median(ratios), low, high


Block = tuple[Float32[Tensor, "d_ff d_model"], Float32[Tensor, "d_model d_ff"]]


def versions(spec: RaceSpec, device: torch.device) -> dict[str, Block]:
    """Make the four pairs of matrices; the pruned ones lose the same share."""
    g = torch.Generator().manual_seed(spec.seed)
    up = torch.randn(spec.d_ff, spec.d_model, generator=g)
    down = torch.randn(spec.d_model, spec.d_ff, generator=g)
    n_gone = int(spec.sparsity * spec.d_ff + 0.5)
    gone, kept = torch.randperm(spec.d_ff, generator=g).tensor_split([n_gone])
    kept = kept.sort().values
    scattered = tuple(_scattered(w, spec.sparsity, g) for w in (up, down))
    in_rows = (up.index_fill(0, gone, 0), down.index_fill(1, gone, 0))
    smaller = (up[kept], down[:, kept].contiguous())
    every = ((up, down), scattered, in_rows, smaller)
    pairs = zip(VERSIONS, every, strict=True)
    return {name: (up.to(device), down.to(device)) for name, (up, down) in pairs}


@torch.inference_mode()
def race(
    spec: RaceSpec = RaceSpec(),
    *,
    device: torch.device | None = None,
    progress: Progress = silent,
) -> Race:
    """Time the four versions in turns, each round in another order.

    Raises:
        CancelledError: from `progress`, between two runs.
    """
    device = device or torch.device("cpu")
    blocks = versions(spec, device)
    g = torch.Generator().manual_seed(spec.seed + 1)
    x = torch.randn(spec.rows, spec.d_model, generator=g).to(device)
    calls = {name: _call(block, x) for name, block in blocks.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    total, done = len(calls) * (WARM_UP + spec.rounds), itertools.count(1)
    with alone(progress):
        for n in range(WARM_UP + spec.rounds):
            for name in _turned(n):
                times[name].append(elapsed_ms(calls[name], device))
                progress("Timing the four versions", next(done), total)
    timings = {
        name: Timing(tuple(ms[WARM_UP:]), spec.rounds) for name, ms in times.items()
    }
    return Race(
        spec=spec,
        timings=timings,
        nonzero={n: sum(int(w.count_nonzero()) for w in b) for n, b in blocks.items()},
        device=str(device),
        processor=processor(device),
        n_threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def faster(race: Race) -> tuple[str, ...]:
    """Name the versions that are 5 % faster than all weights in three rounds of four.

    By each round's own ratio, which a drift of the machine spares.
    """
    return tuple(name for name in VERSIONS[1:] if race.ratio(name)[1] > 1.05)


def _scattered(weights: Tensor, sparsity: float, g: torch.Generator) -> Tensor:
    n = int(sparsity * weights.numel() + 0.5)
    places = torch.randperm(weights.numel(), generator=g)[:n]
    return weights.flatten().index_fill(0, places, 0).reshape(weights.shape)


def _call(block: Block, x: Tensor) -> Callable[[], Tensor]:
    up, down = block
    linear = nn.functional.linear
    return lambda: linear(linear(x, up).relu(), down)


def _turned(n: int) -> tuple[str, ...]:
    """Begin each round with another version."""
    start = n % len(VERSIONS)
    return VERSIONS[start:] + VERSIONS[:start]
