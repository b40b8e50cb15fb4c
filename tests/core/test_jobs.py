"""The worker: order, turns, cancelling, failures, estimates, bounds, threads."""

import dataclasses
import logging
import threading
import time
import weakref

import pytest
import torch

from llmrank.core import job_lanes, job_limits, jobs
from llmrank.core.errors import CancelledError, LLMRankError, OptionError
from llmrank.core.progress import track

PATIENCE_S = 20.0
"""How long a wait may take before the test fails; nothing waits that long."""


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Gate:
    """Work that says when it runs and goes on when told to."""

    def __init__(self):
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, _):
        self.entered.set()
        assert self.open.wait(PATIENCE_S)

    def wait_entered(self):
        assert self.entered.wait(PATIENCE_S), "the work never began"


class Steps(Gate):
    """Work that does one report at a time, each when the test says so."""

    def __init__(self):
        super().__init__()
        self.go, self.did = threading.Semaphore(0), threading.Semaphore(0)
        self.report = None

    def __call__(self, job):
        self.entered.set()
        while True:
            assert self.go.acquire(timeout=PATIENCE_S)
            if self.report is None:
                return "finished"
            try:
                self.report(job)
            finally:
                self.did.release()

    def do(self, report):
        """Let the worker's thread call `report(job)`, and wait until it did."""
        self.report = report
        self.go.release()
        assert self.did.acquire(timeout=PATIENCE_S)

    def tell(self, *args):
        self.do(lambda job: job.progress(*args))

    def end(self):
        self.report = None
        self.go.release()


def finished(worker, job):
    """Ask until the job has ended, as a page does; fail when it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not (view := worker.snapshot(job.id)).finished:
        assert time.monotonic() < deadline, f"not finished: {view}"
        threading.Event().wait(0.001)
    return view


def outcome_of(work, title="work"):
    worker = jobs.Worker()
    return finished(worker, worker.submit("ann", title, work))


def held(worker, owner="gatekeeper"):
    """Occupy the worker so that what comes next has to queue."""
    gate = Gate()
    job = worker.submit(owner, "gate", gate)
    gate.wait_entered()
    return gate, job


def raising(error):
    def work(_):
        raise error

    return work


# ---- what a job shows


def test_a_job_returns_what_its_work_returns():
    view = outcome_of(lambda _: ("answer", 42), title="Sum")
    assert (view.state, view.result, view.error) == ("done", ("answer", 42), None)
    assert (view.title, view.owner, view.position) == ("Sum", "ann", None)


def test_work_runs_outside_the_callers_thread_in_one_daemon():
    worker = jobs.Worker()
    both = [
        worker.submit("ann", "t", lambda _: threading.current_thread()) for _ in "ab"
    ]
    first, second = (finished(worker, job).result for job in both)
    assert first is second
    assert first is not threading.current_thread()
    assert first.daemon


def test_unknown_ids_have_no_snapshot():
    worker = jobs.Worker()
    assert worker.snapshot("nonsense") is None
    assert worker.cancel("nonsense", "ann") is False


def test_ids_are_long_random_and_different():
    worker = jobs.Worker()
    gate, first = held(worker)
    ids = {worker.submit(f"o{i}", "t", gate).id for i in range(50)} | {first.id}
    gate.open.set()
    assert len(ids) == 51
    assert min(map(len, ids)) >= 20  # 16 bytes in base 64


def test_a_snapshot_is_frozen_and_stays_as_it_was():
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    steps.tell("Counting", 1, 4)
    before = worker.snapshot(job.id)
    with pytest.raises(dataclasses.FrozenInstanceError):
        before.state = "done"
    steps.tell("Counting", 2, 4)
    assert (before.done, worker.snapshot(job.id).done) == (1, 2)
    steps.end()
    finished(worker, job)
    assert before.state == "running"


def test_the_latest_partial_result_is_shown_and_outlives_the_work():
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    steps.do(lambda job: job.publish((1,)))
    assert worker.snapshot(job.id).partial == (1,)
    steps.do(lambda job: job.publish((1, 2)))
    steps.end()
    view = finished(worker, job)
    assert (view.partial, view.result) == ((1, 2), "finished")


def test_an_owner_does_not_show_in_a_printed_view():
    """An owner's name is what lets one cancel; it must not leak through a log."""
    assert "secret-session" not in repr(jobs.JobView("id", "secret-session", "t"))


