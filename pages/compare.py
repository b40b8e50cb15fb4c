"""Compare: what did it cost, what did it gain?"""

from pages.shared.app.frame import frame

e = frame("Compare", "What did it cost, what did it gain?")

import json
from collections.abc import Sequence

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
from llmrank.report.sentences.summary import verdict
from llmrank.report.tables import comparison as tables
from pages.shared.app import escape, jobs, panels, resources
from pages.shared.compare import curve

PROMPT = "The Great Wall of China was built to"


def show_measured() -> None:
    """Show dense beside pruned: live, finished, as far as it got, or not at all."""
    report = resources.reports().peek(e)
    if jobs.live("measure", show_running):
        return
    if report is not None:
        show_report(report)
        with st.container(horizontal=True):
            panels.measure(e, "Measure again", primary=False)
            st.download_button(
                "JSON",
                lambda: json.dumps(report.to_json(), indent=1),
                f"{export_name(e)}-measured.json",
                "application/json",
                on_click="ignore",
                icon=":material/download:",
                key="download_report",
            )
    else:
        show_unfinished()
        panels.measure(e, "Measure dense and pruned")


def show_running(seen: JobView) -> None:
    """Fill the table while it is measured."""
    report, before = seen.partial, resources.reports().peek(e)
    if isinstance(report, Report) and report.experiment == e:
        show_report(report)
        return
    if isinstance(report, Report):
        st.info("Other settings are being measured; these can be when they are done.")
    elif before is None:
        st.caption("Loading the model and measuring its activations first.")
        show_lines(tables.BLANK)
    if before is not None:
        show_report(before)


def show_unfinished() -> None:
    """Show what a stopped measurement had found, or say what there will be."""
    seen = jobs.view("measure")
    report = None if seen is None else seen.partial
    if isinstance(report, Report) and report.experiment == e:
        st.info("Stopped before its end; this is what had been measured.")
        show_report(report)
        return
    st.markdown(
        "Nothing is measured with these settings yet. Measuring reads held-out text "
        "with both models, asks the tasks chosen, and times both in turns; the numbers "
        "appear here as they come in."
    )


def show_report(report: Report) -> None:
    """Show the verdict, every number dense beside pruned, and where it comes from."""
    comparison = report.comparison
    for heading, said in verdict(comparison).items():
        st.markdown(f"**{heading}** &ensp; {said}")
    show_lines(tables.lines(comparison))
    if comparison.dense.tasks:
        show_lines(tables.task_lines(comparison))
    origins = "  \n".join(escape.plain(o) for o in readings.origins(report))
    st.caption(origins, help=readings.GLOSSARY)
    if comparison.speedup is not None and comparison.speedup.reasons:
        disturbed = comparison.speedup.decode.disturbed
        why = "The times" if disturbed else "Why it is not as fast as arithmetic allows"
        st.markdown(f"**{why}**")
        st.markdown("\n".join(f"- {reason}" for reason in comparison.speedup.reasons))


def show_lines(lines: Sequence[tables.Line]) -> None:
    """Draw the table: dense left and neutral, pruned right and accented."""
    rows = [
        {
            "": line.name,
            "Dense": cell(line.dense),
            "Pruned": cell(line.pruned, ":primary[**{}**]"),
            "Pruned against dense": cell(line.change),
        }
        for line in lines
    ]
    st.table(pd.DataFrame(rows).set_index(""), border="horizontal")


def cell(shown: tables.Cell, value: str = "{}") -> str:
    """Write a value, and its uncertainty in lighter type."""
    spread = shown.spread.replace("[", "\\[").replace("]", "\\]")
    return value.format(shown.value) + (f" :gray[{spread}]" if spread else "")


def show_charts() -> None:
    """Draw every timing, and the tasks where some were asked."""
    report = resources.reports().peek(e)
    if report is None or report.comparison.speedup is None:
        return
    comparison = report.comparison
    st.subheader("Every timing", anchor=False)
    for column, phase in zip(st.columns(2), ("prefill", "decode"), strict=True):
        with column:
            show_timings(comparison, phase)
    if comparison.pruned.tasks:
        st.subheader("Tasks", anchor=False)
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
    st.subheader("One prompt, continued by both", anchor=False)
    prompt = st.text_area(
        "Prompt",
        PROMPT,
        height=80,
        max_chars=2000,
        key="prompt",
        persist_state="session",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        new_tokens = st.number_input(
            "Tokens to write",
            1,
            200,
            40,
            10,
            key="to_write",
            persist_state="session",
            width=180,
        )
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
    pipeline, of = resources.pipeline(), e

    def work(job: Job) -> tuple[Experiment, Continuations]:
        check_room(of, pipeline)
        written = continuations(
            pipeline.model(of, progress=job.progress),
            pipeline.pruned(of, progress=job.progress),
            prompt,
            new_tokens=new_tokens,
            progress=job.progress,
            publish=lambda so_far: job.publish((of, so_far)),
        )
        return of, written

    title = f"Continuing a prompt, {share(of.pruning.sparsity)} removed"
    key = (of, prompt, new_tokens)
    jobs.start("prompt", title, work, of, key=key, lane=resources.lane(of))


def show_continuations(seen: JobView) -> None:
    """Show what both have written so far."""
    shown = seen.result or seen.partial
    if shown is None:
        return
    of, written = shown
    panels.other_settings(of, e)
    st.text(f"“{written.prompt}”")
    dense, pruned = st.columns(2)
    with dense:
        st.markdown(":gray[**Dense**]")
        st.text(written.dense)
    with pruned:
        st.markdown(":primary[**Pruned**]")
        st.text(written.pruned)
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
    curve.show(e)
with panels.panel():
    show_charts()
