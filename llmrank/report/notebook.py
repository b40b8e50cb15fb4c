"""A comparison, scores and a plan as a notebook shows them: tables of the pages."""

from collections.abc import Sequence
from functools import singledispatch
from html import escape

import pandas as pd

from llmrank.core.formatting import number, share
from llmrank.evaluation.comparison import Comparison
from llmrank.methods.criteria import Scores
from llmrank.methods.pruning import PruningPlan
from llmrank.report.sentences.summary import verdict
from llmrank.report.tables.comparison import Cell, lines
from llmrank.report.tables.scores import layer_table

QUANTILES = ("p05", "median", "p95")


@singledispatch
def html(result: object) -> str:
    """Draw a result as HTML: a table, and what it says in words."""
    raise TypeError(f"nothing is drawn of a {type(result).__name__}")


@html.register
def _(result: Comparison) -> str:
    """Show each measure dense, pruned and changed, as the Compare page does."""
    rows = [
        (line.name, *map(_written, (line.dense, line.pruned, line.change)))
        for line in lines(result)
    ]
    said = (f"<b>{escape(k)}.</b> {escape(v)}" for k, v in verdict(result).items())
    return _table(("", "dense", "pruned", "change"), rows) + "<br>".join(said)


@html.register
def _(result: Scores) -> str:
    """Show how each layer's scores are spread, in multiples of an equal share."""
    normalised = result.normalised
    keep = [scores.argsort() for scores in normalised]  # none is dropped
    rows = [
        (
            str(row["layer"]),
            f"{row['n_neurons']:,}",
            number(row["n_effective"]),
            *(number(row[q] * row["n_neurons"]) for q in QUANTILES),
        )
        for row in layer_table(normalised, keep).to_dict("records")
    ]
    head = ("layer", "neurons", "effective", *QUANTILES)
    return _table(head, rows) + "Quantiles in multiples of an equal share of the layer."


@html.register
def _(result: PruningPlan) -> str:
    """Show how many neurons of each layer stay."""
    pairs = zip(result.widths, result.dense_widths, strict=True)
    rows = [
        (f"{layer}", f"{kept:,}", f"{dense:,}", share(1 - kept / dense))
        for layer, (kept, dense) in enumerate(pairs)
    ]
    said = f"{share(result.sparsity)} of {sum(result.dense_widths):,} neurons removed."
    return _table(("layer", "kept", "of", "removed"), rows) + said


def _written(cell: Cell) -> str:
    return f"{cell.value} {cell.spread}".strip()


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return pd.DataFrame(rows, columns=list(head)).to_html(index=False, border=0)
