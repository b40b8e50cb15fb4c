"""A job in words: how far it is, what it waits for."""

from llmrank.core.formatting import duration
from llmrank.core.jobs import JobView
from pages.shared.app.escape import plain


def far(seen: JobView) -> str:
    """Say how far a job is, and how long it takes yet."""
    if seen.state == "queued":
        return "waiting"
    if seen.stopping:
        return "stopping"
    if seen.share is None or seen.remaining_s is None:
        said = f"{seen.elapsed_s:.0f} s so far"
        if seen.step_s is None:
            return said
        return f"{said}, {duration(seen.step_s)} left at least"
    return f"{100 * seen.share:.0f} %, {duration(seen.remaining_s)} left"


def said(seen: JobView) -> str:
    """Say what a job does, and how far it is."""
    if seen.state == "queued":
        return _waiting(seen)
    if seen.stopping:
        return "stopping"
    return f"{plain(seen.what or 'starting')} · {far(seen)}"


def _waiting(seen: JobView) -> str:
    """Say what is before it; another visitor's work is not named."""
    before = seen.position or 1
    jobs = "another job" if before == 1 else f"{before} other jobs"
    said = f"waits for {jobs} to end, its own or others'"
    if seen.remaining_s is not None:
        return f"{said}; the one running needs {duration(seen.remaining_s)} more"
    if seen.step_s is not None:
        return f"{said}; the one running needs {duration(seen.step_s)} more at least"
    return said
