"""Long work from a page: start it, watch it, find it again, stop it."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import duration
from llmrank.core.jobs import Job, JobView, Worker
from pages.shared.app import resources, visitors
from pages.shared.app.escape import plain
from pages.shared.app.visitors import on_end, visitor_id

_ENTRY = "jobs"
TICK_S = 0.5


@dataclass(frozen=True)
class Leaving:
    """What a visitor's end asks of the jobs: nobody works for who has gone."""

    worker: Worker
    visitor: str

    def __call__(self) -> None:
        """End what nobody else watches."""
        self.worker.leave(self.visitor)


def start(
    kind: str, title: str, work: Callable[[Job], object], *, key: Hashable
) -> None:
    """Queue work of a kind (one per kind and visitor is watched) and show it.

    The visitor's uploads stay until it has ended, also when the visitor has gone.
    """
    hold = partial(uploads.hold, permissions.asker().uploads)
    work = permissions.carried(work)  # the worker's thread is nobody's
    try:
        job = resources.worker().submit(
            visitors.owner(), title, work, key=(kind, key), hold=hold
        )
    except LLMRankError as error:
        st.error(plain(str(error)))
        return
    _watched()[kind] = job.id
    _watch(job.id)
    st.rerun()


def view(kind: str) -> JobView | None:
    """Return how this session's job of a kind stands."""
    job_id = _watched().get(kind)
    seen = None if job_id is None else resources.worker().snapshot(job_id)
    if job_id is None or seen is None or _kind(seen) != kind:
        return None  # a link may name any job, but not as another kind of work
    _watch(job_id)
    return seen


def _watch(job_id: str) -> None:
    """Keep a job alive as long as this visitor is here."""
    visitor, worker = visitor_id(), resources.worker()
    worker.watch(job_id, visitor)
    on_end(visitor, Leaving(worker, visitor))


def _kind(seen: JobView) -> object:
    return seen.key[0] if isinstance(seen.key, tuple) else None


def active(kind: str) -> bool:
    """Whether a job of the kind waits or runs."""
    seen = view(kind)
    return seen is not None and not seen.finished


def link() -> dict[str, str]:
    """Return the watched jobs as a parameter of the address."""
    named = [f"{kind}.{job_id}" for kind, job_id in _watched().items()]
    return {"jobs": ",".join(named)} if named else {}


def strip() -> None:
    """Show every watched job: what, how far, how long still, and Stop."""
    for kind in tuple(_watched()):
        seen = view(kind)
        if seen is None:
            del _watched()[kind]
        elif seen.finished:
            _ended(kind, seen)
        else:
            st.fragment(_running, run_every=TICK_S)(kind)


def here(kind: str) -> None:
    """Show a running job beside what started it too: the strip may be out of sight."""
    if active(kind):
        st.fragment(_running, run_every=TICK_S)(kind, place="here")


def live(kind: str, draw: Callable[[JobView], None]) -> None:
    """Draw a job's partial result again and again while it runs."""
    if not active(kind):
        return

    def again() -> None:
        seen = view(kind)
        if seen is not None:
            draw(seen)

    st.fragment(again, run_every=TICK_S)()


def _running(kind: str, place: str = "strip") -> None:
    seen = view(kind)
    if seen is None or seen.finished:
        st.rerun()
    with st.container(
        horizontal=True, vertical_alignment="center", key=f"{place}_{kind}"
    ):
        share = seen.done / seen.total if seen.total else 0.0
        st.progress(min(share, 1.0), text=f"**{plain(seen.title)}** · {_said(seen)}")
        if st.button("Stop", key=f"stop_{kind}_{place}", disabled=seen.stopping):
            _stop(seen)


def _stop(seen: JobView) -> None:
    if not resources.worker().cancel(seen.id, visitors.owner()):
        st.toast("Only the browser that started this job can stop it.")


def _said(seen: JobView) -> str:
    if seen.state == "queued":
        return _waiting(seen)
    if seen.stopping:
        return "stopping"
    left = ""
    if seen.remaining_s is not None:
        left = f", {duration(seen.remaining_s)} left in this step"
    steps = f" {seen.done}/{seen.total}" if seen.total > 1 else ""
    return f"{plain(seen.what or 'starting')}{steps} · {seen.elapsed_s:.0f} s{left}"


def _waiting(seen: JobView) -> str:
    """Say what is before it; another visitor's work is not named."""
    before = seen.position or 1
    jobs = "another job" if before == 1 else f"{before} other jobs"
    said = f"waits for {jobs} to end, its own or others'"
    if seen.remaining_s is None:
        return said
    return f"{said}; the one running needs {duration(seen.remaining_s)} more at least"


def _ended(kind: str, seen: JobView) -> None:
    if seen.state == "failed":
        st.error(f"**{plain(seen.title)}** failed: {plain(seen.error or '')}")
    elif seen.state == "cancelled":
        why = "" if seen.error is None else f", as {seen.error}"
        after = f"was stopped after {seen.elapsed_s:.0f} s{why}."
        st.info(f"**{plain(seen.title)}** {after}")
    if seen.state != "done" and st.button("Dismiss", key=f"dismiss_{kind}"):
        del _watched()[kind]
        st.rerun()


def _watched() -> dict[str, str]:
    """Return kind → job id; the first call of a session reads them from the link."""
    if _ENTRY not in st.session_state:
        named = st.query_params.get("jobs", "")
        pairs = [part.partition(".") for part in named.split(",") if part]
        st.session_state[_ENTRY] = {kind: job_id for kind, _, job_id in pairs[:8]}
    return st.session_state[_ENTRY]
