"""Compare: what did it cost, what did it gain?"""

from pages.shared.app.frame import frame

in_hand = frame("Compare", "What did it cost, what did it gain?")

import json
from collections.abc import Sequence
from functools import partial

import pandas as pd
import streamlit as st

from llmrank.core.formatting import share
from llmrank.core.jobs import Job, JobView
from llmrank.evaluation.comparison import Comparison
from llmrank.evaluation.generation import Continuations, continuations
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import Report, check_room
from llmrank.experiments.settings import export_name
from llmrank.report import charts
from llmrank.report.sentences import measurements as readings
from llmrank.report.sentences.summary import PAIRED, verdict
from llmrank.report.tables import comparison as tables
from pages.shared.app import escape, jobs, known, panels, resources
from pages.shared.compare import curve

MEASURE, AGAIN = "Measure dense and pruned", "Time it again"
HEIGHT = 350
"""Pixels of the place where a button stands instead of the times."""

PROMPT = "The Great Wall of China was built to"


def show_measured() -> None:
    """Show dense beside pruned: live, finished, as far as it got, or the nearest."""
    report = known.in_hand(in_hand)
    if jobs.live("measure", partial(show_running, report)):
        return
    stopped = jobs.view("measure")
    partly = None if stopped is None else own(stopped)
    if report is None and partly is not None:
        st.info("Stopped before its end; this is what had been measured.")
    show(report or partly, button="Measure again" if report else MEASURE)


def show_running(before: Report | None, seen: JobView) -> None:
    """Fill the picture while it is measured; what was known before stays till then."""
    report = own(seen)
    if report is None and isinstance(seen.partial, Report):
        st.info("Other settings are being measured; these can be when they are done.")
    show(report or before, "–" if before and not report else "…")


def own(seen: JobView) -> Report | None:
    """Return what a job has measured so far, where it is of the settings in hand."""
    report = seen.partial
    is_own = isinstance(report, Report) and report.experiment == in_hand
    return report if is_own else None


def show(
    report: Report | None, missing: str = "–", *, button: str | None = None
) -> None:
    """Show dense beside pruned; without a report what is nearest, or the skeleton.

    The button stands where the times would be; without it a job is running.
    """
    said = "**Not measured here yet.** What it costs and gains stands here."
    near = known.nearest(in_hand) if report is None else None
    if report is not None:
        verdicts = verdict(report.comparison).items()
        said = " &emsp; ".join(f"**{h}** &ensp; {s}" for h, s in verdicts)
    elif near is not None:
        report, is_ours = near
        said = readings.elsewhere_sentence(report, in_hand, ours=is_ours)
    pairs = tables.BLANK if report is None else tables.pairs(report.comparison)
    n, is_timed = tables.N_UNTIMED, pairs[-1].pruned is not None
    if button is None or is_timed:
        picture(report, pairs, said, missing)
    else:
        left, right = st.columns([n, len(pairs) - n], gap=None)
        with left:
            picture(report, pairs[:n], said, missing)
        with right.container(
            border=True, height=HEIGHT, horizontal_alignment="center",
            vertical_alignment="center",
        ):  # fmt: skip
            st.markdown(
                "**Speed** &ensp; Times do not travel: measure them here.",
                width="content",
            )
            panels.measure(in_hand, button)
    if button is not None and is_timed:
        is_told = all(pair.change.value != tables.NOT_TOLD for pair in pairs)
        panels.measure(in_hand, button if is_told else AGAIN, primary=not is_told)
    if report is not None:
        show_lines(report.comparison, missing)
    if button is not None and report is not None:
        show_details(report)


def picture(
    report: Report | None, pairs: Sequence[tables.Pair], sentence: str, missing: str
) -> None:
    """Draw some measures; hollow where they are not of the settings in hand, here."""
    panels.chart(
        charts.paired_chart(
            pairs,
            missing=missing,
            is_hollow=report is not None and report.experiment != in_hand,
            dark=panels.is_dark(),
        ),
        sentence,
        lambda: tables.pairs_table(pairs),
        key="pairs",
    )


def show_details(report: Report) -> None:
    """Say where the numbers come from, and draw every timing and task."""
    with st.expander("How it was measured"):
        origins = "  \n".join(escape.plain(o) for o in readings.origins(report))
        st.caption(origins, help=readings.GLOSSARY)
        show_charts(report.comparison)
        st.download_button(
            "JSON",
            lambda: json.dumps(report.to_json(), indent=1),
            f"{export_name(report.experiment)}-measured.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
            key="download_report",
        )


