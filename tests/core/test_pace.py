"""The pace of a whole job, against simulated runs on a pretended clock."""

import itertools

import pytest

from llmrank.core import jobs
from llmrank.core.pace import Experience, Pace, Step

RUN = (
    Step("Loading", 4.0),
    Step("Calibrating", 30.0),
    Step("Cutting", 1.0),
    Step("Reading", 12.0),
    Step("Reading", 9.0),
    Step("Timing", 14.0),
)
"""What really happens: 70 s; the text is read by two models, under one label."""


def simulated(pace, steps, n_reports=20, start_s=100.0, parts=()):
    """Report evenly; yield (share of the time gone, remaining, truth, shown share)."""
    now, total_s = start_s, sum(s.seconds for s in steps)
    for what, seconds in steps:
        for done in range(n_reports + 1):
            said = f"{what}: {parts[done % len(parts)]}" if parts else what
            at = now + seconds * done / n_reports
            pace.report(said, 0 if parts else done, n_reports, at)
            gone = (at - start_s) / total_s
            left_s = start_s + total_s - at
            yield gone, pace.remaining_s(at), left_s, pace.share(at)
        now += seconds


def scaled(plan, *factors):
    return tuple(
        Step(s.what, s.seconds * f)
        for s, f in zip(plan, itertools.cycle(factors), strict=False)
    )


PLANS = {
    "as the last one": RUN,
    "twice as fast as planned": scaled(RUN, 2.0),
    "three times as slow": scaled(RUN, 1 / 3),
    "a little off, each its own way": scaled(RUN, 1.2, 0.9, 2.0, 0.85, 1.15),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_after_the_first_tenth_the_estimate_is_within_a_third(plan):
    pace = Pace(100.0)
    pace.expect(plan)
    seen = [row for row in simulated(pace, RUN) if 0.1 <= row[0] < 0.98]
    assert len(seen) > 60
    for gone, remaining_s, left_s, _ in seen:
        assert remaining_s == pytest.approx(left_s, rel=0.3, abs=1), gone


@pytest.mark.parametrize("plan", [*PLANS.values(), RUN[1:3], RUN[::-1], ()])
def test_the_bar_never_goes_back_and_never_starts_again(plan):
    pace = Pace(100.0)
    pace.expect(plan)
    shares = [share for *_, share in simulated(pace, RUN)]
    assert shares == sorted(shares)
    assert shares[-1] < 1


def test_one_small_step_that_takes_very_long_says_little_of_the_others():
    plan = (Step("Reading", 10.0), Step("Cutting", 0.5), Step("Timing", 20.0))
    pace = Pace(100.0)
    pace.expect(plan)
    *_, (_, remaining_s, _, _) = simulated(pace, (plan[0], Step("Cutting", 15.0)))
    assert remaining_s == pytest.approx(20, rel=0.2)


def test_a_step_that_outlasts_its_plan_puts_off_the_end():
    pace = Pace(100.0)
    pace.expect((Step("Reading", 10.0), Step("Timing", 20.0)))
    pace.report("Reading", 0, 1, 100.0)
    ahead = [pace.remaining_s(100.0 + s) for s in (0, 9, 30, 60)]
    assert ahead[1] < ahead[0]
    assert ahead[1] < ahead[2] < ahead[3]


def test_the_share_is_that_of_the_time():
    pace = Pace(100.0)
    pace.expect(RUN)
    for gone, _, _, share in simulated(pace, RUN):
        assert share == pytest.approx(gone, abs=0.02)


def test_steps_whose_results_were_there_are_not_waited_for():
    pace = Pace(100.0)
    pace.expect(RUN)
    *_, (_, remaining_s, left_s, _) = simulated(pace, RUN[2:3])
    assert left_s == 0
    assert remaining_s == pytest.approx(12 + 9 + 14, rel=0.05)


def test_the_parts_of_a_step_do_not_tell_its_end():
    """An arena's cell reports each of its stages, which all begin at none."""
    cells = tuple(Step(f"Cell {n}", 20.0) for n in range(6))
    pace = Pace(100.0)
    pace.expect(scaled(cells, 0.5))
    parts = ("Cutting", "Reading", "Timing")
    rows = list(simulated(pace, cells, parts=parts))
    assert [s for *_, s in rows] == sorted(s for *_, s in rows)
    for gone, remaining_s, left_s, _ in rows:
        if 0.3 < gone < 0.9:
            assert remaining_s == pytest.approx(left_s, rel=0.3, abs=3)
    assert [s.what for s in pace.end(220.0)] == [c.what for c in cells]


def test_a_job_of_unknown_steps_says_nothing_of_its_end():
    pace = Pace(100.0)
    for _, remaining_s, _, share in simulated(pace, RUN):
        assert remaining_s is None
        assert share is None
    assert pace.step_remaining_s(170.0) == pytest.approx(0, abs=0.01)


def test_a_job_goes_as_the_last_of_its_kind_did_as_long_as_it_keeps_to_it():
    first, experience = Pace(100.0), Experience()
    list(simulated(first, RUN))
    experience.learn("measure", first.end(170.0), ())
    assert experience.habit("export") is None
    again = Pace(100.0, experience.habit("measure"))
    for _, remaining_s, left_s, _ in simulated(again, RUN):
        assert remaining_s == pytest.approx(left_s, rel=0.05, abs=0.5)
    other = Pace(100.0, experience.habit("measure"))
    *_, (_, remaining_s, _, share) = simulated(other, (Step("Something else", 3.0),))
    assert (remaining_s, share) == (None, None)


def test_what_a_step_took_corrects_what_is_expected_of_it():
    experience, first = Experience(), Pace(100.0)
    expected = scaled(RUN, 0.5)
    first.expect(expected)
    list(simulated(first, RUN))
    experience.learn("measure", first.end(170.0), expected)
    larger = (Step("Calibrating", 60.0), Step("Reading", 10.0), Step("New", 5.0))
    corrected = experience.corrected("measure", larger)
    assert [s.seconds for s in corrected] == pytest.approx([120, 20, 5])
    assert experience.corrected("export", larger) == larger


def test_a_worker_learns_from_jobs_that_were_done_and_from_no_others():
    clock = itertools.count(0.0, 1.0)
    worker = jobs.Worker(clock=lambda: next(clock))

    def done(job):
        job.expect((Step("Reading", 1.0),))
        for n in range(5):
            job.progress("Reading", n, 4)

    def fails(job):
        done(job)
        raise ValueError

    for key, work, known in ((("failed",), fails, False), (("done",), done, True)):
        job = worker.submit("ann", "t", work, key=key)
        while not worker.snapshot(job.id).finished:
            pass
        assert (worker._experience.habit(key[0]) is not None) is known
    assert worker._experience.corrected("done", (Step("Reading", 2.0),))[0].seconds > 4
