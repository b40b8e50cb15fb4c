"""Cells on two axes: on the frontier, beaten, or not to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from llmrank.core.statistics import Estimate
from llmrank.evaluation.perplexity import TextEvaluation
from llmrank.experiments.arena.axes import AXES
from llmrank.experiments.arena.runner import Entry

Verdict = Literal["on the frontier", "cannot be told", "beaten"]
Pairs = Float[np.ndarray, "n_points n_points"]

RISK = 0.05
"""How often anything that is said of a set of cells at once may be false."""

N_RESAMPLES = 1000
FEW, MOST = 16, 300
"""Fewer windows or more points are not resampled: Bonferroni's bound is wider."""

ALIKE = 0.001
"""Exact figures that differ by less count as equal: rounding widths moves them more."""


@dataclass(frozen=True)
class Figures:
    """One figure of many points, of which less is better.

    `margins`: how far the difference of two may be off, for all pairs at once.
    """

    values: Float[np.ndarray, " n_points"]
    margins: Pairs


def verdicts(entries: Sequence[Entry], x: str, y: str) -> tuple[Verdict, ...]:
    """Judge cells that have a figure on both axes; see `judged`.

    On axes of the text cells are told apart window by window where all have read the
    same text, on what all have read of it; on others by the figures' own intervals.

    Raises:
        OptionError: there is no such axis.
    """
    n_uncertain = sum(not AXES[name].is_exact for name in (x, y))
    risk = RISK / max(n_uncertain, 1)
    return judged(*(_figures(entries, name, risk) for name in (x, y)))


def n_windows(entries: Sequence[Entry], name: str) -> int | None:
    """Return how many windows tell cells apart on an axis; None: their intervals do."""
    texts = _texts(entries)
    read = {pruned.windows for _, pruned in texts}
    if AXES[name].windows is None or len(texts) < len(entries) or len(read) != 1:
        return None
    return len(texts[0][1].nll)


def dense(entries: Sequence[Entry], x: str, y: str) -> tuple[float, float] | None:
    """Return where the dense model of cells of one model is, or None."""
    comparison = entries[0].comparison if entries else None
    if comparison is None:
        return None
    across, up = (AXES[name].dense(comparison) for name in (x, y))
    return None if across is None or up is None else (across.value, up.value)


def judged(x: Figures, y: Figures) -> tuple[Verdict, ...]:
    """Say of each point where it stands; with 95 % probability all of it is true.

    *beaten*: some other is surely no worse in both figures and better in one. *on the
    frontier*: surely none is. The rest *cannot be told*.
    """
    worse = np.stack([f.values[:, None] - f.values for f in (x, y)])
    margins = np.stack([x.margins, y.margins])
    beaten, threatened = (
        np.asarray(_is_better(worse + side * margins).any(1)) for side in (-1, 1)
    )
    return tuple(
        "beaten" if b else "cannot be told" if t else "on the frontier"
        for b, t in zip(beaten.tolist(), threatened.tolist(), strict=True)
    )


def exact(values: Float[np.ndarray, " n_points"]) -> Figures:
    """Return figures that are not off; those nearly equal are made equal."""
    level, order = values.astype(np.float64), np.argsort(values)
    for before, place in pairwise(order.tolist()):
        if abs(values[place] - level[before]) <= ALIKE * abs(values[place]):
            level[place] = level[before]
    return Figures(level, np.zeros((len(values), len(values))))


def by_window(
    samples: Float[np.ndarray, "n_points n_windows"], risk: float = RISK
) -> Figures:
    """Return means over windows that all points have read.

    Windows are drawn anew, the same ones for all points; the largest studentised
    difference of all pairs bounds every one (bootstrap-t). Fewer windows than 16 are
    too few to draw from: Bonferroni's bound with Student's t takes its place.

    Source: Romano and Wolf, Econometrica 73 (2005), in a single step.
    """
    n_points, n = samples.shape
    mean = samples.mean(1)
    apart = samples - mean[:, None]
    together = apart @ apart.T / max(n * (n - 1), 1)
    own = np.diag(together)
    variance = own[:, None] + own - 2 * together
    is_same = variance <= 1e-12 * (own[:, None] + own)
    bound = _bonferroni(np.array(n - 1.0), n_points, risk)
    if n >= FEW and n_points <= MOST:
        bound = np.array(_largest(apart, risk))
    with np.errstate(invalid="ignore"):  # of one window nothing is known: 0 times inf
        margins = np.where(is_same & (n > 1), 0, bound * np.sqrt(variance.clip(0)))
    return Figures(mean, np.nan_to_num(margins, nan=np.inf, posinf=np.inf))


