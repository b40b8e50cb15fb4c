"""Whose work it is: a process, told apart from a later one with the same number."""

import functools
import os
import platform
from dataclasses import dataclass

START_TOLERANCE_S = 5.0
"""The clock that start times are counted from may be set a little meanwhile."""


@dataclass(frozen=True)
class Owner:
    """A process of a machine, and when it started (seconds since 1970)."""

    host: str
    pid: int
    started: float

    @property
    def is_alive(self) -> bool:
        """Whether the process works still.

        Of another host it cannot be asked: a container that was made anew has another
        name and the same file, and its dead runs must not wait for ever.
        """
        if self.host != platform.node():
            return False
        import psutil

        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.started) < START_TOLERANCE_S
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # somebody else's
            return True


def this_process() -> Owner:
    """Return the process that asks; a forked child is another one."""
    return _owner(os.getpid())


@functools.cache
def _owner(pid: int) -> Owner:
    import psutil

    return Owner(platform.node(), pid, psutil.Process(pid).create_time())
