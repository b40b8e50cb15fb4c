"""A recovery on a page: its course while it runs, and how to end it early."""

import pandas as pd

from llmrank.core.formatting import duration, times
from llmrank.methods.recovery import Moment
from llmrank.report import charts
from pages.shared.app import jobs, panels
from pages.shared.app.training import Course


def show(course: Course, key: str) -> None:
    """Draw a recovery so far, and say in words where it stands."""
    panels.chart(
        charts.training_chart(course.curve, dark=panels.is_dark()),
        sentence(course),
        lambda: table(course.curve),
        key=key,
    )


def stop_early() -> None:
    """Offer to end the running recovery with the best state it has."""
    jobs.enough_button(
        "measure",
        "Stop training, keep the best so far",
        "The model goes on to be measured as it is; Stop in the bar ends all",
    )


def sentence(course: Course) -> str:
    """Say what it cost at the start, and what it costs by now."""
    looks = [m for m in course.curve if m.held_out]
    if not looks:
        return "The held-out windows are being read."
    first, last, now = looks[0], looks[-1], course.curve[-1]
    parts = [
        f"{times(first.held_out[name].ratio)} → **{times(read.ratio)}** on held-out "
        f"windows of {name}"
        for name, read in last.held_out.items()
    ]
    when = ", trained before and kept" if course.is_kept else ""
    return (
        f"{now.n_tokens:,} tokens in {duration(now.elapsed_s)}{when}. Perplexity over "
        f"dense {', '.join(parts)}. Fresh batches are of the text that is trained on: "
        "they flatter."
    )


def table(curve: tuple[Moment, ...]) -> pd.DataFrame:
    """Return every moment as a row."""
    return pd.DataFrame(
        [
            {
                "n_tokens": m.n_tokens,
                "elapsed_s": m.elapsed_s,
                "batch_ratio": None if m.batch is None else m.batch.ratio,
                "batch_divergence": None if m.batch is None else m.batch.divergence,
                **{f"ratio, {name}": read.ratio for name, read in m.held_out.items()},
            }
            for m in curve
        ]
    )
