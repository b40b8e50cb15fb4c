"""How a long stage reports: what it is doing, how far it is, and where it may stop."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total); raises `CancelledError` to stop the stage."""


def silent(what: str, done: int, total: int) -> None:
    """Report to nobody."""


def track(items: Sequence[T], what: str, progress: Progress) -> Iterator[T]:
    """Yield the items, reporting before the first and after each."""
    progress(what, 0, len(items))
    for done, item in enumerate(items, start=1):
        yield item
        progress(what, done, len(items))
