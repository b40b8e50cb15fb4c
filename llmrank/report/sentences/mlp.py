"""What was measured on MLPs, in words: beside the paper's claim, whichever way."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from llmrank.core.formatting import counted, share
from llmrank.core.statistics import NORMAL_95
from llmrank.mlp.experiment import (
    PAPERS_GAIN,
    PAPERS_SPARSITIES,
    Point,
    RetentionSpec,
    gains,
    leads,
    summary,
)
from llmrank.mlp.retraining import Recovery

CLAIM = (
    "The paper (arXiv 2410.13299, abstract) reports for MLP-Rank on average "
    f"{100 * PAPERS_GAIN:.2f} % higher accuracy retention than three baselines, on "
    "four MLPs"
)
"""What is compared with; their code has them on MNIST, Fashion-MNIST and CIFAR."""


def summary_sentence(points: Sequence[Point]) -> str:
    """Return the curves as a table of text: mean ± spread of retention in per cent."""
    table = summary(points)
    pairs = zip(100 * table["mean"], 100 * table["spread"], strict=True)
    table["kept"] = [f"{mean:.0f}±{spread:.0f}" for mean, spread in pairs]
    parts = []
    for name, rows in table.groupby("data", sort=False):
        networks = counted(int(rows["networks"].iloc[0]), "network")
        kept = _by_sparsity(rows, "kept").to_string(index=False)
        parts.append(f"{name}, {networks}: accuracy kept, per cent\n{kept}")
    return "\n\n".join(parts)


def _by_sparsity(rows: pd.DataFrame, values: str) -> pd.DataFrame:
    """Return a row per criterion, in their order, and a column per sparsity."""
    told = rows.assign(sparsity=rows["sparsity"].map(share))
    wide = told.pivot(index="criterion", columns="sparsity", values=values)
    wide = wide.reindex(told["criterion"].unique()).rename_axis(columns=None)
    return wide.reset_index()


def gains_sentence(points: Sequence[Point], spec: RetentionSpec) -> str:
    """Say how far MLP-Rank is ahead or behind, beside the paper's claim."""
    names = tuple(spec.names())
    lines = [
        f"{CLAIM}.",
        f"Measured here, points more than the mean of {', '.join(names)}, 10 to 50 %:",
    ]
    for gain in gains(points, names, PAPERS_SPARSITIES[-1]):
        lines.append(f"  {gain.criterion}: {points_spread(gain)}")
    said = leads_sentence(leads(points, names)).replace("**", "")
    return "\n".join([*lines, f"Against the best of them: {said}"])


def points_spread(gain: Any) -> str:
    """Write a difference of shares in points with its interval: +1.2 [+0.3, +2.1]."""
    said = f"{100 * gain.value:+.1f}"
    if math.isfinite(gain.high):
        said += f" [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"
    return said.replace("-", "−")


def leads_sentence(led: pd.DataFrame) -> str:
    """Say who keeps more at which sparsity: MLP-Rank as it is set, or its best rival.

    Args:
        led: of `llmrank.mlp.leads`.
    """
    if led.empty:
        return "no baseline was measured."
    own = led[led["criterion"] == led["criterion"].iloc[0]]
    ranked, rival = own[["criterion", "rival"]].iloc[0]
    wins = [
        (rival, ranked, own[own["high"] < 0]),
        (ranked, rival, own[own["low"] > 0]),
    ]
    said = []
    for better, worse, rows in sorted(wins, key=lambda win: -len(win[2])):
        if len(rows):
            row = rows.loc[rows["value"].abs().idxmax()]
            low, value, high = sorted(abs(100 * row[["low", "value", "high"]]))
            at = f", most at {share(row['sparsity'])}" if len(rows) > 1 else ""
            said.append(
                f"**{better} keeps more than {worse} at {_sparsities(rows)} "
                f"removed**{at}: {value:.1f} [{low:.1f}, {high:.1f}] points"
            )
    even = own[(own["low"] <= 0) & (own["high"] >= 0)]
    if len(even):
        said.append(f"at {_sparsities(even)} the two cannot be told apart")
    networks = counted(int(own["networks"].min()), "network")
    return f"{'; '.join(said)} (95 % intervals over {networks})."