def test_a_stage_of_the_library_can_report_to_a_job():
    def work(job):
        return list(track("abc", "Reading", job.progress))

    view = outcome_of(work)
    assert (view.what, view.done, view.total) == ("Reading", 3, 3)
    assert view.result == ["a", "b", "c"]


# ---- order and turns


def test_one_owners_jobs_run_in_the_order_of_submission():
    worker, log = jobs.Worker(), []
    gate, _ = held(worker)
    submitted = [
        worker.submit("ann", str(i), lambda _, i=i: log.append(i)) for i in range(5)
    ]
    assert [worker.snapshot(j.id).position for j in submitted] == [1, 2, 3, 4, 5]
    gate.open.set()
    finished(worker, submitted[-1])
    assert log == [0, 1, 2, 3, 4]


def started_order(worker, gate, names):
    """Submit `a1`-like names (owner, number), return predicted and real order."""
    log = []
    submitted = {
        name: worker.submit(name[0], name, lambda _, name=name: log.append(name))
        for name in names
    }
    positions = {n: worker.snapshot(j.id).position for n, j in submitted.items()}
    gate.open.set()
    for job in submitted.values():
        finished(worker, job)
    return sorted(names, key=positions.get), log


@pytest.mark.parametrize(
    ("first_owner", "names", "expected"),
    [
        ("x", "a1 a2 a3 a4 b1 c1 c2", "a1 b1 c1 a2 c2 a3 a4"),
        ("a", "a1 a2 a3 b1", "b1 a1 a2 a3"),
        ("a", "a1 b1 a2 b2 a3", "b1 a1 b2 a2 a3"),
        ("b", "b1 a1", "a1 b1"),
        ("x", "a1", "a1"),
    ],
)
def test_owners_take_turns_and_positions_foretell_it(first_owner, names, expected):
    worker = jobs.Worker()
    gate, _ = held(worker, first_owner)
    foretold, ran = started_order(worker, gate, names.split())
    assert ran == expected.split()
    assert foretold == ran


def test_ten_jobs_of_one_visitor_do_not_starve_anothers_one():
    worker, log = jobs.Worker(), []
    gate, _ = held(worker, "greedy")
    for i in range(job_limits.MAX_QUEUED):
        worker.submit("greedy", str(i), lambda _, i=i: log.append(i))
    modest = worker.submit("modest", "one", lambda _: log.append("modest"))
    assert worker.snapshot(modest.id).position == 1
    gate.open.set()
    last = worker.submit("modest", "two", lambda _: None)
    finished(worker, last)
    assert log[0] == "modest"


def test_a_stream_of_newcomers_does_not_starve_one_who_waits():
    """Whoever comes later is behind everybody who has not had this round's turn."""
    worker = jobs.Worker()
    gate, _ = held(worker, "a")
    waits = worker.submit("a", "a2", Gate())
    newcomers = [worker.submit(f"new{i}", "n", Gate()) for i in range(3)]
    position = worker.snapshot(waits.id).position
    assert position == 4
    gate.open.set()
    newcomers[0]._work.wait_entered()
    worker.submit("later", "n", Gate())
    assert worker.snapshot(waits.id).position == 3


def test_too_many_waiting_jobs_of_one_owner_are_refused():
    worker = jobs.Worker()
    gate, _ = held(worker, "ann")
    mine = [worker.submit("ann", "t", gate) for _ in range(job_limits.MAX_QUEUED)]
    with pytest.raises(LLMRankError, match="8 of your jobs are waiting"):
        worker.submit("ann", "one too many", gate)
    worker.submit("bob", "others may", gate)
    assert worker.cancel(mine[3].id, "ann")
    worker.submit("ann", "fits again", gate)
    gate.open.set()


# ---- cancelling


def test_a_queued_job_is_cancelled_at_once_and_never_runs():
    worker, ran = jobs.Worker(), []
    gate, _ = held(worker)
    doomed = worker.submit("ann", "t", lambda _: ran.append("doomed"))
    after = worker.submit("ann", "t", lambda _: ran.append("after"))
    assert worker.cancel(doomed.id, "ann") is True
    view = worker.snapshot(doomed.id)
    assert (view.state, view.position, view.elapsed_s) == ("cancelled", None, 0.0)
    assert worker.snapshot(after.id).position == 1
    gate.open.set()
    finished(worker, after)
    assert ran == ["after"]


