"""Arena: which method is best?"""

from pages.shared.app.frame import frame

e = frame("Arena", "Which method is best?")

from collections.abc import Mapping

import streamlit as st

from llmrank.core.jobs import JobView
from llmrank.experiments import arena
from llmrank.experiments.arena import ArenaSpec
from llmrank.experiments.store import Run, Store
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain
from pages.shared.arena import criteria_agreement, results, spec_controls


def show(spec: ArenaSpec, store: Store, runs: Mapping[int, Run]) -> None:
    """Show how the arena stands: live while it runs, else as it is kept."""

    def draw(seen: JobView | None = None) -> None:
        published = None if seen is None else seen.partial
        if isinstance(published, tuple) and published[0] == spec:
            entries = published[1]
        else:
            entries = arena.known(spec, store, runs, resources.entries())
        results.show(spec, entries, e)

    jobs.here(spec_controls.KIND)
    if not jobs.live(spec_controls.KIND, draw):
        draw()


with panels.panel():
    store = resources.store()
    if store.notice:
        st.warning(plain(store.notice))
    spec = spec_controls.asked(e, store)
    runs = arena.known_runs(spec, store)
    with panels.panel():
        spec_controls.forecast(spec, store, runs)
    with panels.panel():
        show(spec, store, runs)
    with panels.panel():
        criteria_agreement.show(e, spec)
