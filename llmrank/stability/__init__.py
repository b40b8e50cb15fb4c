"""Whether the calibration suffices: the same scores from halves and sizes of it."""

from llmrank.stability.measured import (
    ENOUGH,
    Match,
    Parts,
    Stability,
    nested_parts,
    stability,
)
from llmrank.stability.tables import as_table, shown_table

__all__ = [
    "ENOUGH",
    "Match",
    "Parts",
    "Stability",
    "as_table",
    "nested_parts",
    "shown_table",
    "stability",
]
