"""Long work from a page: start it, watch it, find it again, stop it."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.core.formatting import counted
from llmrank.core.job_lanes import Lane
from llmrank.core.jobs import Job, JobView, Worker
from llmrank.experiments.experiment import Experiment
from pages.shared.app import access, job_words, resources, visitors
from pages.shared.app.escape import plain
from pages.shared.app.visitors import on_end, visitor_id

_ENTRY, _TOLD = "jobs", "jobs_told"
LOOK_S: dict[Lane, float] = {"light": 0.5, "heavy": 1.0}
"""How often a job is looked at."""

TIMED, TIMED_LOOK_S = ("Measuring latency", "Measuring the FFN layers"), 3.0
"""The steps that time something, and how often they are looked at: to draw that costs
a browser a twentieth of a second, which disturbs a timing where cores are few."""

ANNOUNCED_S = 10.0
"""What took so long is announced when it is done."""


@dataclass(frozen=True)
class Leaving:
    """What a visitor's end asks of the jobs: nobody works for who has gone."""

    worker: Worker
    visitor: str

    def __call__(self) -> None:
        """End what nobody else watches."""
        self.worker.leave(self.visitor)


def start(
    kind: str,
    title: str,
    work: Callable[[Job], object],
    experiment: Experiment | None = None,
    *,
    key: Hashable = None,
    lane: Lane = "heavy",
) -> None:
    """Queue work of a kind (one per kind and visitor is watched) and show it.

    The visitor's uploads stay until it has ended, also when the visitor has gone.

    Args:
        kind: names it in the link.
        title: what the visitor reads.
        work: done in the worker's thread.
        experiment: that it is done on; checked before any work.
        key: what it follows from, where that is not the experiment.
        lane: light work, of seconds, never waits for heavy work.

    Raises:
        LLMRankError: the experiment is not open to who asks.
    """
    if experiment is not None:
        access.check(experiment)
    key = experiment if key is None else key
    hold = partial(uploads.hold, permissions.asker().uploads)
    work = permissions.carried(work)  # the worker's thread is nobody's
    try:
        job = resources.worker().submit(
            visitors.owner(), title, work, key=(kind, key), hold=hold, lane=lane
        )
    except LLMRankError as error:
        st.error(plain(str(error)))
        return
    _watched()[kind] = job.id
    _watch(job.id)
    st.rerun()


def view(kind: str) -> JobView | None:
    """Return how this session's job of a kind stands."""
    seen = resources.worker().snapshot(_watched().get(kind, ""))
    if seen is None or not isinstance(seen.key, tuple) or seen.key[0] != kind:
        return None  # a link may name any job, but not as another kind of work
    _watch(seen.id)
    return seen


def _watch(job_id: str) -> None:
    """Keep a job alive as long as this visitor is here."""
    visitor, worker = visitor_id(), resources.worker()
    worker.watch(job_id, visitor)
    on_end(visitor, Leaving(worker, visitor))


def active(kind: str) -> bool:
    """Whether a job of the kind waits or runs."""
    seen = view(kind)
    return seen is not None and not seen.finished


def link() -> dict[str, str]:
    """Return the watched jobs as a parameter of the address."""
    named = [f"{kind}.{job_id}" for kind, job_id in _watched().items()]
    return {"jobs": ",".join(named)} if named else {}


def menu() -> None:
    """Show this visitor's jobs in the header: how many, how far, and a list with Stop.

    They are those of the browser, so a second tab shows them too.
    """
    _again(lambda: max(map(_look_s, _running_jobs()), default=None), _menu)


def _menu() -> None:
    running = _running_jobs()
    with st.popover(_short(running), type="tertiary", width="content"):
        for seen in running:
            _one(seen, "menu")


def _short(running: list[JobView]) -> str:
    first = next((job for job in running if job.state == "running"), running[0])
    said = plain(first.title) if len(running) == 1 else counted(len(running), "job")
    return f"{job_words.far(first)} · {said}"


