"""Prune: what fits, and how do I take it with me?"""

from pages.shared.app.frame import frame

in_hand = frame("Prune", "What fits, and how do I take it with me?")

import json
from pathlib import Path

import streamlit as st

from llmrank.core import permissions
from llmrank.core.formatting import share
from llmrank.core.jobs import Job
from llmrank.core.paths import check_export_target, named_path
from llmrank.core.uploads import masked
from llmrank.core.whereabouts import without_folders
from llmrank.evaluation.footprint import Footprint, footprint, planned
from llmrank.experiments.experiment import Experiment
from llmrank.experiments.run import check_room
from llmrank.experiments.settings import command_line, export_name, snippet
from llmrank.methods.pruning import PruningPlan
from llmrank.models import export
from llmrank.models.compatibility import opened_by
from llmrank.models.export import Saved
from llmrank.models.precision import OWN, PRECISIONS, written_in
from llmrank.report import charts
from llmrank.report.sentences import sizes as readings
from pages.shared.app import (
    access,
    experiment_bar,
    jobs,
    known,
    panels,
    resources,
)
from pages.shared.app.escape import plain
from pages.shared.prune import options, target, widths

ORIGIN = (
    "Counted from the shapes of the weights, nothing is timed. Each weight of a linear "
    "is multiplied once a token: MACs are about as many as parameters."
)
AS_IS, PADDED = "As it is", "Padded to one width"


def counted() -> tuple[Footprint, Footprint] | None:
    """Count both models, where the model is loaded and its widths are known."""
    lm = resources.pipeline().model.peek(in_hand)
    if lm is None:
        return None
    dense = footprint(lm)
    kept = experiment_bar.kept_widths(in_hand, dense.widths)
    return None if kept is None else (dense, planned(lm, kept))


def show_sizes(pair: tuple[Footprint, Footprint] | None) -> None:
    """Show what is left of the settings in hand, in four numbers, where it is known."""
    method = plain(in_hand.method.name)
    if in_hand.method.allocation.sets_sparsity:
        st.markdown(f"**In hand: {method}**")
    else:
        removed = share(in_hand.pruning.sparsity)
        st.markdown(f"**In hand: {removed} removed by {method}**")
    near = None if pair else known.nearest(in_hand)
    if near is not None and near[0].experiment.pruning == in_hand.pruning:
        comparison = near[0].comparison
        pair = comparison.dense.footprint, comparison.pruned.footprint
    sizes = readings.sizes(*pair) if pair else {}
    for name, (before, after, less) in sizes.items():
        change = less if before == after else f"{less} of {before}"
        panels.listed(name, after, change, "")
    if sizes:
        st.caption(ORIGIN)


def show_widths(plan: PruningPlan) -> None:
    """Say what every layer keeps; draw it where the layers differ."""
    rounding = readings.rounding_sentence(plan, in_hand.pruning)
    if rounding is not None:
        st.info(rounding)
    said = readings.widths_sentence(plan)
    if plan.uniform:
        st.markdown(said)
        return
    panels.chart(
        charts.widths_chart(plan.dense_widths, plan.widths, dark=panels.is_dark()),
        said,
        lambda: readings.widths_table(plan),
        key="widths",
    )


def ask_folder() -> str:
    """Ask where to write; the name proposed is free."""
    proposed = str(export.free_folder(Path("exports", export_name(in_hand))))
    asked = st.text_input(
        "Export to a folder here",
        proposed,
        max_chars=1000,
        key=f"export_{proposed}",
        persist_state="session",
        help="A new or an empty folder on the machine that runs the app; nothing is "
        "overwritten. It appears when everything in it is written and verified.",
    )
    return asked.strip() or proposed


def ask_precision() -> str:
    """Ask for the precision of the weights in the files."""
    lm = resources.pipeline().model.peek(in_hand)
    own = "" if lm is None else f": {written_in(lm.stored, in_hand.model.dtype)}"
    return st.selectbox(
        "Precision of the files",
        PRECISIONS,
        format_func=lambda p: f"the model's own{own}" if p == OWN else p,
        width=240,
        key="export_precision",
        persist_state="session",
        help="The model's own files decide unless another is named here. What it is "
        "computed in is a setting of the model (dtype).",
    )


def ask_form(pruned: Footprint | None) -> tuple[bool, str]:
    """Ask what the checkpoint shall be and say it: padded to one width, precision."""
    if pruned is None:
        return False, ask_precision()
    uneven = len(set(pruned.widths)) > 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = ask_precision()
        form = (
            AS_IS
            if not uneven
            else st.segmented_control(
                "Checkpoint",
                [AS_IS, PADDED],
                default=AS_IS,
                required=True,
                key="export_form",
            )
        )
    lm = resources.pipeline().model(in_hand)
    padded = planned(lm, (max(pruned.widths),) * len(pruned.widths))
    kept = written_in(lm.stored, in_hand.model.dtype, asked)
    written = pruned if form == AS_IS else padded
    opened = opened_by(lm.config.to_dict())
    st.caption(
        f"{readings.checkpoint_sentence(pruned, padded, kept, opened)} "
        f"{readings.precision_sentence(written, in_hand.model.dtype, kept)}"
    )
    return form == PADDED, asked


