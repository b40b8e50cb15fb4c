"""The paper's experiment: how much accuracy is kept, over sparsity, by criterion."""

import itertools
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch

from llmrank.core.errors import OptionError
from llmrank.core.progress import Progress, silent
from llmrank.core.registry import recipe
from llmrank.core.specs import described, option, spec
from llmrank.core.statistics import t_interval
from llmrank.methods.criteria import Criterion, score_graphs
from llmrank.mlp.criteria import AUTHORS, MLPRank, criterion
from llmrank.mlp.datasets import DataSpec, examples
from llmrank.mlp.example_sets import Examples
from llmrank.mlp.graphs import graphs
from llmrank.mlp.pruning import sweep
from llmrank.mlp.training import MLPSpec, train

BASELINES = ("random", "l1", "activation")
"""What the paper's average is over."""

PAPERS_GAIN = 0.0609
"""arXiv 2410.13299, abstract: on average 6.09 % higher accuracy retention than the
three baselines (four MLPs; the authors' repository has MNIST, Fashion-MNIST, CIFAR-10
and CIFAR-100, at 10 to 50 %)."""

SPARSITIES = tuple(n / 10 for n in range(1, 10))
PAPERS_SPARSITIES = SPARSITIES[:5]

Names = dict[str, Criterion]


@spec
class RetentionSpec:
    """Which networks are trained, pruned and tested."""

    sets: str = option(default="digits,mnist-5k", help="Data sets, separated by commas")
    networks: str = option(
        default="128;128,64;256,128,64",
        help="Widths of the networks, separated by semicolons",
    )
    seeds: int = option(
        default=3, low=1, high=100,
        help="How many networks of each kind are trained, from the seed on",
    )  # fmt: skip
    baselines: str = option(
        default=",".join(BASELINES), help="Criteria that MLP-Rank is compared with"
    )

    def names(self) -> Names:
        """Return the criteria by the names they have in tables.

        Raises:
            OptionError: an unknown one.
        """
        return {name: criterion(name) for name in _words(self.baselines)}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The widths of each kind of network."""
        return tuple(w for w in (p.strip() for p in self.networks.split(";")) if w)


@dataclass(frozen=True)
class Point:
    """One trained network pruned one way to one sparsity, on the test set."""

    data: str
    widths: str
    seed: int
    criterion: str
    sparsity: float
    dense_accuracy: float
    accuracy: float

    @property
    def retention(self) -> float:
        """The share of the dense network's accuracy that is kept."""
        return self.accuracy / self.dense_accuracy if self.dense_accuracy else 0.0


@dataclass(frozen=True)
class Gain:
    """How much more a criterion keeps than the baselines' mean, over networks.

    In shares of the dense accuracy; `low` and `high`: 95 % by Student's t, over trained
    networks.
    """

    criterion: str
    value: float
    low: float
    high: float
    n_networks: int
    highest: float
    """The largest sparsity taken in."""


def retention(
    spec: RetentionSpec,
    training: MLPSpec = MLPSpec(),
    ranked: MLPRank = MLPRank(),
    *,
    data_seed: int = 0,
    progress: Progress = silent,
    publish: Callable[[tuple[Point, ...]], None] = lambda _: None,
) -> tuple[Point, ...]:
    """Train every network, prune it by every criterion, and test what is left.

    Random scores are drawn anew for each network. All follows from the seeds.

    Args:
        spec: which networks, and the baselines.
        training: how they are trained; its seed is the first, its widths not used.
        ranked: MLP-Rank as it is set; the modified variant and the authors' setting
            are measured beside it.
        data_seed: which fifth is the test set.
        progress: called per network.
        publish: called with all points so far.

    Raises:
        LLMRankError: unknown data or criteria, or training that diverges.
    """
    rivals = contestants(spec, ranked)
    trainings = [replace(training, widths=kind) for kind in spec.kinds]
    sets = _words(spec.sets)
    if not (sets and trainings and all(t.hidden for t in trainings)):
        raise OptionError("networks and sets must name one at least")
    cells = list(itertools.product(sets, trainings, range(spec.seeds)))
    known: dict[str, Examples] = {}
    points: tuple[Point, ...] = ()
    for done, (name, kind, number) in enumerate(cells):
        own = replace(kind, seed=kind.seed + number)
        progress(f"{name}, network {own.widths}, seed {own.seed}", done, len(cells))
        if name not in known:
            known[name] = examples(DataSpec(name, data_seed), progress=progress)
        points += _network(name, known[name], own, rivals)
        publish(points)
    progress("Trained, pruned and tested", len(cells), len(cells))
    return points


def contestants(spec: RetentionSpec, ranked: MLPRank) -> Names:
    """Return MLP-Rank in its settings, then the baselines, by name."""
    as_set = f"mlp-rank θ {ranked.theta:g} γ {ranked.gamma:g}"
    return {
        as_set: replace(ranked, variant="weighted"),
        "mlp-rank modified": replace(ranked, variant="modified"),
        "mlp-rank, authors' code": AUTHORS,
        **spec.names(),
    }