def _running_jobs() -> list[JobView]:
    """Return the browser's unfinished jobs, and those of others it watches by link."""
    seen = {view.id: view for view in resources.worker().owned(visitors.owner())}
    for kind in tuple(_watched()):
        watched = view(kind)
        if watched is not None and not watched.finished:
            seen.setdefault(watched.id, watched)
    return list(seen.values())


def endings() -> None:
    """Say of every watched job that it failed or was stopped, until it is dismissed."""
    for kind in tuple(_watched()):
        seen = view(kind)
        if seen is None:
            del _watched()[kind]
        elif seen.finished:
            _ended(kind, seen)
            _announce(seen)


def stop_button(kind: str, key: Hashable, label: str) -> None:
    """Draw a button that stops a running job and says how far it is.

    Where the job's key is another one it is named, for it is of other settings. It
    stands where the job was started: a double click does not stop it at once.
    """

    def draw() -> None:
        seen = view(kind)
        assert seen is not None
        is_other = seen.key != (kind, key)
        said = f" · {plain(seen.title)}" if is_other else ""
        words = f"Stop · {job_words.far(seen)}{said}"
        new = seen.state == "running" and seen.elapsed_s < 0.5
        if st.button(words, key=label, disabled=seen.stopping or new):
            _stop(seen)

    _again(partial(_look_s_of, kind), draw)


def here(kind: str) -> None:
    """Show a running job beside what started it, as well as in the header."""
    _again(partial(_look_s_of, kind), lambda: _running(kind))


def live(kind: str, draw: Callable[[JobView], None]) -> bool:
    """Draw a job's partial result while it runs, and return whether it does."""

    def again() -> None:
        seen = view(kind)
        if seen is not None:
            draw(seen)

    return _again(partial(_look_s_of, kind), again)


def _again(look_s: Callable[[], float | None], draw: Callable[[], None]) -> bool:
    """Draw in a fragment as often as it wants to be looked at, if it does at all.

    The page runs anew when that changes: an end, the begin of a timing.
    """
    every_s = look_s()
    if every_s is None:
        return False

    def again() -> None:
        if look_s() != every_s:
            st.rerun()
        draw()

    st.fragment(again, run_every=every_s)()
    return True


def _look_s_of(kind: str) -> float | None:
    seen = view(kind)
    return None if seen is None or seen.finished else _look_s(seen)


def _look_s(seen: JobView) -> float:
    return TIMED_LOOK_S if seen.what in TIMED else LOOK_S[seen.lane]


def _running(kind: str) -> None:
    seen = view(kind)
    assert seen is not None
    _one(seen, "here")


def _one(seen: JobView, place: str) -> None:
    name = f"{place}_{seen.id}"
    with st.container(horizontal=True, vertical_alignment="center", key=name):
        said = f"**{plain(seen.title)}** · {job_words.said(seen)}"
        if seen.share is None:  # a bar without an end would be no bar
            st.markdown(said)
        else:
            st.progress(seen.share, text=said)
        if st.button("Stop", key=f"stop_{name}", disabled=seen.stopping):
            _stop(seen)


def enough_button(kind: str, words: str, about: str) -> None:
    """Draw a button that ends a running job with what it has so far."""
    seen = view(kind)
    if seen is not None and seen.state == "running":
        disabled = seen.enough or seen.stopping
        if st.button(words, key=f"enough_{kind}", disabled=disabled, help=about):
            _stop(seen, enough=True)


def _stop(seen: JobView, *, enough: bool = False) -> None:
    if not resources.worker().cancel(seen.id, visitors.owner(), enough=enough):
        st.toast("Only the browser that started this job can stop it.")


def _announce(seen: JobView) -> None:
    """Say once that long work is done, wherever its visitor is by now."""
    told: set[str] = st.session_state.setdefault(_TOLD, set())
    is_long = seen.elapsed_s >= ANNOUNCED_S
    if seen.state == "done" and is_long and seen.id not in told:
        st.toast(f"{plain(seen.title)}: done")
    told.add(seen.id)


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
