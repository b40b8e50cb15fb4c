"""How a text table is written: what parts its cells, its decimals, its head."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
NUMBER = re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", re.ASCII)
"""Not 1_000, ٣, 0x10, nan: Python takes some of them, and each reader others."""


@dataclass(frozen=True)
class Dialect:
    """What parts cells, and what stands before decimals."""

    delimiter: str
    decimal: str

    @property
    def said(self) -> str:
        """How it was read, unless with commas and points."""
        if self.delimiter == ",":
            return ""
        commas = " and decimal commas" if self.decimal == "," else ""
        return f"read with {DELIMITERS[self.delimiter]} between cells{commas}"

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a plain number."""
        return _is_number(cell, self.decimal)

    def cells(self, lines: Sequence[str]) -> list[list[str]]:
        """Part some lines, blank ones left out, whatever their quotes."""
        parted = csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)
        return [cells for cells in parted if cells]


def dialect(sample: Sequence[str], content: bytes) -> Dialect:
    """Tell the dialect of a table by its first lines, and all its points and commas."""
    delimiter = max(DELIMITERS, key=lambda d: _score(d, sample))
    has_commas = content.count(b",") > content.count(b".")
    return Dialect(delimiter, "," if delimiter != "," and has_commas else ".")


def _score(delimiter: str, sample: Sequence[str]) -> tuple[float, float]:
    """How many cells are numbers, in rows of one length.

    Where decimals are commas, commas part the rows too, but into no numbers.
    """
    try:
        rows = Dialect(delimiter, ".").cells(sample)
    except csv.Error:
        return (-1.0, -1.0)
    width, times = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
    if width < 2:
        return (-1.0, -1.0)
    cells = [c for r in rows[1:21] if len(r) == width for c in r[:200]]
    decimals = ".," if delimiter != "," else "."
    numbers = sum(any(_is_number(c, d) for d in decimals) for c in cells)
    same = times / len(rows)
    return (same * numbers / max(len(cells), 1), same)


def _is_number(cell: str, decimal: str) -> bool:
    if decimal == ",":
        cell = cell.replace(".", "x").replace(",", ".")
    return NUMBER.fullmatch(cell) is not None


def is_headless(head: Sequence[str], sample: Sequence[str], dialect: Dialect) -> bool:
    """Whether the first row is an example: numbers, but not 0, 1, 2, … as pandas heads.

    Of two or three columns `0,1` may as well be an example: it is one if its label
    occurs again.
    """
    cells = [c.strip() for c in head]
    if not any(cells) or not all(not c or dialect.is_number(c) for c in cells):
        return False
    counted = cells if cells[0] else cells[1:]
    starts = (map(str, range(n, n + len(counted))) for n in (0, 1))
    if not any(counted == list(start) for start in starts):
        return True
    if len(counted) > 3 or not cells[0]:
        return False
    last = [row[-1].strip() for row in dialect.cells(sample)]
    return last.count(cells[-1]) > 1
