"""How much faster pruned shapes are, as tables."""

from collections.abc import Sequence
from math import nan

import pandas as pd

from llmrank.evaluation.shape_timing import PHASES, SpeedPoint, phase


def chart_table(points: Sequence[SpeedPoint]) -> pd.DataFrame:
    """Return the two measured lines and what the arithmetic alone would allow.

    Columns criterion (the line's name), sparsity, value (times as fast as dense), low
    and high (95 % interval; NaN for the ideal lines). Every line starts at dense.
    """
    rows = [(name, 0.0, 1.0, 1.0, 1.0) for name in PHASES]
    rows += [(_ideal(name), 0.0, 1.0, nan, nan) for name in PHASES]
    for point in points:
        for name in PHASES:
            ratio = phase(point, name)
            ends = (ratio.measured, ratio.low, ratio.high)
            rows.append((name, point.removed, *ends))
            rows.append((_ideal(name), point.removed, ratio.ideal, nan, nan))
    columns = ["criterion", "sparsity", "value", "low", "high"]
    order = {name: i for i, name in enumerate((*PHASES, *map(_ideal, PHASES)))}
    rows.sort(key=lambda row: order[row[0]])
    return pd.DataFrame(rows, columns=columns)


def speed_table(points: Sequence[SpeedPoint]) -> pd.DataFrame:
    """Return one row per point and phase, times and ratios, for a CSV."""
    return pd.DataFrame(
        {
            "removed": point.removed,
            "phase": name,
            "dense_ms": getattr(point.dense, name).median,
            "pruned_ms": getattr(point.pruned, name).median,
            "times_as_fast": phase(point, name).measured,
            "low": phase(point, name).low,
            "high": phase(point, name).high,
            "ideal": phase(point, name).ideal,
            "rounds": phase(point, name).n_rounds,
            "disturbed": phase(point, name).disturbed,
        }
        for point in sorted(points, key=lambda p: p.removed)
        for name in PHASES
    )


def _ideal(name: str) -> str:
    return f"{name}, by its arithmetic"