def _network(
    name: str, data: Examples, training: MLPSpec, names: Names
) -> tuple[Point, ...]:
    trained = train(training, data).network
    drawn = graphs(trained, data.train_x, data.train_y)
    points = []
    for title, one in names.items():
        # A draw for each network: one draw for all would be one sample of chance.
        own = criterion("random", seed=training.seed) if title == "random" else one
        swept = sweep(
            trained, score_graphs(drawn, own), data.test_x, (0.0, *SPARSITIES)
        )
        dense, *rest = swept.accuracies(data.test_y)
        points += [
            Point(name, training.widths, training.seed, title, s, dense, accuracy)
            for s, accuracy in zip(SPARSITIES, rest, strict=True)
        ]
    return tuple(points)


def retention_table(points: Sequence[Point]) -> pd.DataFrame:
    """Return the points as rows."""
    columns = [*Point.__dataclass_fields__, "retention"]
    return pd.DataFrame([_row(p) for p in points], columns=columns)


def _row(point: Point) -> dict[str, object]:
    return vars(point) | {"retention": point.retention}


def summary(points: Sequence[Point]) -> pd.DataFrame:
    """Return mean and spread of retention over networks, by criterion and sparsity.

    `spread` is the standard deviation over trained networks of all kinds and seeds.
    """
    table = retention_table(points)
    groups = table.groupby(["data", "criterion", "sparsity"], sort=False)["retention"]
    figures = groups.agg(["mean", "std", "count"]).reset_index()
    return figures.rename(columns={"std": "spread", "count": "networks"}).fillna(
        {"spread": 0.0}
    )


def gains(
    points: Sequence[Point],
    baselines: Sequence[str] = BASELINES,
    highest: float = SPARSITIES[-1],
) -> tuple[Gain, ...]:
    """Compare each form of MLP-Rank with the mean of the baselines.

    Of every trained network the difference of retention is averaged over sparsities
    up to `highest`; the interval is over these differences.
    """
    table = retention_table(points)
    table = table[table["sparsity"] <= highest + 1e-9]
    network = ["data", "widths", "seed"]
    wide = table.pivot_table("retention", network, "criterion", aggfunc="mean")
    there = [name for name in baselines if name in wide]
    if not there:
        return ()
    names = [n for n in table["criterion"].unique() if n.startswith("mlp-rank")]
    results = []
    for name in names:
        differences = (wide[name] - wide[there].mean(axis=1)).dropna()
        mean = t_interval(torch.tensor(differences.to_numpy()))
        results.append(
            Gain(name, mean.value, mean.low, mean.high, mean.n_windows, highest)
        )
    return tuple(results)


def leads(
    points: Sequence[Point], baselines: Sequence[str] = BASELINES
) -> pd.DataFrame:
    """Set each form of MLP-Rank against the best baseline, at every sparsity.

    The best baseline keeps most on average over all networks and sparsities.

    Returns:
        Columns criterion, rival, sparsity, value, low, high and networks: how much more
        of the dense accuracy MLP-Rank keeps of the same network, in shares, with its
        95 % interval by Student's t over networks. Empty without a baseline.
    """
    table = retention_table(points)
    means = table.groupby("criterion", sort=False)["retention"].mean()
    there = [name for name in baselines if name in means]
    forms = [name for name in means.index if name.startswith("mlp-rank")]
    rival = str(means[there].idxmax()) if there else ""
    cell = ["data", "widths", "seed", "sparsity"]
    wide = table.pivot_table("retention", cell, "criterion")
    rows = []
    for name in forms if there else ():
        for sparsity, one in (wide[name] - wide[rival]).groupby(level="sparsity"):
            found = t_interval(torch.tensor(one.dropna().to_numpy()))
            rows.append((name, rival, sparsity, *vars(found).values()))
    columns = ["criterion", "rival", "sparsity", "value", "low", "high", "networks"]
    return pd.DataFrame(rows, columns=columns)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def record(
    points: Sequence[Point],
    spec: RetentionSpec,
    training: MLPSpec,
    ranked: MLPRank,
    data_seed: int,
) -> dict[str, object]:
    """Return all that was measured with what it was measured on, as plain values."""
    return {
        "recipe": {
            "experiment": described(spec),
            "training": described(training),
            "criteria": {n: recipe(c) for n, c in contestants(spec, ranked).items()},
            "data_seed": data_seed,
            "versions": {
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        },
        "paper": {"gain": PAPERS_GAIN, "source": "arXiv 2410.13299, abstract"},
        "gains": [
            vars(g)
            for highest in (PAPERS_SPARSITIES[-1], SPARSITIES[-1])
            for g in gains(points, tuple(spec.names()), highest)
        ],
        "points": [_row(p) for p in points],
    }