def by_interval(estimates: Sequence[Estimate], risk: float = RISK) -> Figures:
    """Return estimates that are off independently; equal ones are one measurement."""
    from scipy.special import stdtrit

    half = np.array([(e.high - e.low) / 2 for e in estimates])
    freedom = np.array([e.n_windows - 1.0 for e in estimates])
    freedom[half == 0] = np.inf
    error = half / np.where(half > 0, stdtrit(freedom.clip(1, 1e9), 0.975), 1)
    bound = _bonferroni(np.minimum(freedom[:, None], freedom), len(estimates), risk)
    margins = bound * np.hypot(error[:, None], error)
    is_same = np.array([[a == b for a in estimates] for b in estimates], dtype=bool)
    margins[is_same.reshape(margins.shape)] = 0
    return Figures(np.array([e.value for e in estimates]), margins)


def _figures(entries: Sequence[Entry], name: str, risk: float) -> Figures:
    axis = AXES[name]
    if axis.windows is not None and n_windows(entries, name) is not None:
        rows = [axis.windows(*texts).numpy() for texts in _texts(entries)]
        return by_window(np.stack(rows), risk)
    estimates = [entry.figures[name] for entry in entries]
    if not axis.lower_is_better:
        estimates = [
            Estimate(-e.value, -e.high, -e.low, e.n_windows) for e in estimates
        ]
    if axis.is_exact:
        return exact(np.array([e.value for e in estimates]))
    return by_interval(estimates, risk)


def _texts(entries: Sequence[Entry]) -> list[tuple[TextEvaluation, TextEvaluation]]:
    """Return what dense and pruned have read, of the cells that read a text.

    Of one text it is what all have read of it.
    """
    measured = (e.comparison for e in entries if e.comparison is not None)
    texts = ((c.dense.text, c.pruned.text) for c in measured)
    pairs = [(a, b) for a, b in texts if a is not None and b is not None]
    if len({(t.text_sha256, t.seq_len, t.bos) for _, t in pairs}) != 1:
        return pairs
    n = min(len(text.nll) for _, text in pairs)
    return [(a.first(n), b.first(n)) for a, b in pairs]


def _bonferroni(
    freedom: Float[np.ndarray, "..."], n_points: int, risk: float
) -> Float[np.ndarray, "..."]:
    """Return Student's t for all ordered pairs at once; infinite below 1."""
    from scipy.special import stdtrit

    n_pairs = max(n_points * (n_points - 1), 1)
    bound = stdtrit(freedom.clip(1, 1e9), 1 - risk / n_pairs)
    return np.where(freedom < 1, np.inf, bound)


def _largest(apart: Float[np.ndarray, "n_points n_windows"], risk: float) -> float:
    """Return what the largest studentised difference seldom exceeds when resampled."""
    n = apart.shape[1]
    counts = np.random.default_rng(0).multinomial(n, [1 / n] * n, N_RESAMPLES) / n
    largest = np.zeros(N_RESAMPLES)
    for place, own in enumerate(apart[:-1]):
        difference = (own - apart[place + 1 :]).T
        mean, square = counts @ difference, counts @ difference**2
        variance = (square - mean**2) / (n - 1)
        is_other = variance > 1e-12 * (difference**2).mean(0)  # no cell twice
        ratio = np.abs(mean) / np.sqrt(np.where(is_other, variance, np.inf))
        np.maximum(largest, ratio.max(1), out=largest)
    return float(np.quantile(largest, 1 - risk))


def _is_better(
    worse: Float[np.ndarray, "2 n_points n_points"],
) -> Bool[np.ndarray, "n_points n_points"]:
    """Whether column dominates row, which is so much worse in the two figures."""
    return np.asarray((worse >= 0).all(0) & (worse > 0).any(0))
