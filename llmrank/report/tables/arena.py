"""The arena as a table: all figures, only what differs, a terminal's, LaTeX."""

from collections.abc import Sequence
from math import nan

import pandas as pd

from llmrank.core.formatting import interval, number, share
from llmrank.core.statistics import Estimate, spread
from llmrank.experiments.arena.axes import AXES, Axis
from llmrank.experiments.arena.pareto import verdicts
from llmrank.experiments.arena.runner import Entry
from llmrank.methods.method import PARTS

ALWAYS = ("method", "sparsity")
"""What a row is, even where all rows share it."""

OWN = ("run", "finished")
"""What differs from row to row by itself, and tells nothing."""


ORIGIN = ("device", "dtype", "n_threads", "torch", "transformers", "llmrank")
"""What is told of the versions and the machine."""

ENDS = ("_low", "_high")


def arena_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Return one row per cell: what it is, how it stands, its figures, its origin.

    A figure stands with the ends of its 95 % interval; what is exact stands alone.
    """
    return pd.DataFrame([_row(entry) for entry in entries])


def differing(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out columns that say the same in every row, and the runs' own names.

    The method and the sparsity stay; a table of one row loses what is empty.
    """
    own = [name for name in OWN if name in table]
    full = table.drop(columns=own).dropna(axis="columns", how="all")
    if len(full) < 2:
        return full
    return full.loc[:, [c in ALWAYS or full[c].nunique(dropna=False) > 1 for c in full]]


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of texts: values with their intervals in one column, rounded."""
    names = [c for c in table if not str(c).endswith(ENDS)]
    return pd.DataFrame({name: _texts(table, str(name)) for name in names})


def latex(table: pd.DataFrame) -> str:
    r"""Return a table for a paper: `\begin{tabular}` with booktabs' rules.

    What differs of what a row is and of its figures; every character that LaTeX would
    read as a command is escaped.
    """
    wanted = {"model", *ALWAYS, "seed", *(n + e for n in AXES for e in ("", *ENDS))}
    told = differing(table)
    titles = {name: AXES[name].title for name in AXES}
    texts = printed(told[[c for c in told if c in wanted]]).rename(columns=titles)
    style = texts.style.hide(axis="index")
    style = style.format(escape="latex").format_index(escape="latex", axis="columns")
    return style.to_latex(hrules=True)


def brief(table: pd.DataFrame) -> pd.DataFrame:
    """Return what tells the rows apart at a glance: what differs, the figures first.

    The method's name says its parts; an origin that is not known yet differs in nothing
    that is known.
    """
    told = differing(table).drop(columns=list(PARTS), errors="ignore")
    known = {c: told[c].nunique() > 1 for c in ORIGIN if c in told}
    told = told.drop(columns=[c for c, differs in known.items() if not differs])
    first = [c for c in (*ALWAYS, "model", "seed", "state") if c in told]
    return told[[*first, *(c for c in told if c not in first)]]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table for the screen: figures sort as numbers, intervals stand beside.

    Columns are titled as the axes are.
    """
    columns: dict[str, pd.Series] = {}
    for name in (str(c) for c in table if not str(c).endswith(ENDS)):
        title = AXES[name].title if name in AXES else name
        columns[title] = table[name]
        ends = _intervals(table, name)
        if ends is not None:
            columns[f"{title}: 95 %"] = pd.Series(ends, table.index)
    return pd.DataFrame(columns)


def standings(entries: Sequence[Entry], x: str, y: str) -> pd.DataFrame:
    """Return where the cells that have both figures stand, the best in `y` first.

    Returns:
        Columns method, criterion, sparsity, seed, x and y with `_low` and `_high`,
        said (y with its interval, as it is written), verdict (see `arena.judged`), run.

    Raises:
        OptionError: there is no such axis.
    """
    axis, _ = AXES[y], AXES[x]
    both = [e for e in entries if x in e.figures and y in e.figures]
    rows = [
        {
            "method": entry.method.name,
            "criterion": entry.method.criterion.name,
            "sparsity": entry.experiment.pruning.sparsity,
            "seed": entry.run.spec.seed,
            **_estimated("x", entry.figures[x]),
            **_estimated("y", entry.figures[y]),
            "said": _said(entry.figures[y], axis),
            "verdict": verdict,
            "run": entry.run.id,
        }
        for entry, verdict in zip(both, verdicts(both, x, y), strict=True)
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    return table.sort_values("y", ascending=axis.lower_is_better, ignore_index=True)


def _said(figure: Estimate, axis: Axis) -> str:
    said = spread(figure) if figure.low < figure.high else number(figure.value)
    return f"×{said}" if "×" in axis.title else said


def _estimated(name: str, figure: Estimate | None) -> dict[str, float]:
    values = (nan,) * 3 if figure is None else (figure.value, figure.low, figure.high)
    return dict(zip((name, *(name + end for end in ENDS)), values, strict=True))


def _row(entry: Entry) -> dict[str, object]:
    experiment, run = entry.experiment, entry.run
    row: dict[str, object] = {
        "model": experiment.model.name,
        "method": entry.method.name,
        **{part: getattr(entry.method, part).name for part in PARTS},
        "sparsity": experiment.pruning.sparsity,
        "seed": run.spec.seed,
        "state": run.state,
        "reason": run.reason or None,
    }
    for name in AXES:
        columns = _estimated(name, entry.figures.get(name))
        row |= {name: columns[name]} if AXES[name].is_exact else columns
    where = {} if run.origin is None else run.origin.environment
    origin = {name: where.get(name) for name in ORIGIN}
    return row | origin | {"finished": run.finished, "run": run.id}


def _texts(table: pd.DataFrame, name: str) -> list[str]:
    write = share if name == "sparsity" else _text
    texts = [write(value) for value in table[name].tolist()]
    ends = _intervals(table, name)
    if ends is None:
        return texts
    return [f"{text} {end}".strip() for text, end in zip(texts, ends, strict=True)]


def _intervals(table: pd.DataFrame, name: str) -> list[str] | None:
    """Write the ends of a column's intervals; None where it has none."""
    low, high = (f"{name}{end}" for end in ENDS)
    if low not in table or high not in table:
        return None
    ends = zip(table[low].tolist(), table[high].tolist(), strict=True)
    return ["" if pd.isna(a) else interval(a, b) for a, b in ends]


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float) and not value.is_integer():
        return number(value)
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)
