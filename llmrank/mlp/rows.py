"""Rows of a text table, read under limits: its dialect, its names, its numbers."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from llmrank.core.errors import LLMRankError
from llmrank.mlp.dialects import DELIMITERS, Dialect, dialect, is_headless
from llmrank.mlp.example_sets import (
    MAX_CLASSES,
    MAX_FEATURES,
    MAX_ROWS,
    MAX_VALUES,
    too_large,
)

LABELS = ("label", "labels", "class", "target", "y")
MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
TRUTH = {"true": 1.0, "false": 0.0}
WORD = 1e100
"""Words of a column stand in its numbers as 1, 2, … of these, far beyond all allowed:
so a copy of the label is found by what it does, whether it is written or numbered."""

MAX_LINE = 1_000_000  # characters; 50 for each of the columns that are allowed
MAX_LINES = 100  # that one row may span, by line breaks in quotes
MAX_BLANKS = 1_000_000  # lines in all, blank ones too
MAX_WORDY = 20  # columns of words: more cannot all be an index or a copy
BLOCK = 1_000_000  # cells that are read as text before they become numbers


@dataclass(eq=False)
class Rows:
    """What a text table holds, before anything is left out."""

    names: tuple[str, ...]
    shown: tuple[str, ...]
    """The names, and what stands for one where there is none."""
    is_headless: bool
    dialect: Dialect
    label: str
    labels: list[str] = field(default_factory=list)
    words: dict[int, dict[str, int]] = field(default_factory=dict)
    """Of each column that holds words: the words, numbered as they came."""
    numbers: Float64[np.ndarray, "n d"] = field(
        default_factory=lambda: np.empty((0, 0))
    )


def read(content: bytes, name: str) -> Rows:
    """Read a table; what is no number in it is a word or missing (NaN).

    Raises:
        LLMRankError: too large, no text, rows of different lengths, or a column that
            lacks some of its values.
    """
    lines = _Lines(content, name)
    sample = _sample(lines)
    written = dialect(sample, content)
    rows = _rows(chain(sample, lines), lines, written.delimiter, name)
    head = next(rows, None)
    if head is None:
        raise LLMRankError(f"{name} is no CSV table: it is empty")
    _check_width(len(head), name)
    headless = is_headless(head, sample, written)
    names = tuple("" if headless else cell.strip() for cell in head)
    rest = chain([head] * headless, rows)
    at = _label(names)
    shown = tuple(n or f"column {i + 1}" for i, n in enumerate(names))
    others = shown[:at] + shown[at + 1 :]
    table = Rows(names[:at] + names[at + 1 :], others, headless, written, shown[at])
    reader = _Reader(table, name)
    blocks = [reader.block(block, at) for block in _blocks(rest, len(head), name)]
    if blocks:
        table.numbers = np.concatenate(blocks)
    return table


class _Lines(Iterator[str]):
    """The lines of a file, decoded one by one, whichever way they end."""

    def __init__(self, content: bytes, name: str) -> None:
        self.text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=None)
        self.name, self.n, self.since_row = name, 0, 0

    def __next__(self) -> str:
        self.n += 1
        self.since_row += 1
        try:
            line = self.text.readline(MAX_LINE)
        except UnicodeDecodeError as error:
            raise self.refusal("is not UTF-8 text; save it as CSV UTF-8") from error
        if not line:
            raise StopIteration
        if len(line) == MAX_LINE:
            raise self.refusal(f"is longer than the {MAX_LINE:,} characters allowed")
        if "\0" in line:
            raise self.refusal("holds a zero byte; save it as CSV UTF-8")
        if self.n > MAX_BLANKS:
            raise self.refusal("is one too many")
        if self.since_row > MAX_LINES:
            raise self.refusal("lies in quotes that were opened long before")
        return line

    def refusal(self, what: str) -> LLMRankError:
        return LLMRankError(f"{self.name} is no CSV table: line {self.n:,} {what}")


def _sample(lines: _Lines) -> list[str]:
    """Take the first lines, by which the dialect is told."""
    sample: list[str] = []
    for line in lines:
        sample.append(line)
        if len(sample) == MAX_LINES or sum(map(len, sample)) > MAX_LINE:
            break
    lines.since_row = 0
    return sample


def _rows(
    lines: Iterator[str], source: _Lines, delimiter: str, name: str
) -> Iterator[list[str]]:
    """Part the lines into cells; blank lines are none."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise LLMRankError(
                f"{name} is no CSV table: line {reader.line_num:,} has quotes that are "
                f"not closed, or a cell without end ({str(error)[:60]})"
            ) from error
        source.since_row = 0
        if cells is None:
            return
        if len(cells) > 1 or (cells and cells[0].strip()):
            yield cells


def _check_width(width: int, name: str) -> None:
    if width == 1:
        raise LLMRankError(
            f"{name} has one column: no {', '.join(DELIMITERS.values())} part its "
            "cells; features and a label are needed"
        )
    if width > MAX_FEATURES + 1:
        raise too_large(name, f"{width:,} columns", f"{MAX_FEATURES:,}")


