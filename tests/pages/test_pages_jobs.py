"""Jobs of visitors who come, reload, share a link, and go."""

import re
import threading

import pytest
from streamlit.testing.v1 import AppTest

from llmrank.core import job_limits
from llmrank.core.pace import Step
from pages.shared.app import resources, visitors
from pages.shared.app.visitors import GRACE_S, Visitors

WORKS = threading.Event()


def page():
    import streamlit as st
    import test_pages_jobs

    from pages.shared.app import jobs, visitors

    visitors.visitor_id()
    if st.button("Start", key="start"):
        jobs.start("probe", "Counting", test_pages_jobs.count, key=None)
    if st.button("Another", key="another"):
        key = st.session_state.setdefault("n", 0)
        st.session_state["n"] += 1
        jobs.start("probe", "Counting", test_pages_jobs.count, key=key)
    if st.button("Planned", key="planned"):
        jobs.start("planned", "Counting", test_pages_jobs.count_as_planned, key=None)
    st.query_params.from_dict(jobs.link())
    jobs.menu()
    jobs.endings()


def count(job):
    while not WORKS.wait(0.01):
        job.progress("Counting", 1, 2)
    return "counted"


def count_as_planned(job):
    """Half of the first step and none of the second, twenty seconds each."""
    job.expect((Step("Counting", 20.0), Step("Adding", 20.0)))
    return count(job)


@pytest.fixture
def now(monkeypatch):
    """A clock to set: nobody is connected; who runs a page is here for a while."""
    moment = [0.0]
    hall = Visitors(lambda _: False, clock=lambda: moment[0])
    monkeypatch.setattr(visitors, "visitors", lambda: hall)
    WORKS.clear()
    yield moment
    WORKS.set()
    for job_id in list(resources.worker()._jobs):
        ended(job_id)
    resources.worker.cache_clear()


def opened(link: str = "") -> AppTest:
    at = AppTest.from_function(page)
    if link:
        at.query_params["jobs"] = link
    return at.run()


def ended(job_id):
    for _ in range(2000):
        seen = resources.worker().snapshot(job_id)
        if seen is None or seen.finished:
            return seen
        threading.Event().wait(0.005)
    raise AssertionError("it goes on")


def started() -> tuple[AppTest, str]:
    at = opened()
    at.button(key="start").click().run()
    return at, at.session_state["jobs"]["probe"]


def test_a_job_ends_when_its_visitor_has_gone_and_the_link_says_why(now):
    _, job_id = started()
    now[0] = GRACE_S + 1
    visitors.visitors().look()
    assert ended(job_id).state == "cancelled"
    at = opened(f"probe.{job_id}")
    assert not at.exception
    assert "as everybody who watched it had gone" in at.info[0].value


def test_a_job_goes_on_for_another_who_watches_its_link(now):
    _, job_id = started()
    now[0] = GRACE_S
    other = opened(f"probe.{job_id}")
    now[0] = GRACE_S + 1
    visitors.visitors().look()
    assert not resources.worker().snapshot(job_id).stopping
    other.run()
    assert [b.label for b in other.button if b.key.startswith("stop_")] == ["Stop"]
    WORKS.set()
    assert ended(job_id).result == "counted"


def test_a_job_named_as_another_kind_is_neither_shown_nor_kept_alive(now):
    _, job_id = started()
    now[0] = GRACE_S
    other = opened(f"export.{job_id}")
    assert not [b for b in other.button if b.key.startswith("stop_")]
    now[0] = GRACE_S + 1
    visitors.visitors().look()
    assert ended(job_id).state == "cancelled"


@pytest.mark.usefixtures("now")
def test_too_many_jobs_of_all_visitors_are_one_sentence(monkeypatch):
    monkeypatch.setattr(job_limits, "MAX_QUEUED_IN_ALL", 1)
    at, _ = started()
    reported(at, "probe")  # it runs: the next one waits
    at.button(key="another").click().run()
    late = opened()
    late.button(key="start").click().run()
    assert not late.exception
    [error] = late.error
    assert "1 jobs of all visitors are waiting" in error.value


def reported(at: AppTest, kind: str) -> None:
    """Wait for the first report of a job, and run the page again."""
    while not resources.worker().snapshot(at.session_state["jobs"][kind]).what:
        threading.Event().wait(0.005)
    at.run()


def shown(at: AppTest) -> tuple[list[float], str]:
    """Return the bars of the list in the header, and what stands on it."""
    bars = [bar.proto.value for bar in at.get("progress")]
    texts = [bar.proto.text for bar in at.get("progress")]
    return bars, " ".join([*texts, *(m.value for m in at.markdown)])


@pytest.mark.usefixtures("now")
def test_a_job_of_known_steps_has_one_bar_of_the_whole(monkeypatch):
    at = opened()
    at.button(key="planned").click().run()
    worker = resources.worker()
    reported(at, "planned")
    bars, said = shown(at)
    assert len(bars) == 1
    assert bars[0] < 10  # per cent; half of the step that is shown is done
    assert "Counting · " in said
    assert re.search(r"\d %, about (3\d|40) s left", said)
    worked = worker._clock
    monkeypatch.setattr(worker, "_clock", lambda: worked() + 20)
    at.run()
    later, said = shown(at)
    assert 40 <= later[0] <= 60
    assert "about 20 s left" in said


@pytest.mark.usefixtures("now")
def test_a_job_of_unknown_steps_draws_no_bar_and_claims_no_end():
    at, _ = started()
    reported(at, "probe")
    bars, said = shown(at)
    assert bars == []
    assert "Counting · " in said
    assert "s so far" in said
    assert "%" not in said