@pytest.mark.parametrize("owner", ["gatekeeper", "ann"])
def test_cancelling_an_owners_only_queued_job_leaves_the_turns_whole(owner):
    worker = jobs.Worker()
    gate, first = held(worker)
    assert worker.cancel(worker.submit(owner, "t", gate).id, owner)
    again = worker.submit(owner, "t", lambda _: "ran")
    gate.open.set()
    assert finished(worker, first).state == "done"
    assert finished(worker, again).result == "ran"


def test_a_running_job_is_cancelled_at_its_next_report_and_keeps_its_partial():
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    steps.tell("Layers", 1, 4)
    steps.do(lambda job: job.publish("half"))
    assert worker.cancel(job.id, "ann") is True
    view = worker.snapshot(job.id)
    assert (view.state, view.stopping) == ("running", True)
    steps.tell("Layers", 2, 4)
    view = finished(worker, job)
    assert (view.state, view.stopping) == ("cancelled", False)
    assert (view.partial, view.result, view.error) == ("half", None, None)
    assert (view.what, view.done, view.total) == ("Layers", 2, 4)


class Hold:
    """What a job needs: it counts how often it was taken and let go."""

    def __init__(self):
        self.taken = self.let_go = 0

    def __call__(self):
        self.taken += 1
        return self.end

    def end(self):
        self.let_go += 1


@pytest.mark.parametrize(
    "error",
    [None, LLMRankError("no"), CancelledError("no"), ValueError(), SystemExit()],
)
def test_what_a_job_needs_is_held_until_it_has_ended_however_it_does(error):
    worker, hold, during = jobs.Worker(), Hold(), []

    def work(_):
        during.append((hold.taken, hold.let_go))
        if error is not None:
            raise error

    gate, _ = held(worker)
    job = worker.submit("ann", "t", work, hold=hold)
    assert (hold.taken, hold.let_go) == (1, 0)
    gate.open.set()
    finished(worker, job)
    assert during == [(1, 0)]
    assert (hold.taken, hold.let_go) == (1, 1)
    assert not worker.cancel(job.id, "ann")
    assert hold.let_go == 1


@pytest.mark.parametrize("left", [True, False])
def test_a_job_that_is_cancelled_before_it_runs_lets_go_at_once(left):
    worker, hold = jobs.Worker(), Hold()
    gate, _ = held(worker)
    job = worker.submit("ann", "t", lambda _: 1, hold=hold)
    if left:
        worker.watch(job.id, "tab")
        worker.leave("tab")
    else:
        worker.cancel(job.id, "ann")
    assert (hold.taken, hold.let_go) == (1, 1)
    gate.open.set()


def test_a_running_job_that_is_cancelled_holds_until_it_has_noticed():
    worker, steps, hold = jobs.Worker(), Steps(), Hold()
    job = worker.submit("ann", "t", steps, hold=hold)
    steps.tell("Counting", 0, 2)
    worker.cancel(job.id, "ann")
    assert hold.let_go == 0
    steps.report = lambda job: job.progress("Counting", 1, 2)
    steps.go.release()
    finished(worker, job)
    assert (hold.taken, hold.let_go) == (1, 1)


def test_nothing_is_held_where_no_job_is_made(monkeypatch):
    worker, hold, other = jobs.Worker(), Hold(), Hold()
    gate, _ = held(worker)
    first = worker.submit("ann", "t", lambda _: 1, key="k", hold=hold)
    assert worker.submit("ann", "t", lambda _: 1, key="k", hold=other) is first
    monkeypatch.setattr(job_limits, "MAX_QUEUED", 1)
    with pytest.raises(LLMRankError, match="of your jobs are waiting"):
        worker.submit("ann", "t", lambda _: 1, hold=other)
    assert other.taken == 0
    gate.open.set()
    finished(worker, first)
    assert hold.let_go == 1