def show_lines(comparison: Comparison, missing: str = "–") -> None:
    """Draw the table: dense left and neutral, pruned right and accented."""
    rows = [
        {
            "": line.name,
            "Dense": cell(line.dense, missing),
            "Pruned": cell(line.pruned, missing, ":primary[**{}**]"),
            "Pruned against dense": cell(line.change, missing),
        }
        for line in tables.lines(comparison)
    ]
    st.table(pd.DataFrame(rows).set_index(""), border="horizontal")
    if comparison.speedup is not None:
        st.caption(PAIRED)


def cell(shown: tables.Cell, missing: str, value: str = "{}") -> str:
    """Write a value, and its uncertainty in lighter type."""
    if shown == tables.Cell():
        return missing
    spread = shown.spread.replace("[", "\\[").replace("]", "\\]")
    return value.format(shown.value) + (f" :gray[{spread}]" if spread else "")


def show_charts(comparison: Comparison) -> None:
    """Draw every timing, and the tasks where some were asked."""
    if comparison.speedup is not None:
        reasons = comparison.speedup.reasons
        if reasons:
            disturbed = comparison.speedup.decode.disturbed
            usual = "Why it is not as fast as arithmetic allows"
            st.markdown(f"**{'The times' if disturbed else usual}**")
            st.markdown("\n".join(f"- {reason}" for reason in reasons))
        phases: tuple[tables.Phase, ...] = ("prefill", "decode")
        for column, phase in zip(st.columns(2), phases, strict=True):
            with column:
                show_timings(comparison, phase)
    if comparison.pruned.tasks:
        table = readings.tasks_table(comparison)
        panels.chart(
            charts.task_chart(table, dark=panels.is_dark()),
            readings.retention_sentence(comparison),
            lambda: table,
            key="tasks",
        )


def show_timings(comparison: Comparison, phase: tables.Phase) -> None:
    """Draw the timings of one phase, dense beside pruned."""
    samples = readings.samples_table(comparison, phase)
    by_side = samples.groupby("side")["ms"]
    unit = "ms" if phase == "prefill" else "ms per token"
    panels.chart(
        charts.latency_chart(
            by_side.get_group("dense").tolist(),
            by_side.get_group("pruned").tolist(),
            f"{phase}, {unit}",
            getattr(comparison.speedup, phase),
            dark=panels.is_dark(),
        ),
        readings.latency_sentence(comparison, phase),
        lambda: samples,
        key=phase,
    )


def show_prompt() -> None:
    """Let both models continue one prompt, side by side."""
    st.markdown("##### One prompt, continued by both")
    prompt = st.text_area(
        "Prompt", PROMPT, height=80, max_chars=2000, key="prompt",
        persist_state="session",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        new_tokens = st.number_input(
            "Tokens to write", 1, 200, 40, 10, key="to_write",
            persist_state="session", width=180,
        )  # fmt: skip
        busy = jobs.active("prompt") or not prompt.strip()
        asked = st.button("Continue it", disabled=busy, key="continue")
    if asked:
        start_prompt(prompt, new_tokens)
    jobs.here("prompt")
    seen = jobs.view("prompt")
    if not jobs.live("prompt", show_continuations) and seen is not None:
        show_continuations(seen)


def start_prompt(prompt: str, new_tokens: int) -> None:
    """Continue the prompt in the worker; what is written streams in."""
    pipeline, asked = resources.pipeline(), in_hand

    def work(job: Job) -> tuple[Experiment, Continuations]:
        check_room(asked, pipeline)
        written = continuations(
            pipeline.model(asked, progress=job.progress),
            pipeline.pruned(asked, progress=job.progress),
            prompt,
            new_tokens=new_tokens,
            progress=job.progress,
            publish=lambda so_far: job.publish((asked, so_far)),
        )
        return asked, written

    title = f"Continuing a prompt, {share(asked.pruning.sparsity)} removed"
    key = (asked, prompt, new_tokens)
    jobs.start("prompt", title, work, asked, key=key, lane=resources.lane(asked))


def show_continuations(seen: JobView) -> None:
    """Show what both have written so far."""
    shown = seen.result or seen.partial
    if shown is None:
        return
    asked, written = shown
    panels.other_settings(asked, in_hand)
    st.text(f"“{written.prompt}”")
    sides = (
        (":gray[**Dense**]", written.dense),
        (":primary[**Pruned**]", written.pruned),
    )
    for column, (name, text) in zip(st.columns(2), sides, strict=True):
        column.markdown(name)
        column.text(text)
    if seen.finished:
        st.caption(
            f"Words in common from the start: {written.shared_words}. Both take the "
            "likeliest token each time, so nothing here is chance."
        )


with panels.panel():
    show_measured()
with panels.panel():
    show_prompt()
with panels.panel():
    curve.show(in_hand)
