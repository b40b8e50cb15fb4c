"""Arena: which method is best?"""

from pages.shared.app.frame import frame

in_hand = frame("Arena", "Which method is best?")

from collections.abc import Mapping

import streamlit as st

from llmrank.core.jobs import JobView
from llmrank.experiments import arena
from llmrank.experiments.arena import ArenaSpec, Entry
from llmrank.experiments.store import Run, Store
from llmrank.report.tables.runs import name
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain
from pages.shared.arena import criteria_agreement, results, spec_controls


def published(spec: ArenaSpec, seen: JobView | None) -> tuple[Entry, ...] | None:
    """Return the cells as a running job of this arena last told them."""
    told = None if seen is None or seen.finished else seen.partial
    return told[1] if isinstance(told, tuple) and told[0] == spec else None


def show(
    spec: ArenaSpec, store: Store, runs: Mapping[int, Run], axes: tuple[str, str]
) -> None:
    """Show how the arena stands; while it runs, anew whenever a cell has changed."""
    told = published(spec, jobs.view(spec_controls.KIND))
    entries = told or arena.known(spec, store, runs, resources.entries())
    over = {name(e.run) for e in entries if e.run.state in ("done", "failed")}
    is_compared = len(over) >= min(2, len(spec.methods))  # one alone is no arena
    ours = () if is_compared else resources.shipped_entries(in_hand.model)
    if ours or entries:
        own = arena.measured(in_hand.model, store) if ours else ()
        results.show(ours or entries, axes, in_hand, own=own, is_ours=bool(ours))
        results.show_table(ours or entries, is_ours=bool(ours))
    else:
        st.markdown(
            "Nothing of this choice is measured yet. **Measure the cells**: each "
            "appears here the moment it is done, is kept, and is never measured "
            "twice; the arena can be stopped and goes on where it was."
        )

    def look(seen: JobView) -> None:
        if published(spec, seen) is not told:
            st.rerun()

    jobs.live(spec_controls.KIND, look)


with panels.panel():
    store = resources.store()
    if store.notice:
        st.warning(plain(store.notice))
    with st.container(horizontal=True, vertical_alignment="center"):
        spec = spec_controls.asked(in_hand, store)
        axes = results.choose_axes()
        results.choose_shown()
        runs = arena.known_runs(spec, store)
        with panels.panel():
            spec_controls.forecast(spec, store, runs)
    with panels.panel():
        show(spec, store, runs, axes)
    with panels.panel():
        criteria_agreement.show(in_hand, spec)
