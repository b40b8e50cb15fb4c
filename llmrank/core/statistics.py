"""A value and how sure it is: estimates with their intervals."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.formatting import interval, number, times

NORMAL_95 = 1.96
"""Standard errors to either side of a mean of many samples in its 95 % interval."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the number of independent windows in it."""

    value: float
    low: float
    high: float
    n_windows: int


def t_interval(samples: Float[Tensor, " n"]) -> Estimate:
    """Return the mean with its 95 % Student-t interval (infinite for one sample)."""
    values = samples.double()
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(mean, float("-inf"), float("inf"), n)
    half = half_width(float(values.std()), n)
    return Estimate(mean, mean - half, mean + half, n)


def proportion(n_right: int, n: int) -> Estimate:
    """Return a share with its 95 % interval.

    Source: Wilson 1927, Probable inference; it stays within 0 and 1.
    """
    from scipy.stats import binomtest

    ends = binomtest(n_right, n).proportion_ci(0.95, "wilson")
    return Estimate(n_right / n, float(ends.low), float(ends.high), n)


def half_width(deviation: float, n: int) -> float:
    """Return half of the 95 % interval of a mean of n samples (Student's t)."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)


def exponentiated(log: Estimate) -> Estimate:
    """Return e to an estimate, its interval with it."""
    logs = torch.tensor([log.value, log.low, log.high], dtype=torch.float64)
    value, low, high = logs.exp().tolist()
    return Estimate(value, low, high, log.n_windows)


def spread(estimate: Estimate) -> str:
    """Write a value with its 95 % interval: 27.1 [25.0, 29.4]."""
    return f"{number(estimate.value)}{_ends(estimate)}"


def times_spread(estimate: Estimate) -> str:
    """Write a multiple with its 95 % interval: ×2.26 [1.98, 2.57]."""
    return f"{times(estimate.value)}{_ends(estimate)}"


def share_spread(estimate: Estimate) -> str:
    """Write a share with its 95 % interval, both in per cent: 72.0 % [69.0, 74.5]."""
    low, value, high = (100 * v for v in (estimate.low, estimate.value, estimate.high))
    ends = f" {interval(low, high)}" if math.isfinite(high) else ""
    return f"{number(value)} %{ends}"


def _ends(estimate: Estimate) -> str:
    """One window alone has no interval."""
    bounded = math.isfinite(estimate.high)
    return f" {interval(estimate.low, estimate.high)}" if bounded else ""


def rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> float | None:
    """Return Spearman's coefficient in [-1, 1], or None where it is not defined.

    Source: Spearman 1904; equal values share their mean rank, and the coefficient is
    the correlation of the ranks, so that ties need no correction.
    """
    from scipy.stats import spearmanr

    _check_numbers(a, b)
    if (a == a[0]).all() or (b == b[0]).all():
        return None
    return float(spearmanr(a.cpu().numpy(), b.cpu().numpy()).statistic)


def average_ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Rank from 1 (lowest); equal values share the mean of their ranks.

    Raises:
        ValueError: a value is NaN.
    """
    from scipy.stats import rankdata

    _check_numbers(values)
    return torch.from_numpy(rankdata(values.cpu().numpy()))


def ranks(scores: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Return each neuron's place from 1 (highest); of equals the lower index first."""
    from scipy.stats import rankdata

    return torch.from_numpy(rankdata(-scores.cpu().numpy(), method="ordinal"))


def _check_numbers(*scores: Tensor) -> None:
    if any(values.isnan().any() for values in scores):
        raise ValueError("scores must be numbers, got NaN")