def test_cancelling_raises_the_librarys_own_error_inside_the_work():
    worker, steps, seen = jobs.Worker(), Steps(), []
    job = worker.submit("ann", "Prune", steps)
    steps.wait_entered()
    worker.cancel(job.id, "ann")

    def report(job):
        with pytest.raises(CancelledError, match="Prune was cancelled"):
            job.progress("Layers", 1, 2)
        seen.append("raised")

    steps.do(report)
    steps.do(report)  # work that goes on regardless is told again
    assert seen == ["raised"] * 2
    steps.end()
    assert finished(worker, job).state == "done"  # it ended by itself before it noticed


def test_only_the_owner_may_cancel():
    worker, steps = jobs.Worker(), Steps()
    running = worker.submit("ann", "t", steps)
    steps.wait_entered()
    queued = worker.submit("ann", "t", lambda _: "ran")
    assert worker.cancel(running.id, "bob") is False
    assert worker.cancel(queued.id, "bob") is False
    steps.tell("Layers", 1, 2)
    steps.end()
    assert finished(worker, running).state == "done"
    assert finished(worker, queued).result == "ran"


def test_a_finished_job_cannot_be_cancelled():
    worker = jobs.Worker()
    job = worker.submit("ann", "t", lambda _: 1)
    finished(worker, job)
    assert worker.cancel(job.id, "ann") is False
    assert worker.snapshot(job.id).state == "done"


# ---- failures


@pytest.mark.parametrize(
    "error",
    [LLMRankError("no such model"), OptionError("theta must lie in [0, 1], got 2")],
)
def test_the_librarys_own_errors_are_shown_as_they_are(error, caplog):
    view = outcome_of(raising(error))
    assert (view.state, view.error) == ("failed", str(error))
    assert not caplog.records


class StopScript(BaseException):
    """What st.stop() raises is no Exception either."""


@pytest.mark.parametrize(
    "error", [KeyError("secret"), ZeroDivisionError(), SystemExit(3), StopScript()]
)
def test_any_other_error_is_logged_named_and_survived(error, caplog):
    worker = jobs.Worker()
    with caplog.at_level(logging.ERROR):
        view = finished(worker, worker.submit("ann", "Prune", raising(error)))
    assert view.state == "failed"
    assert type(error).__name__ in view.error
    assert "secret" not in view.error
    assert "Prune" in caplog.text
    assert "Traceback" in caplog.text
    assert "in work" in caplog.text
    again = worker.submit("ann", "t", lambda _: "alive")
    assert finished(worker, again).result == "alive"


class TooLargeError(MemoryError):
    pass


def allocate_a_petabyte(_):
    return torch.empty(10**15)


@pytest.mark.parametrize(
    "work",
    [
        raising(MemoryError()),
        raising(TooLargeError()),
        raising(torch.OutOfMemoryError("CUDA out of memory")),
        allocate_a_petabyte,
    ],
)
def test_running_out_of_memory_is_a_sentence(work):
    view = outcome_of(work)
    assert view.state == "failed"
    assert view.error.startswith("the machine's memory was not enough; take a smaller")


def test_a_cancelled_error_that_nobody_asked_for_is_no_failure():
    assert outcome_of(raising(CancelledError())).state == "cancelled"


# ---- times


def test_elapsed_counts_from_the_start_of_the_work_and_stops_with_it():
    clock = Clock()
    worker, steps = jobs.Worker(clock=clock), Steps()
    gate, _ = held(worker)
    job = worker.submit("ann", "t", steps)
    clock.now += 50
    assert worker.snapshot(job.id).elapsed_s == 0.0
    gate.open.set()
    steps.wait_entered()
    clock.now += 7
    assert worker.snapshot(job.id).elapsed_s == 7.0
    clock.now += 5
    steps.end()
    finished(worker, job)
    clock.now += 100
    assert worker.snapshot(job.id).elapsed_s == 12.0


def reported(times, total, what="Layers"):
    """Report once per entry (a time and how much is done); return the estimates."""
    clock = Clock()
    worker, steps = jobs.Worker(clock=clock), Steps()
    job = worker.submit("ann", "t", steps)
    start, estimates = clock.now, []
    for at_s, done in times:
        clock.now = start + at_s
        steps.tell(what, done, total)
        estimates.append(worker.snapshot(job.id).step_s)
    steps.end()
    finished(worker, job)
    return estimates


