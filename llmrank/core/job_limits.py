"""What the queue holds: how many jobs may wait, and which finished ones are kept."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from llmrank.core.errors import LLMRankError

MAX_QUEUED = 8
"""How many jobs one owner may have waiting, the running one not counted."""

MAX_QUEUED_IN_ALL = 64
"""How many jobs of all owners together may be waiting."""

MAX_FINISHED = 16
"""How many finished jobs are kept for each owner."""

MAX_FINISHED_IN_ALL = 128
"""How many of all owners are kept; the newest of each are the last to go."""

UNWATCHED_S = 900.0
"""How long a finished job is kept after the last who watched it has gone."""


class Ended(NamedTuple):
    """A finished job: whose it is, and when the last who watched it went, if so."""

    id: str
    owner: str
    left_s: float | None


def check_room(n_mine: int, n_in_all: int) -> None:
    """Refuse one more job where too many are waiting.

    Raises:
        LLMRankError: an owner's, or those of all owners together.
    """
    if n_mine >= MAX_QUEUED:
        raise LLMRankError(
            f"{MAX_QUEUED} of your jobs are waiting, which is the limit; wait for one "
            "to start, or cancel one"
        )
    if n_in_all >= MAX_QUEUED_IN_ALL:
        raise LLMRankError(
            f"{MAX_QUEUED_IN_ALL} jobs of all visitors are waiting, which is the "
            "limit; try again when some of them have ended"
        )


def forgotten(ended: Sequence[Ended], now: float) -> list[str]:
    """Return the ids of those to let go: too many, or left too long ago.

    `ended` has the oldest first. One owner's never push out the newest of another's.
    """
    seen: Counter[str] = Counter()
    ranked = []
    for age, job in enumerate(reversed(ended)):
        ranked.append((seen[job.owner], age, job))
        seen[job.owner] += 1
    return [
        job.id
        for place, (nth, _, job) in enumerate(sorted(ranked, key=lambda r: r[:2]))
        if place >= MAX_FINISHED_IN_ALL
        or nth >= MAX_FINISHED
        or (job.left_s is not None and now - job.left_s >= UNWATCHED_S)
    ]


def wait_s(ended: Iterable[Ended], now: float) -> float | None:
    """Return in how many seconds the next was left long enough, or None."""
    left = [job.left_s for job in ended if job.left_s is not None]
    first = min(left, default=inf) + UNWATCHED_S - now
    return None if first == inf else max(0.0, first)
