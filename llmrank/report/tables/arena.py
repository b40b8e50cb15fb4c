"""The arena as a table: all figures, only what differs, a terminal's, LaTeX."""

from collections.abc import Sequence
from math import nan

import pandas as pd

from llmrank.core.formatting import interval, number, share
from llmrank.experiments.arena.axes import AXES
from llmrank.experiments.arena.pareto import Placed
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
        low, high = (f"{name}{end}" for end in ENDS)
        if low in table and high in table:
            ends = zip(table[low].tolist(), table[high].tolist(), strict=True)
            texts = [_ends(*pair) for pair in ends]
            columns[f"{title}: 95 %"] = pd.Series(texts, table.index)
    return pd.DataFrame(columns)


def chart_table(placed: Sequence[Placed]) -> pd.DataFrame:
    """Return what a chart of two axes needs, one row per cell."""
    rows = [
        {
            "model": p.entry.experiment.model.name,
            "method": p.entry.method.name,
            "sparsity": p.entry.experiment.pruning.sparsity,
            "seed": p.entry.run.spec.seed,
            **{name: getattr(p.x, end) for name, end in _ends_of("x").items()},
            **{name: getattr(p.y, end) for name, end in _ends_of("y").items()},
            "dominated": p.dominated,
            "run": p.entry.run.id,
        }
        for p in placed
    ]
    return pd.DataFrame(rows)


def _ends_of(axis: str) -> dict[str, str]:
    return {axis: "value", f"{axis}_low": "low", f"{axis}_high": "high"}


def _row(entry: Entry) -> dict[str, object]:
    of, run = entry.experiment, entry.run
    row: dict[str, object] = {
        "model": of.model.name,
        "method": entry.method.name,
        **{part: getattr(entry.method, part).name for part in PARTS},
        "sparsity": of.pruning.sparsity,
        "seed": run.spec.seed,
        "state": run.state,
        "reason": run.reason or None,
    }
    for name in AXES:
        row |= _columns(name, entry)
    where = {} if run.origin is None else run.origin.environment
    origin = {name: where.get(name) for name in ORIGIN}
    return row | origin | {"finished": run.finished, "run": run.id}


def _columns(name: str, entry: Entry) -> dict[str, float]:
    figure = entry.figures.get(name)
    names = [name] if AXES[name].is_exact else [name, *(name + end for end in ENDS)]
    if figure is None:
        return dict.fromkeys(names, nan)
    return dict(zip(names, (figure.value, figure.low, figure.high), strict=False))


def _texts(table: pd.DataFrame, name: str) -> list[str]:
    low, high = (f"{name}{end}" for end in ENDS)
    bounded = low in table and high in table
    values = table[name].tolist()
    if name == "sparsity":
        return [share(value) for value in values]
    if not bounded:
        return [_text(value) for value in values]
    ends = zip(table[low].tolist(), table[high].tolist(), strict=True)
    return [
        f"{_text(value)} {_ends(*pair)}".strip()
        for value, pair in zip(values, ends, strict=True)
    ]


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return ""
    if isinstance(value, float) and not value.is_integer():
        return number(value)
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _ends(low: float, high: float) -> str:
    return "" if pd.isna(low) else interval(low, high)
