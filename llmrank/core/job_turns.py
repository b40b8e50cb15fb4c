"""Whose turn it is: the jobs of all owners who wait for one thread."""

from collections import deque
from collections.abc import Iterator
from itertools import zip_longest
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Each owner's jobs in their order, the owners in the order of their turns.

    After a job of one owner, each other owner who waits gets one. The first of all is
    the one that runs: who comes meanwhile is before its owner's next.
    """

    def __init__(self) -> None:
        self._queues: dict[str, deque[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __iter__(self) -> Iterator[T]:
        """Yield the jobs in the order in which they start."""
        for turn in zip_longest(*self._queues.values()):
            yield from (job for job in turn if job is not None)

    def of_owner(self, owner: str) -> tuple[T, ...]:
        """Return one owner's jobs."""
        return tuple(self._queues.get(owner, ()))

    def add(self, owner: str, job: T) -> None:
        """Put a job behind all others of its owner."""
        self._queues.setdefault(owner, deque()).append(job)

    def remove(self, owner: str, job: T, *, had_turn: bool) -> None:
        """Take a job off; an owner who had a turn becomes the last in line."""
        rest = self._queues[owner]
        rest.remove(job)
        if had_turn or not rest:
            del self._queues[owner]
        if rest:
            self._queues[owner] = rest
