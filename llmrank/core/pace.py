"""How fast long work goes, and what is left of all of it."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import NamedTuple

MIN_OBSERVED_S = 1.0
"""How much of a step must have been seen before its end is estimated from it."""

DOUBT = 0.1
"""Of a plan's seconds: so many count as seen at the planned pace from the start."""


class Step(NamedTuple):
    """A step of a job: what it reports, and the seconds it is expected to take.

    Reports of "what: part" are of this step too.
    """

    what: str
    seconds: float

    def includes(self, reported: str) -> bool:
        """Whether a report is of this step."""
        return reported == self.what or self.has_part(reported)

    def has_part(self, reported: str) -> bool:
        """Whether a report is of a part: it tells nothing of the end of the step."""
        return reported.startswith(f"{self.what}: ")


Plan = tuple[Step, ...]


@dataclass(frozen=True)
class StepPace:
    """How far the step at hand is, and since when."""

    what: str
    started_s: float
    reported_s: float
    done_at_start: int
    done: int
    total: int
    last_stride: int = 0

    def after(self, done: int, total: int, now: float) -> "StepPace":
        """Return the pace after a report of the same step."""
        stride = done - self.done
        return replace(self, reported_s=now, done=done, total=total, last_stride=stride)

    def remaining_s(self, now: float) -> float | None:
        """Estimate the time to the end of the step.

        The mean over the whole step does not jump when one stride is slow; between two
        reports the estimate counts down, by one stride at the most.
        """
        n_done = self.done - self.done_at_start
        observed_s = self.reported_s - self.started_s
        if n_done == 0 or observed_s < MIN_OBSERVED_S:
            return None
        each_s = observed_s / n_done
        since_s = min(now - self.reported_s, each_s * self.last_stride)
        return max(0.0, each_s * (self.total - self.done) - since_s)


class Pace:
    """How far a job is: the steps that are over, the one at hand, and those to come.

    Args:
        start_s: when the work began.
        habit: the steps of the last job of the kind, as long as this one keeps to them.
    """

    def __init__(self, start_s: float = 0.0, habit: Plan | None = None) -> None:
        self._start_s = self._step_start_s = start_s
        self._ahead, self._is_habit = habit, True
        self._plan_s = _seconds(habit or ())
        self._over: list[Step] = []
        self._step: StepPace | None = None
        self._planned: Step | None = None
        self._share = self._log_factors = self._seen_s = 0.0

    def expect(self, plan: Plan) -> None:
        """Say which steps are to come; others may come between them."""
        self._ahead, self._is_habit = plan, False
        self._plan_s = _seconds(plan)

    def report(self, what: str, done: int, total: int, now: float) -> None:
        """Note a report, which may open another step."""
        step = self._step
        if step is not None and (step.what == what and done >= step.done):
            self._step = step.after(done, total, now)
        elif self._planned is not None and self._planned.has_part(what):
            self._step = StepPace(what, now, now, done, done, total)
        else:
            self._end_step(now)
            self._find(what)
            self._step = StepPace(what, self._step_start_s, now, done, done, total)

    def end(self, now: float) -> Plan:
        """Return the steps that there were, and the seconds that they took."""
        self._end_step(now)
        return tuple(self._over)

    def step_remaining_s(self, now: float) -> float | None:
        """Estimate the time to the end of the step at hand, or None."""
        return None if self._step is None else self._step.remaining_s(now)

    def remaining_s(self, now: float) -> float | None:
        """Estimate the time to the end of the job; None where its steps are unknown."""
        if self._ahead is None:
            return None
        factor, left_s = self._factor(now), self._own_remaining_s(now)
        if left_s is None:
            planned_s = 0.0 if self._planned is None else self._planned.seconds
            left_s = max(0.0, factor * planned_s - (now - self._step_start_s))
        return left_s + factor * _seconds(self._ahead)

    def share(self, now: float) -> float | None:
        """Return how much is done of the job, which never becomes less, or None."""
        left_s = self.remaining_s(now)
        if left_s is None:
            return self._share or None
        all_s = now - self._start_s + left_s
        here = (now - self._start_s) / all_s if all_s > 0 else 0.0
        self._share = max(self._share, min(here, 0.99))
        return self._share

    def _find(self, what: str) -> None:
        """Look a step up among those to come; those before it are skipped."""
        for place, step in enumerate(self._ahead or ()):
            if step.includes(what) and self._ahead is not None:
                self._planned, self._ahead = step, self._ahead[place + 1 :]
                return
        if self._is_habit:
            self._ahead = None

    def _end_step(self, now: float) -> None:
        if self._step is None:
            return
        name, took_s = self._step.what, now - self._step_start_s
        if self._planned is not None:
            name = self._planned.what
            self._log_factors += _log_factor(took_s, self._planned)
            self._seen_s += self._planned.seconds
        self._over.append(Step(name, took_s))
        self._step, self._planned, self._step_start_s = None, None, now

    def _own_remaining_s(self, now: float) -> float | None:
        """Estimate the end of the step at hand from itself, where it can tell."""
        planned, step = self._planned, self._step
        if step is None or (planned is not None and planned.has_part(step.what)):
            return None
        return step.remaining_s(now)

    def _factor(self, now: float) -> float:
        """Return how many times as long as planned the steps have taken so far.

        The mean of the steps' logarithms, each as heavy as it was planned: one small
        step that takes very long says little of the others.
        """
        logs, seen_s = self._log_factors, self._seen_s
        if self._planned is not None:
            left_s, gone_s = self._own_remaining_s(now), now - self._step_start_s
            if left_s is not None or gone_s > self._planned.seconds:
                logs += _log_factor(gone_s + (left_s or 0.0), self._planned)
                seen_s += self._planned.seconds
        seen_s += DOUBT * self._plan_s
        return math.exp(logs / seen_s) if seen_s else 1.0


class Experience:
    """What the steps of finished jobs took, by the kind of job."""

    def __init__(self) -> None:
        self._habits: dict[Hashable, Plan] = {}
        self._factors: dict[tuple[Hashable, str], float] = {}

    def habit(self, kind: Hashable) -> Plan | None:
        """Return the steps of the last job of a kind, or None."""
        return self._habits.get(kind)

    def corrected(self, kind: Hashable, plan: Plan) -> Plan:
        """Return a plan with each step as many times as long as it was before."""
        return tuple(
            Step(what, seconds * self._factors.get((kind, what), 1.0))
            for what, seconds in plan
        )

    def learn(self, kind: Hashable, took: Plan, expected: Plan) -> None:
        """Remember what a job took, and what was expected before it began."""
        if kind is None:
            return
        self._habits[kind] = took
        for what in {step.what for step in expected}:
            took_s, expected_s = (
                _seconds(tuple(s for s in plan if s.what == what))
                for plan in (took, expected)
            )
            if took_s and expected_s:
                self._factors[kind, what] = took_s / expected_s


def _log_factor(took_s: float, planned: Step) -> float:
    """Return the logarithm of how much longer a step took, as heavy as the step."""
    if not planned.seconds:
        return 0.0
    return planned.seconds * math.log(max(took_s, 1e-3) / planned.seconds)


def _seconds(plan: Plan) -> float:
    return sum((step.seconds for step in plan), 0.0)
