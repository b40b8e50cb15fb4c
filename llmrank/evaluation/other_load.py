"""What other work took of the processor while something was timed."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import TypeVar

import torch

T = TypeVar("T")

DISTURBED = 0.1
"""Of all cores: a timing beside which others took more is no fair one."""

RESOLUTION_S = 0.02
"""Systems count processor time in hundredths of a second, on each core."""

IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Not taken, or counted under another name as well."""


@dataclass(frozen=True)
class Load:
    """Processor seconds of all cores: of everybody, of this process, of this thread.

    `python_s` are those of the process's other Python threads.
    """

    wall_s: float = 0.0
    busy_s: float = 0.0
    own_s: float = 0.0
    thread_s: float = 0.0
    python_s: float = 0.0

    def __add__(self, more: "Load") -> "Load":
        pairs = zip(astuple(self), astuple(more), strict=True)
        return Load(*(a + b for a, b in pairs))

    def __sub__(self, before: "Load") -> "Load":
        pairs = zip(astuple(self), astuple(before), strict=True)
        return Load(*(a - b for a, b in pairs))

    @property
    def others(self) -> float | None:
        """The share of the cores that others took; None where nobody tells.

        That is where the system counts less for all than this process has used (some
        containers), or the time was too short for its clock.
        """
        if self.wall_s < RESOLUTION_S or self.busy_s < self.own_s / 2:
            return None
        # of torch's helper threads nothing tells whose they are: each of this thread's
        # takes as much as it does, at the most
        helped_s = torch.get_num_threads() * self.thread_s
        beside_s = max(self.python_s, self.own_s - helped_s)
        taken_s = self.busy_s - self.own_s + beside_s
        return max(0.0, taken_s) / (self.wall_s * n_cores())

    @property
    def is_disturbed(self) -> bool:
        """Whether others took more than a tenth, and more than the clock's error."""
        others = self.others or 0.0
        return others > DISTURBED + RESOLUTION_S / max(self.wall_s, RESOLUTION_S)


def n_cores() -> int:
    """Return how many cores the machine's processor times are counted on."""
    return os.cpu_count() or 1


def now() -> Load:
    """Read the clocks; only the difference of two readings means anything.

    Nothing is known where psutil is missing, as it may be beside a bare library.
    """
    try:
        import psutil
    except ImportError:
        return Load()

    used = psutil.cpu_times()._asdict()
    busy_s = sum(s for name, s in used.items() if name not in IDLE)
    return Load(
        time.perf_counter(),
        busy_s,
        time.process_time(),
        time.thread_time(),
        _other_threads_s(),
    )


def watched(steps: Iterator[T], loads: list[Load]) -> Iterator[T]:
    """Yield steps, and append what was taken while each was made, not in between."""
    while True:
        before = now()
        try:
            made = next(steps)
        except StopIteration:
            return
        loads.append(now() - before)
        yield made


def _other_threads_s() -> float:
    """Return what this process's other Python threads have used."""
    import psutil

    mine = threading.get_native_id()
    others = {t.native_id for t in threading.enumerate()} - {mine}
    try:
        used = psutil.Process().threads()
    except psutil.Error:  # macOS tells it to root alone
        return 0.0
    return float(sum(t.user_time + t.system_time for t in used if t.id in others))
