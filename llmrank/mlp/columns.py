"""Which columns of a table are features: no row numbers, no copy of the label."""

import numpy as np
from jaxtyping import Int, Shaped
from numpy.typing import NDArray

from llmrank.mlp.rows import Rows

INDEX_NAMES = frozenset(("index", "id", "idx", "row", "row_id", "rownames", "level_0"))
UNNAMED = "unnamed: "  # so pandas writes again what it has read without a name
COPY = "a copy of the label"
BLOCK = 4_000_000  # numbers that are compared at once


def left_out(rows: Rows, y: Int[np.ndarray, " n"]) -> dict[int, str]:
    """Say of each column of a text table that is no feature why."""
    empty = np.isnan(rows.numbers).all(0).nonzero()[0]
    reasons = dict.fromkeys(empty.tolist(), "empty")
    candidates = range(len(rows.names)) if not rows.is_headless else range(1)
    for column in candidates:
        if column not in reasons and _is_index(rows, column):
            reasons[column] = "an index"
    return copies(rows.numbers, y) | reasons


def _is_index(rows: Rows, column: int) -> bool:
    """Whether a column only tells the rows apart.

    Without a name in a table that has names, or under such a name as id, different
    whole numbers or words do; in a table without names only a count from 0 or 1.
    """
    name, values = rows.names[column].lower(), rows.numbers[:, column]
    if rows.is_headless:
        return is_count(values)
    if name and name not in INDEX_NAMES and not name.startswith(UNNAMED):
        return False
    whole = bool((values == np.trunc(values)).all())
    return whole and len(np.unique(values)) == len(values)


def is_count(values: NDArray[np.generic]) -> bool:
    """Whether a column is 0, 1, 2, … or 1, 2, 3, …."""
    n = np.arange(len(values))
    return bool((values == n).all() or (values == n + 1).all())


def copies(x: Shaped[np.ndarray, "n d"], y: Int[np.ndarray, " n"]) -> dict[int, str]:
    """Find the columns that are the label under another name or coding.

    A copy has one value for each class and another for every class. A feature of many
    values that happens to part the classes is none: it has several for a class. Of an
    indicator (one value for one class, another for all others) none alone is a copy,
    but those of all classes but one are.
    """
    classes, first = np.unique(y, return_index=True)
    if len(classes) < 2:
        return {}
    values = np.sort(x[first], axis=0)  # [classes, columns], where it is one for each
    n_values = 1 + (values[1:] != values[:-1]).sum(0)
    followed = np.flatnonzero((n_values == len(classes)) | (n_values == 2))
    step = max(1, BLOCK // max(len(followed), 1))
    of_class = np.searchsorted(classes, y)
    for start in range(0, len(x), step):
        part = x[start : start + step][:, followed]
        own = x[first][:, followed][of_class[start : start + step]]
        followed = followed[(part == own).all(0)]
    same = _indicators(x[first], followed[n_values[followed] == 2])
    return same | {int(c): COPY for c in followed if n_values[c] == len(classes)}


def _indicators(
    values: Shaped[np.ndarray, "k d"], followed: Int[np.ndarray, " m"]
) -> dict[int, str]:
    """Find columns of one class each, if they are there for all classes but one."""
    of: dict[int, int] = {}
    for column in followed.tolist():
        low = values[:, column] == values[:, column].min()
        for side in (low, ~low):
            if side.sum() == 1:
                of[column] = int(side.argmax())
    if len(set(of.values())) < len(values) - 1:
        return {}
    return dict.fromkeys(of, "with others a copy of the label")
