"""How fast a stage of long work goes, and what is left of it."""

from dataclasses import dataclass, replace

MIN_OBSERVED_S = 1.0
"""How much of a stage must have been seen before its end is estimated."""


@dataclass(frozen=True)
class Pace:
    """How far a stage of the work is, and since when."""

    what: str | None = None
    started_s: float = 0.0
    reported_s: float = 0.0
    done_at_start: int = 0
    done: int = 0
    total: int = 0
    last_step: int = 0

    def after(self, what: str, done: int, total: int, now: float) -> "Pace":
        """Return the pace after a report, which may open another stage."""
        if what != self.what or done < self.done:
            return Pace(what, now, now, done, done, total)
        step = done - self.done
        return replace(self, reported_s=now, done=done, total=total, last_step=step)

    def remaining_s(self, now: float) -> float | None:
        """Estimate the time to the end of the stage.

        The mean over the whole stage does not jump when one step is slow; between two
        reports the estimate counts down, by one step at the most.
        """
        steps = self.done - self.done_at_start
        observed = self.reported_s - self.started_s
        if steps == 0 or observed < MIN_OBSERVED_S:
            return None
        step_s = observed / steps
        since = min(now - self.reported_s, step_s * self.last_step)
        return max(0.0, step_s * (self.total - self.done) - since)
