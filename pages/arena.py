"""Arena: which method is best?"""

from pages.shared.frame import frame

e = frame("Arena", "Which method is best?")

from collections.abc import Mapping

import streamlit as st

from llmrank import arena
from llmrank.arena import ArenaSpec
from llmrank.jobs import JobView
from llmrank.store import Run, Store
from pages.shared import beside, cached, grid, jobs, panels, standings
from pages.shared.words import plain


def show(spec: ArenaSpec, store: Store, runs: Mapping[int, Run]) -> None:
    """Show how the arena stands: live while it runs, else as it is kept."""

    def draw(seen: JobView | None = None) -> None:
        published = None if seen is None else seen.partial
        if isinstance(published, tuple) and published[0] == spec:
            entries = published[1]
        else:
            entries = arena.known(spec, store, runs, cached.entries())
        standings.show(spec, entries, e)

    if jobs.active(grid.KIND):
        jobs.live(grid.KIND, draw)
        return
    draw()


with panels.panel():
    store = cached.store()
    if store.notice:
        st.warning(plain(store.notice))
    spec = grid.asked(e, store)
    runs = arena.known_runs(spec, store)
    with panels.panel():
        grid.forecast(spec, store, runs)
    with panels.panel():
        show(spec, store, runs)
    with panels.panel():
        beside.show(e, spec)