def _sparsities(rows: pd.DataFrame) -> str:
    """Write tenths as runs: 10 and 30 to 50 %."""
    tenths = [round(10 * s) for s in rows["sparsity"]]
    starts = [t for t in tenths if t - 1 not in tenths]
    ends = [t for t in tenths if t + 1 not in tenths]
    *runs, last = (
        f"{10 * a} to {10 * b}" if a < b else f"{10 * a}"
        for a, b in zip(starts, ends, strict=True)
    )
    return f"{', '.join(runs)}{' and ' if runs else ''}{last} %"


def leads_table(led: pd.DataFrame) -> pd.DataFrame:
    """Return each form's lead in points with its interval, a column per sparsity."""
    cells = [points_spread(row) for row in led.itertuples()]
    return _by_sparsity(led.assign(points=cells), "points")


def recovery_sentence(recovery: Recovery) -> str:
    """Say which way ended highest, or which cannot be told apart at the end.

    Within 1.96 standard errors of the difference of two shares of the test set.
    """
    ends = {name: epochs[-1].test_accuracy for name, epochs in recovery.curves.items()}
    if not ends:
        return "The first epoch is being trained."
    best = max(ends, key=lambda name: ends[name])
    n = recovery.n_test
    right = (n * ends[best] + 1) / (n + 2)  # of all right the error is not nothing
    chance = NORMAL_95 * math.sqrt(2 * right * (1 - right) / n)
    near = [name for name in ends if ends[best] - ends[name] <= chance]
    said = f"The small network ends highest by **{best}**"
    if len(near) > 1:
        said = f"At the end **{', '.join(near)}** cannot be told apart"
    each = ", ".join(f"{name} {share(value)}" for name, value in ends.items())
    return (
        f"{said}: {each} of {n:,} test examples right, one training each; dense "
        f"{share(recovery.dense_accuracy)}."
    )


def recovery_table(recovery: Recovery) -> pd.DataFrame:
    """Return the three curves as rows; epoch 0 is before the first step."""
    rows = [
        {"way": name, "epoch": n, "test_accuracy": value}
        for name, epochs in recovery.curves.items()
        for n, value in enumerate(
            [recovery.at_start[name], *(e.test_accuracy for e in epochs)]
        )
    ]
    return pd.DataFrame(rows)


def brittleness_sentence(table: pd.DataFrame, sparsity: float) -> str:
    """Say which criterion's network falls most beyond the dense one, which least.

    Brittle is what falls further than dense for certain: its 95 % interval is above 0.
    """
    pruned = [r for r in table.to_dict("records") if r["network"] != "dense"]
    if not pruned:
        return "Only the dense network was tested."
    worst = max(pruned, key=lambda row: row["extra"])
    best = min(pruned, key=lambda row: row["extra"])
    said = (
        f"At {share(sparsity)} removed, corruption costs **{worst['network']}** "
        f"{_extra(worst)} than dense"
    )
    if worst["network"] != best["network"]:
        said += f", and **{best['network']}** {_extra(best)}"
    brittle = [f"**{row['network']}**" for row in pruned if row["extra_low"] > 0]
    if not brittle:
        return f"{said}. None is brittle at 95 %."
    return f"{said}. Brittle at 95 %: {', '.join(brittle)}."


def _extra(row: Mapping[Hashable, Any]) -> str:
    value, low, high = (100 * row[n] for n in ("extra", "extra_low", "extra_high"))
    more = f"{value:.1f} [{low:.1f}, {high:.1f}] points more"
    if value < 0:
        more = f"{-value:.1f} [{-high:.1f}, {-low:.1f}] points less"
    return more.replace("-", "−")