@pytest.mark.parametrize(
    ("times", "total", "expected"),
    [
        # 2 s a step
        ([(0, 0), (2, 1), (4, 2), (20, 10)], 10, [None, 18, 16, 0]),
        # nothing is said of less than a second
        ([(0, 0), (0.5, 1), (0.9, 2), (1.2, 3)], 6, [None, None, None, 1.2]),
        # a stage that begins in its middle: 3 done in 6 s, 4 left
        ([(0, 10), (6, 13)], 17, [None, 8]),
        # tokens, in strides: 512 in 4 s, 1536 left
        ([(0, 0), (4, 512)], 2048, [None, 12]),
        # a report without progress is time that passed: 1 in 6 s, 3 left
        ([(0, 0), (3, 1), (6, 1)], 4, [None, 9, 18]),
        # nothing to do
        ([(0, 0), (5, 0)], 0, [None, None]),
    ],
)
def test_remaining_time_is_the_stages_mean_pace(times, total, expected):
    assert reported(times, total) == pytest.approx(expected)


def test_remaining_time_does_not_jump_with_one_slow_step():
    steady = [(t, t) for t in range(51)]
    slow = [(59, 51), (60, 52)]  # one step of 9 s among steps of 1 s
    *_, before, after, _ = reported(steady + slow, 100)
    assert before == 50
    assert after == pytest.approx(49 * 59 / 51)  # not 49 * 9
    assert after < before + 9


def test_remaining_time_counts_down_between_reports_by_one_step_at_most():
    clock = Clock()
    worker, steps = jobs.Worker(clock=clock), Steps()
    job = worker.submit("ann", "t", steps)
    steps.tell("Layers", 0, 5)
    clock.now += 10
    steps.tell("Layers", 1, 5)
    seen = []
    for _ in range(4):
        seen.append(worker.snapshot(job.id).step_s)
        clock.now += 4
    assert seen == [40, 36, 32, 30]  # the second step is late: 30 s are left after it
    steps.end()
    assert finished(worker, job).step_s is None


def test_who_waits_sees_how_long_the_running_step_still_takes():
    clock = Clock()
    worker, steps = jobs.Worker(clock=clock), Steps()
    running = worker.submit("ann", "t", steps)
    waiting = worker.submit("bob", "t", lambda _: None)
    steps.tell("Layers", 0, 5)
    assert worker.snapshot(waiting.id).step_s is None
    clock.now += 10
    steps.tell("Layers", 1, 5)
    assert worker.snapshot(waiting.id).step_s == 40
    assert worker.snapshot(waiting.id).position == 1
    steps.end()
    finished(worker, waiting)
    assert worker.snapshot(running.id).step_s is None


def test_another_stage_starts_its_own_estimate():
    clock = Clock()
    worker, steps = jobs.Worker(clock=clock), Steps()
    job = worker.submit("ann", "t", steps)
    for what, done in [("Dense", 0), ("Dense", 1), ("Pruned", 0)]:
        steps.tell(what, done, 2)
        clock.now += 10
    assert worker.snapshot(job.id).step_s is None
    steps.tell("Pruned", 1, 2)
    assert worker.snapshot(job.id).step_s == 10
    steps.tell("Pruned", 0, 2)  # the same words again are a new stage when they restart
    assert worker.snapshot(job.id).step_s is None
    clock.now += 4
    steps.tell("Pruned", 1, 2)
    assert worker.snapshot(job.id).step_s == 4
    steps.end()
    finished(worker, job)


# ---- two lanes


class Spinning(Gate):
    """Work that computes until the test opens the gate."""

    def __call__(self, _):
        self.entered.set()
        until = time.monotonic() + PATIENCE_S
        while not self.open.is_set():
            assert time.monotonic() < until
        return "answered"


def test_light_work_is_answered_while_heavy_work_runs():
    worker = jobs.Worker()
    gate, heavy = held(worker)
    behind = worker.submit("ann", "t", lambda _: "behind")
    light = worker.submit("ann", "t", lambda _: "answered", lane="light")
    assert finished(worker, light).result == "answered"
    assert [worker.snapshot(j.id).state for j in (heavy, behind)] == [
        "running",
        "queued",
    ]
    gate.open.set()
    assert finished(worker, behind).result == "behind"


