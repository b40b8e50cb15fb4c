"""Long work of all visitors: in two lanes and in turns, with progress and cancel."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from llmrank.core.errors import CancelledError, LLMRankError, explained
from llmrank.core.job_lanes import LANES, Courtesy, Lane
from llmrank.core.job_limits import Ended, check_room, forgotten, wait_s
from llmrank.core.job_turns import Turns
from llmrank.core.job_view import JobView as JobView
from llmrank.core.pace import Experience, Pace, Plan

ABANDONED = "everybody who watched it had gone"

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """A submitted piece of work, and what that work uses to report."""

    _view: JobView
    _work: "Callable[[Job], object]"
    _worker: "Worker"
    _courtesy: Courtesy
    _pace: Pace = field(default_factory=Pace)
    _started_s: float = 0.0
    _aside_s: float = 0.0
    _expected: Plan = ()
    _watchers: set[str] = field(default_factory=set)
    _left_s: float | None = None
    _let_go: Callable[[], None] = lambda: None

    @property
    def id(self) -> str:
        """What the worker knows it by; random, for links."""
        return self._view.id

    @property
    def enough(self) -> bool:
        """Whether the owner is content with what there is so far."""
        return self._view.enough

    def progress(self, what: str, done: int, total: int) -> None:
        """Report to whoever watches.

        Raises:
            CancelledError: the owner has cancelled the job.
        """
        with self._worker._changed:
            now = self._worker._clock() - self._aside_s
            self._pace.report(what, done, total, now)
            self._change(what=what, done=done, total=total)
            if self._view.lane == "heavy":
                changed = self._worker._changed
                self._aside_s += self._courtesy.wait(changed, self._stands_aside)
            if self._view.stopping:
                raise CancelledError(f"{self._view.title} was cancelled")

    def expect(self, plan: Plan) -> None:
        """Say which steps are to come, and how long each may take."""
        with self._worker._changed:
            self._expected = plan
            self._pace.expect(self._worker._experience.corrected(self._view.kind, plan))

    def publish(self, partial: object) -> None:
        """Show what is known so far; it must not be changed afterwards."""
        with self._worker._changed:
            self._change(partial=partial)

    def _stands_aside(self) -> bool:
        return bool(self._worker._turns["light"]) and not self._view.stopping

    def _change(self, **changes: object) -> None:
        self._view = replace(self._view, **changes)  # type: ignore[arg-type]

    def _view_at(self, now: float) -> JobView:
        if self._view.state != "running":
            return self._view
        worked_s = now - self._aside_s
        return replace(
            self._view,
            elapsed_s=now - self._started_s,
            share=self._pace.share(worked_s),
            remaining_s=self._pace.remaining_s(worked_s),
            step_s=self._pace.step_remaining_s(worked_s),
        )


class Worker:
    """Two daemon threads that do the jobs of all owners, one for each lane.

    In each lane owners take turns. Heavy work stands aside between its steps while
    light work computes. What a job returns or publishes is handed out as it is and must
    not be changed.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = {}  # the finished in the order of their ends
        self._experience = Experience()
        self._turns: dict[Lane, Turns[Job]] = {lane: Turns() for lane in LANES}
        self._threads = {lane: self._thread(lane) for lane in LANES}
        for thread in self._threads.values():
            thread.start()

    def submit(
        self,
        owner: str,
        title: str,
        work: Callable[[Job], object],
        *,
        key: Hashable = None,
        hold: Callable[[], Callable[[], None]] = lambda: lambda: None,
        lane: Lane = "heavy",
    ) -> Job:
        """Queue a piece of work.

        Args:
            owner: who may cancel it, and whose turn it takes.
            title: what the visitor reads.
            work: called in the worker's thread; what it returns is the result.
            key: says which work this is. While this owner's job of the same key waits
                or runs, that job is returned. Owners never share a job: one could not
                cancel it without stopping the other's.
            hold: takes what the work reads when it is queued, and returns what lets go
                of it: called once, however the job ends.
            lane: whose turns it takes.

        Raises:
            LLMRankError: the owner, or all together, have too many jobs waiting.
        """
        with self._changed:
            mine = self._unfinished(owner)
            for job in mine if key is not None else ():
                if job._view.key == key and not job._view.stopping:
                    return job
            every = [job for turns in self._turns.values() for job in turns]
            check_room(_n_queued(mine), _n_queued(every))
            view = JobView(secrets.token_urlsafe(16), owner, title, key, lane)
            courtesy = Courtesy(self._threads["light"], self._clock)
            job = Job(view, work, self, courtesy, _let_go=hold())
            self._turns[lane].add(owner, job)
            self._jobs[job.id] = job
            self._changed.notify_all()
            return job

    def snapshot(self, job_id: str) -> JobView | None:
        """Return how the job stands now, or None when it is not known (any more)."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None:
                return None
            view = job._view_at(self._clock())
            if view.state != "queued":
                return view
            running, *others = self._turns[job._view.lane]
            queued = [j for j in (running, *others) if j._view.state == "queued"]
            ahead = running._view_at(self._clock())
            return replace(
                view,
                position=1 + queued.index(job),
                remaining_s=ahead.remaining_s,
                step_s=ahead.step_s,
            )

    def owned(self, owner: str) -> tuple[JobView, ...]:
        """Return an owner's jobs that wait or run, in the order of their turns."""
        with self._changed:
            ids = [job.id for job in self._unfinished(owner)]
        views = (self.snapshot(job_id) for job_id in ids)
        return tuple(view for view in views if view is not None)

    def cancel(self, job_id: str, owner: str, *, enough: bool = False) -> bool:
        """Cancel a queued job at once, a running one at its next report.

        With `enough` it is only told that what it has so far is: it may end early.

        Returns:
            False when there is nothing to cancel: an unknown or finished job, or one
            of another owner.
        """
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job._view.owner != owner or job._view.finished:
                return False
            if enough:
                job._change(enough=True)
            else:
                self._stop(job, None)
            return True

    def watch(self, job_id: str, watcher: str) -> None:
        """Note that somebody waits for a job or looks at its result, until `leave`."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is not None:
                job._watchers.add(watcher)
                job._left_s = None

    def leave(self, watcher: str) -> None:
        """Note that somebody has gone; a job that nobody else watches is cancelled.

        Its result, where it has one, is kept for `UNWATCHED_S`. A job that nobody ever
        watched goes on.
        """
        with self._changed:
            for job in [j for j in self._jobs.values() if watcher in j._watchers]:
                job._watchers.discard(watcher)
                if not job._watchers:
                    job._left_s = self._clock()
                    if not job._view.finished:
                        self._stop(job, ABANDONED)
            self._changed.notify_all()  # the threads mind what is to be forgotten

    def _thread(self, lane: Lane) -> threading.Thread:
        name = f"llmrank-jobs-{lane}"
        return threading.Thread(
            target=self._serve, args=(lane,), name=name, daemon=True
        )

    def _serve(self, lane: Lane) -> None:
        while True:
            job = self._take(lane)
            outcome = _outcome(job)
            with self._changed:
                self._finish(job, **outcome)
            del job, outcome  # an idle worker holds nothing of the last job

    def _take(self, lane: Lane) -> Job:
        with self._changed:
            while not self._turns[lane]:
                self._changed.wait(self._forget())
            job = next(iter(self._turns[lane]))
            job._started_s = now = self._clock()
            job._pace = Pace(now, self._experience.habit(job._view.kind))
            job._change(state="running")
            return job

    def _finish(self, job: Job, **outcome: object) -> None:
        had_turn = job._view.state == "running"
        self._turns[job._view.lane].remove(job._view.owner, job, had_turn=had_turn)
        job._view = job._view_at(self._clock())
        job._change(**outcome, remaining_s=None, step_s=None, stopping=False)
        if job._view.state == "done":
            took = job._pace.end(self._clock() - job._aside_s)
            self._experience.learn(job._view.kind, took, job._expected)
        job._work = bool  # what the work held is let go
        job._let_go()
        self._jobs[job.id] = self._jobs.pop(job.id)
        self._changed.notify_all()  # heavy work may stand aside for this one
        self._forget()

    def _stop(self, job: Job, reason: str | None) -> None:
        job._change(error=reason)
        if job._view.state == "running":
            job._change(stopping=True)
        else:
            self._finish(job, state="cancelled")

    def _forget(self) -> float | None:
        """Let finished jobs go; return when the next is due, in seconds, if one is."""
        now = self._clock()
        for job_id in forgotten(self._ended(), now):
            del self._jobs[job_id]
        return wait_s(self._ended(), now)

    def _ended(self) -> list[Ended]:
        return [
            Ended(job.id, job._view.owner, job._left_s)
            for job in self._jobs.values()
            if job._view.finished
        ]

    def _unfinished(self, owner: str) -> list[Job]:
        return [j for turns in self._turns.values() for j in turns.of_owner(owner)]


def _n_queued(jobs: list[Job]) -> int:
    return sum(job._view.state == "queued" for job in jobs)


def _outcome(job: Job) -> dict[str, object]:
    """Do the work; whatever way it ends becomes a state, and the thread lives on."""
    try:
        return {"state": "done", "result": job._work(job), "error": None}
    except CancelledError:
        return {"state": "cancelled"}
    except LLMRankError as error:
        return {"state": "failed", "error": str(error)}
    except BaseException as error:  # sys.exit and st.stop too would end the thread
        _log.exception("a job failed: %r", job._view.title)
        return {"state": "failed", "error": explained(error)}
