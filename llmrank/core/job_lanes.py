"""Two lanes of work, and how the heavy one stands aside for the light one."""

import threading
import time
from collections.abc import Callable
from typing import Literal, get_args

Lane = Literal["light", "heavy"]
"""Light work answers within seconds; it never waits for heavy work to end."""

LANES: tuple[Lane, ...] = get_args(Lane)

GIVE_WAY_S = 2.0
"""How long heavy work stands aside at one report, at the most."""

TURN_S = 1.0
"""How long it then works beside light work that still goes on: a third of the time."""

POLL_S, N_IDLE = 0.05, 3
"""Light work that used no processor time at so many looks in a row only waits."""


class Courtesy:
    """Lets light work go first, for a while; one for each heavy job.

    Not where light work only waits: for what the heavy job is making, or for a
    download.
    """

    def __init__(self, light: threading.Thread, clock: Callable[[], float]) -> None:
        self._light, self._clock = light, clock
        self._goes_on_until_s = 0.0

    def wait(self, changed: threading.Condition, wanted: Callable[[], bool]) -> float:
        """Stand aside as long as it is wanted and fair; return for how many seconds."""
        start = now = self._clock()
        used_s, n_idle = _used_s(self._light), 0
        if start < self._goes_on_until_s:
            return 0.0
        while wanted():
            changed.wait(POLL_S)
            now, before_s, used_s = self._clock(), used_s, _used_s(self._light)
            n_idle = 0 if used_s is None or used_s != before_s else n_idle + 1
            if now - start >= GIVE_WAY_S or n_idle == N_IDLE:
                self._goes_on_until_s = now + TURN_S
                break
        return now - start


def _used_s(thread: threading.Thread) -> float | None:
    """Return a living thread's processor time; None where the system does not tell."""
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