def test_each_lane_has_its_own_turns_and_an_owner_sees_both():
    worker = jobs.Worker()
    gate, heavy = held(worker, "ann")
    slow = Gate()
    light = worker.submit("ann", "t", slow, lane="light")
    slow.wait_entered()
    waits = [worker.submit("ann", "t", bool, lane=lane) for lane in job_lanes.LANES]
    assert [worker.snapshot(job.id).position for job in waits] == [1, 1]
    assert {v.id for v in worker.owned("ann")} == {
        job.id for job in (heavy, light, *waits)
    }
    again = worker.submit("ann", "t", gate, key="k", lane="light")
    assert worker.submit("ann", "t", gate, key="k") is again
    for opened in (gate, slow):
        opened.open.set()


def report_from_a_thread(steps, *report):
    """Let the heavy work report, without waiting for that report to return."""
    steps.report = lambda job: job.progress(*report)
    steps.go.release()


def test_heavy_work_stands_aside_while_light_work_computes(monkeypatch):
    monkeypatch.setattr(job_lanes, "GIVE_WAY_S", PATIENCE_S)
    worker, steps, light = jobs.Worker(), Steps(), Spinning()
    heavy = worker.submit("ann", "t", steps)
    steps.tell("Layers", 0, 4)
    answer = worker.submit("ann", "t", light, lane="light")
    light.wait_entered()
    report_from_a_thread(steps, "Layers", 1, 4)
    assert not steps.did.acquire(timeout=0.5), "the heavy work went on beside it"
    light.open.set()
    assert steps.did.acquire(timeout=PATIENCE_S)
    assert finished(worker, answer).result == "answered"
    steps.tell("Layers", 2, 4)
    steps.end()
    assert finished(worker, heavy).state == "done"


def test_light_work_that_never_ends_does_not_starve_heavy_work(monkeypatch):
    monkeypatch.setattr(job_lanes, "GIVE_WAY_S", 0.1)
    monkeypatch.setattr(job_lanes, "TURN_S", 0.1)
    worker, light, work_s = jobs.Worker(), Spinning(), []

    def heavy(job):
        for done in range(30):
            start = time.monotonic()
            while time.monotonic() - start < 0.03:
                pass
            job.progress("Layers", done, 30)
            work_s.append(time.monotonic() - start)

    running = worker.submit("ann", "t", light, lane="light")
    light.wait_entered()
    assert finished(worker, worker.submit("ann", "t", heavy)).state == "done"
    assert worker.snapshot(running.id).state == "running"
    assert max(work_s) > 0.1  # it did stand aside
    assert sum(s < 0.1 for s in work_s) > 10  # and then had turns of several steps
    light.open.set()


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="macOS tells no thread's time"
)
def test_heavy_work_goes_on_where_light_work_waits_for_what_it_makes(monkeypatch):
    monkeypatch.setattr(job_lanes, "GIVE_WAY_S", PATIENCE_S)
    worker, made = jobs.Worker(), threading.Event()
    waits = worker.submit("ann", "t", lambda _: made.wait(PATIENCE_S), lane="light")

    def heavy(job):
        job.progress("Making", 0, 1)
        made.set()

    assert finished(worker, worker.submit("ann", "t", heavy)).state == "done"
    assert finished(worker, waits).result is True


def test_a_job_that_stands_aside_can_be_cancelled(monkeypatch):
    monkeypatch.setattr(job_lanes, "GIVE_WAY_S", PATIENCE_S)
    worker, steps, light = jobs.Worker(), Steps(), Spinning()
    heavy = worker.submit("ann", "t", steps)
    steps.tell("Layers", 0, 4)
    worker.submit("ann", "t", light, lane="light")
    light.wait_entered()
    report_from_a_thread(steps, "Layers", 1, 4)
    assert worker.cancel(heavy.id, "ann")
    assert finished(worker, heavy).state == "cancelled"
    light.open.set()


# ---- the same work twice


def test_the_same_key_of_one_owner_is_one_job_while_it_waits_or_runs():
    worker, gate = jobs.Worker(), Gate()
    first = worker.submit("ann", "t", gate, key=("demo", 0.3))
    assert worker.submit("ann", "t", gate, key=("demo", 0.3)) is first
    gate.wait_entered()
    assert worker.submit("ann", "t", gate, key=("demo", 0.3)) is first
    assert worker.submit("ann", "t", gate, key=("demo", 0.4)) is not first
    assert worker.submit("bob", "t", gate, key=("demo", 0.3)) is not first
    assert worker.submit("ann", "t", gate) is not worker.submit("ann", "t", gate)
    gate.open.set()
    finished(worker, first)
    assert worker.submit("ann", "t", gate, key=("demo", 0.3)) is not first