def start_export(name: str, *, padded: bool, precision: str) -> None:
    """Write the pruned model in the worker, once the folder is known to be good."""
    access.check(in_hand)
    folder = named_path(name)
    check_export_target(Path(name))
    pipeline, asked = resources.pipeline(), in_hand
    with permissions.asking(permissions.Asker("nobody", stranger=True)):
        recipe = masked(asked.to_json())  # whoever opens the folder reads it

    def work(job: Job) -> tuple[Experiment, Saved]:
        check_room(asked, pipeline)
        lm = pipeline.pruned(asked, progress=job.progress)
        lm = export.padded(lm) if padded else lm
        return asked, export.save(
            lm, folder, dtype=precision, recipe=recipe, progress=job.progress
        )

    title = f"Exporting {export_name(asked)}"
    key = (asked, folder, padded, precision)
    jobs.start("export", title, work, key=key, lane=resources.lane(asked))


def show_export(pruned: Footprint | None) -> None:
    """Offer the export and show what the last one wrote."""
    padded, precision = ask_form(pruned)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = ask_folder()
        busy = jobs.active("export")
        kind = "secondary" if pruned is None else "primary"
        asked = st.button("Export", type=kind, disabled=busy, key="export")
    if asked:
        start_export(name, padded=padded, precision=precision)
    done = jobs.view("export")
    if done is not None and done.state == "done":
        show_saved(*done.result)


def show_saved(experiment: Experiment, saved: Saved) -> None:
    """Show what was written, how to open it, and a zip of it."""
    like = "what its rounded weights do" if saved.rounding else "the same"
    st.success(f"Written, reloaded from the disk and compared: it computes {like}.")
    panels.other_settings(experiment, in_hand)
    st.text(without_folders(saved.summary))
    st.code(without_folders(saved.snippet), language="python", wrap_lines=True)
    archive = saved.folder.with_name(f"{saved.folder.name}.zip")
    packed = jobs.view("pack")
    if packed is not None and packed.result == archive and archive.is_file():
        size = readings.size(archive.stat().st_size)
        st.download_button(
            f"Download the zip ({size})",
            archive.read_bytes,
            archive.name,
            "application/zip",
            on_click="ignore",
            icon=":material/download:",
            key="download_zip",
        )
    elif st.button(
        "Pack it as a zip",
        disabled=jobs.active("pack"),
        key="pack",
        help="Writes it beside the folder on the machine that runs the app, to "
        "download it.",
    ):
        folder, title = saved.folder, f"Packing {saved.folder.name}"
        jobs.start(
            "pack",
            title,
            lambda job: export.zipped(folder, progress=job.progress),
            key=folder,
            lane="light",
        )


def show_recipe() -> None:
    """Show the experiment as Python, as a command line and as JSON."""
    folder = f"exports/{export_name(in_hand)}"
    dtype = st.session_state.get("export_precision", OWN)
    python, shell, as_json = st.tabs(["Python", "Command line", "JSON"])
    python.code(
        snippet(in_hand, export=folder, export_dtype=dtype),
        language="python",
        height=260,
    )
    line = command_line(in_hand, export=folder, export_dtype=dtype)
    shell.code(line, language="bash", wrap_lines=True)
    with as_json:
        recipe = json.dumps(masked(in_hand.to_json()), indent=1, ensure_ascii=False)
        st.code(recipe, language="json", height=260)
        st.download_button(
            "Download",
            recipe,
            f"{export_name(in_hand)}.json",
            "application/json",
            on_click="ignore",
            icon=":material/download:",
            key="download_recipe",
        )


measured, pair = known.frontier(in_hand), None
picture, taken = st.columns([0.64, 0.36], gap="large")
with picture, panels.panel():
    if measured.choices:
        options.show(in_hand, measured)
    else:
        experiment_bar.strips(in_hand)
        st.page_link(
            "pages/arena.py",
            label="No method is measured on this model yet: rank them in Arena",
            icon=":material/arrow_forward:",
        )
with taken, panels.panel():
    pair = counted()
    show_sizes(pair)
with taken, panels.panel():
    show_export(pair and pair[1])
    show_recipe()
widths.live()
with panels.panel():
    st.markdown("##### What each layer keeps")
    if panels.has_scores(in_hand):
        plan = resources.pipeline().plan(in_hand)
        show_widths(plan)
        widths.by_hand(in_hand, plan.dense_widths)
        widths.show_costs(in_hand, plan.widths, plan.dense_widths)
with panels.panel():
    if not in_hand.method.allocation.sets_sparsity:
        target.show(in_hand)