def _label(names: Sequence[str]) -> int:
    """Find the label: the column of such a name, or the last that has any."""
    lower = [n.lower() for n in names]
    named = [lower.index(n) for n in LABELS if n in lower]
    if named:
        return named[0]
    return max((i for i, n in enumerate(names) if n), default=len(names) - 1)


def _blocks(
    rows: Iterator[list[str]], width: int, name: str
) -> Iterator[list[list[str]]]:
    """Give the rows in blocks, all of one length and no more than allowed."""
    most = min(MAX_ROWS, MAX_VALUES // width)
    block: list[list[str]] = []
    for n, cells in enumerate(rows, 1):
        if len(cells) != width:
            raise LLMRankError(
                f"{name} is no CSV table: row {n:,} has {len(cells):,} cells and the "
                f"first line has {width:,}"
            )
        if n > most:
            raise LLMRankError(
                f"{name} has more than the {most:,} rows of {width:,} columns that are "
                "read here; keep a sample of it"
            )
        block.append(cells)
        if len(block) * width >= BLOCK:
            yield block
            block = []
    if block:
        yield block


class _Reader:
    """Turns blocks of cells into numbers and notes words and what is missing."""

    def __init__(self, rows: Rows, name: str) -> None:
        self.rows, self.name = rows, name
        self.plain = f"0123456789+-eE \n{rows.dialect.decimal}".encode()
        self.first_missing = np.zeros(len(rows.names), dtype=np.int64)
        self.has_value = np.zeros(len(rows.names), dtype=bool)

    def block(
        self, block: Sequence[list[str]], label: int
    ) -> Float64[np.ndarray, "n d"]:
        """Return a block's numbers; what is wrong for certain is refused now."""
        labels = [cells.pop(label).strip() for cells in block]
        self.rows.labels += labels
        if "" in labels:
            row = self.rows.labels.index("") + 1
            raise LLMRankError(
                f"{self.name}: column {self.rows.label[:40]!r}, the label, lacks a "
                f"value in row {row:,}; fill it in or leave the row out"
            )
        whole = self._all_numbers(list(chain.from_iterable(block)))
        if whole is not None:
            values = whole.reshape(len(block), -1)
        else:
            columns = enumerate(zip(*block, strict=True))
            values = np.stack([self._column(cells, i) for i, cells in columns], axis=1)
            self._check_words()
        self._check_missing(np.isnan(values))
        return values

    def _all_numbers(self, cells: Sequence[str]) -> NDArray[np.float64] | None:
        """Return all cells as numbers, if they are: no 1_000, no ٣, no nan."""
        if "\n".join(cells).encode().translate(None, self.plain):
            return None
        if self.rows.dialect.decimal == ",":
            cells = [c.replace(",", ".") for c in cells]
        try:
            return np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            return None

    def _column(self, cells: Sequence[str], column: int) -> NDArray[np.float64]:
        numbers = self._all_numbers(cells)
        if numbers is not None:
            return numbers
        known = {c: self._cell(c.strip(), column) for c in dict.fromkeys(cells)}
        return np.fromiter(map(known.__getitem__, cells), np.float64, len(cells))

    def _cell(self, cell: str, column: int) -> float:
        if self.rows.dialect.is_number(cell):
            return float(cell.replace(",", "."))
        lower = cell.lower()
        if lower in MISSING:
            return float("nan")
        if lower in TRUTH:
            return TRUTH[lower]
        words = self.rows.words.setdefault(column, {})
        return WORD * words.setdefault(cell, len(words) + 1)

    def _check_words(self) -> None:
        """Refuse words that can be neither an index nor a copy of the label."""
        n, words = len(self.rows.labels), self.rows.words
        for column, known in words.items():
            if len(words) > MAX_WORDY or MAX_CLASSES < len(known) < n:
                raise wordy(self.name, self.rows.shown[column], next(iter(known)))

    def _check_missing(self, missing: NDArray[np.bool_]) -> None:
        """Refuse a column that has some values and lacks others."""
        before = len(self.rows.labels) - len(missing)
        fresh = missing.any(0) & (self.first_missing == 0)
        self.first_missing[fresh] = before + missing[:, fresh].argmax(0) + 1
        self.has_value |= ~missing.all(0)
        partly = (self.first_missing > 0) & self.has_value
        if partly.any():
            column = int(partly.argmax())
            row = self.first_missing[column]
            raise LLMRankError(
                f"{self.name}: column {self.rows.shown[column][:40]!r} lacks a value "
                f"in row {row:,}; fill them in or leave the rows out"
            )


def wordy(name: str, column: str, word: str) -> LLMRankError:
    """Say that a feature is no number."""
    return LLMRankError(
        f"{name}: column {column[:40]!r} holds text ({word[:40]!r}); features must be "
        "plain numbers such as 1234.5, only the label may be text"
    )