def test_work_being_cancelled_is_not_handed_to_who_asks_again():
    worker, steps = jobs.Worker(), Steps()
    first = worker.submit("ann", "t", steps, key="k")
    steps.wait_entered()
    worker.cancel(first.id, "ann")
    second = worker.submit("ann", "t", lambda _: "anew", key="k")
    assert second is not first
    steps.tell("Layers", 0, 1)
    assert finished(worker, first).state == "cancelled"
    assert finished(worker, second).result == "anew"


# ---- bounds, memory, threads


def known(worker, found):
    return [worker.snapshot(job.id) is not None for job in found]


def test_an_owners_last_finished_jobs_are_kept_and_no_others_are_pushed_out():
    worker = jobs.Worker()
    of_bob = worker.submit("bob", "t", lambda _: "his")
    finished(worker, of_bob)
    for _ in range(6):
        mine = [worker.submit("ann", "t", raising(LLMRankError("no"))) for _ in "12345"]
        finished(worker, mine[-1])
    done = [
        worker.submit("ann", "t", lambda _: 1) for _ in range(job_limits.MAX_QUEUED)
    ]
    finished(worker, done[-1])
    assert worker.snapshot(of_bob.id).result == "his"
    n_kept = sum(job._view.owner == "ann" for job in worker._jobs.values())
    assert n_kept == job_limits.MAX_FINISHED
    assert all(known(worker, done))


def test_of_too_many_owners_the_newest_of_each_go_last(monkeypatch):
    monkeypatch.setattr(job_limits, "MAX_FINISHED_IN_ALL", 4)
    worker, done = jobs.Worker(), []
    for owner in ("ann", "bob", "ann", "ann", "cid", "ann"):
        done.append(worker.submit(owner, "t", lambda _: 1))
        finished(worker, done[-1])
    assert known(worker, done) == [False, True, False, True, True, True]


def test_too_many_waiting_jobs_of_all_owners_are_refused(monkeypatch):
    monkeypatch.setattr(job_limits, "MAX_QUEUED_IN_ALL", 3)
    worker = jobs.Worker()
    gate, _ = held(worker)
    waiting = [worker.submit(f"o{i}", "t", gate, key="k") for i in range(3)]
    with pytest.raises(LLMRankError, match="3 jobs of all visitors are waiting"):
        worker.submit("late", "t", gate)
    assert worker.submit("o1", "t", gate, key="k") is waiting[1]  # it waits already
    worker.cancel(waiting[0].id, "o0")
    worker.submit("late", "fits again", gate)
    gate.open.set()


# ---- whoever watches


@pytest.mark.parametrize("watchers", [["ann"], ["ann", "bob"]])
def test_a_running_job_ends_when_the_last_who_watched_has_gone(watchers):
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    steps.tell("Layers", 1, 4)
    for watcher in watchers:
        worker.watch(job.id, watcher)
    for watcher in watchers:
        assert not worker.snapshot(job.id).stopping
        worker.leave(watcher)
    assert worker.snapshot(job.id).stopping
    steps.tell("Layers", 2, 4)
    view = finished(worker, job)
    assert (view.state, view.error) == ("cancelled", jobs.ABANDONED)


def test_a_queued_job_that_nobody_watches_any_more_never_runs():
    worker, ran = jobs.Worker(), []
    gate, _ = held(worker)
    left, stays = (worker.submit("ann", "t", ran.append) for _ in "12")
    worker.watch(left.id, "ann")
    worker.leave("ann")
    assert worker.snapshot(left.id).state == "cancelled"
    gate.open.set()
    assert finished(worker, stays).state == "done"  # nobody ever watched it
    assert len(ran) == 1


def test_who_comes_back_before_the_end_finds_the_job_running():
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    worker.watch(job.id, "her first tab")
    worker.watch(job.id, "the tab reloaded")
    worker.leave("her first tab")
    steps.tell("Layers", 1, 4)
    steps.end()
    view = finished(worker, job)
    assert (view.state, view.result, view.error) == ("done", "finished", None)


def test_a_job_that_ended_before_it_noticed_that_all_had_gone_is_done():
    worker, steps = jobs.Worker(), Steps()
    job = worker.submit("ann", "t", steps)
    steps.wait_entered()
    worker.watch(job.id, "ann")
    worker.leave("ann")
    steps.end()
    view = finished(worker, job)
    assert (view.state, view.error) == ("done", None)


def test_results_of_who_has_gone_are_forgotten_after_a_while():
    clock = Clock()
    worker = jobs.Worker(clock=clock)
    left, held_on = (worker.submit("ann", "t", lambda _: 1) for _ in "12")
    finished(worker, held_on)
    worker.watch(left.id, "ann")
    worker.watch(held_on.id, "bob")
    worker.leave("ann")
    assert known(worker, [left, held_on]) == [True, True]
    clock.now += job_limits.UNWATCHED_S
    worker.leave("somebody")  # wakes the thread, as time would
    deadline = time.monotonic() + PATIENCE_S
    while known(worker, [left])[0]:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)
    assert known(worker, [held_on]) == [True]


def test_the_idle_worker_wakes_when_a_result_is_due():
    ended = [job_limits.Ended("a", "ann", None), job_limits.Ended("b", "bob", 50.0)]
    assert job_limits.wait_s(ended[:1], 60.0) is None
    assert job_limits.wait_s(ended, 60.0) == job_limits.UNWATCHED_S - 10


def test_a_running_job_outlives_any_number_of_finished_ones():
    worker = jobs.Worker()
    gate, running = held(worker)
    first_queued = worker.submit("ann", "stays", gate)
    for i in range(2 * job_limits.MAX_FINISHED_IN_ALL):
        worker.cancel(worker.submit(f"o{i}", "t", gate).id, f"o{i}")
    assert worker.snapshot(running.id).state == "running"
    assert worker.snapshot(first_queued.id).position == 1
    gate.open.set()
    assert finished(worker, running).state == "done"


def test_what_the_work_held_is_let_go_when_it_ends():
    class Weights:
        pass

    weights = Weights()
    alive = weakref.ref(weights)

    worker = jobs.Worker()
    job = worker.submit("ann", "t", lambda _, held=weights: held is not None)
    assert finished(worker, job).result is True
    del weights
    assert alive() is None


def test_an_idle_worker_waits_without_polling():
    worker = jobs.Worker()
    finished(worker, worker.submit("ann", "t", lambda _: 1))
    waits = []
    real = worker._changed.wait
    worker._changed.wait = lambda timeout=None: (waits.append(timeout), real(timeout))
    finished(worker, worker.submit("ann", "t", lambda _: 1))
    finished(worker, worker.submit("ann", "t", lambda _: 1))
    assert set(waits) <= {None}


def count_to_three(job, result):
    for done in range(4):
        job.progress("Counting", done, 3)
    return result


class Visitor(threading.Thread):
    """Submits a hundred jobs one after another and tries to cancel every tenth."""

    def __init__(self, worker, name):
        super().__init__(name=name, daemon=True)
        self.worker, self.views = worker, {}

    def run(self):
        for i in range(100):
            name = (self.name, i)
            job = self.worker.submit(
                self.name, "t", lambda job, name=name: count_to_three(job, name)
            )
            if i % 10 == 9:
                self.worker.cancel(job.id, self.name)
            self.views[name] = finished(self.worker, job)


def test_threads_that_submit_read_and_cancel_at_once_all_get_their_results():
    worker = jobs.Worker()
    visitors = [Visitor(worker, f"v{i}") for i in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(2 * PATIENCE_S)
    views = {name: view for v in visitors for name, view in v.views.items()}
    assert len(views) == 400
    states = [view.state for view in views.values()]
    assert states.count("done") >= 360
    assert set(states) <= {"done", "cancelled"}
    done = {name: view for name, view in views.items() if view.state == "done"}
    assert all(view.result == name for name, view in done.items())


def test_a_job_may_submit_another_from_inside():
    worker = jobs.Worker()
    first = worker.submit(
        "ann", "t", lambda _: worker.submit("ann", "t", lambda _: "inner")
    )
    inner = finished(worker, first).result
    assert finished(worker, inner).result == "inner"
