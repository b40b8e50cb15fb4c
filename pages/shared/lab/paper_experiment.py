"""The paper's experiment: one button, curves with their spread, the claim beside."""

from collections.abc import Hashable
from dataclasses import replace

import streamlit as st

from llmrank import mlp
from llmrank.core.formatting import counted
from llmrank.core.jobs import Job, JobView
from llmrank.core.specs import Option, described
from llmrank.mlp.experiment import BASELINES, PAPERS_SPARSITIES, retention_table
from llmrank.report import charts
from llmrank.report.sentences import mlp as reading
from pages.shared.app import jobs, panels, view_options
from pages.shared.lab import trained
from pages.shared.lab.settings import PAGE, Lab

KIND = "claim"
SETS = Option(
    "sets", str, "both", "Which embedded images the networks are trained on",
    choices=("both", "digits", "mnist-5k"),
)  # fmt: skip
TITLES = {
    "both": "Digits and MNIST 5,000",
    "digits": "Digits",
    "mnist-5k": "MNIST 5,000",
}
SEEDS = Option("seeds", int, 3, "How many networks of each kind are trained", 1, 10)
EPOCHS = 15


def show(lab: Lab) -> None:
    """Offer the experiment, and show how far it is or what it found."""
    st.markdown(
        f"{reading.CLAIM}. *Retention* is accuracy after pruning divided by accuracy "
        "before, on held-out data. Here: networks of one, two and three hidden layers, "
        "not the one above, are trained, pruned to 10 to 90 % by each criterion, and "
        "tested; nothing is trained after the cut."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sets = view_options.choose(PAGE, SETS, "Data", titles=TITLES)
        seeds = view_options.choose(PAGE, SEEDS, "Networks of each kind")
    spec = mlp.RetentionSpec(
        sets="digits,mnist-5k" if sets == "both" else sets, seeds=seeds
    )
    training = replace(mlp.MLPSpec(), epochs=EPOCHS)
    key = key_of(lab, spec, training)
    n_networks = seeds * len(spec.kinds) * len(spec.sets.split(","))

    def make(job: Job) -> tuple[mlp.Point, ...]:
        return mlp.retention(
            spec, training, lab.ranked, data_seed=lab.data.data_seed,
            progress=job.progress, publish=job.publish,
        )  # fmt: skip

    finished = trained.offer(
        KIND, "Run the experiment", "The paper's experiment", key, make,
        f"{counted(n_networks, 'network')} from the seed on, "
        f"{EPOCHS} epochs each; about {4 * n_networks} s where nothing else runs.",
    )  # fmt: skip
    if finished is not None:
        _show(finished, spec, lab.ranked, lab.data.data_seed)
    else:
        jobs.live(KIND, lambda seen: _live(seen, spec, lab))


def key_of(lab: Lab, spec: mlp.RetentionSpec, training: mlp.MLPSpec) -> Hashable:
    """Return all that the experiment's points follow from."""
    return spec, training, lab.ranked, lab.data.data_seed


def _live(seen: JobView, spec: mlp.RetentionSpec, lab: Lab) -> None:
    if isinstance(seen.partial, tuple) and seen.partial:
        ranked, data_seed = lab.ranked, lab.data.data_seed
        _show(seen.partial, spec, ranked, data_seed, so_far=True)
    else:
        st.caption("The curves appear when the first network is trained and pruned.")


def command_line(spec: mlp.RetentionSpec, ranked: mlp.MLPRank, data_seed: int) -> str:
    """Return the command that measures the same."""
    words = [f"python -m llmrank mlp --sets {spec.sets} --seeds {spec.seeds}"]
    values = described(ranked) | {"data_seed": data_seed}
    usual = described(mlp.MLPRank()) | {"data_seed": 0, "variant": ranked.variant}
    for name, value in values.items():
        if value != usual[name]:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def _show(
    points: tuple[mlp.Point, ...],
    spec: mlp.RetentionSpec,
    ranked: mlp.MLPRank,
    data_seed: int,
    *,
    so_far: bool = False,
) -> None:
    """Draw the curves; say whether the claim held here."""
    table = mlp.summary(points)
    networks = len({(p.data, p.widths, p.seed) for p in points})
    if so_far:
        fig = charts.retention_chart(table, dark=panels.is_dark())
        st.plotly_chart(fig, theme=None, config=charts.CONFIG, key="claim_live")
        st.caption(f"{counted(networks, 'network')} so far.")
        return
    each = counted(networks // table["data"].nunique(), "network")
    seeds = len({p.seed for p in points})
    panels.chart(
        charts.retention_chart(table, dark=panels.is_dark()),
        f"Mean and standard deviation over {each} "
        f"of each data set: three shapes, each from {counted(seeds, 'seed')}.",
        lambda: retention_table(points),
        key="claim-curves",
    )
    _show_verdict(points)
    st.code(command_line(spec, ranked, data_seed), "bash")


def _show_verdict(points: tuple[mlp.Point, ...]) -> None:
    """Set what was measured beside what the paper says."""
    for gain in mlp.gains(points, BASELINES, PAPERS_SPARSITIES[-1]):
        # each: the best of three would look better than it is
        st.markdown(f"**{gain.criterion}**: {reading.verdict(gain)}")
    st.dataframe(
        reading.by_baseline(points, BASELINES, PAPERS_SPARSITIES[-1]), hide_index=True,
        column_config={
            "form": "Points more than …",
            "mean": st.column_config.TextColumn("the mean of all"),
        },
    )  # fmt: skip
    st.caption(
        "The paper reports +6.09 % on average. At 10 to 50 % removed, as in the "
        "authors' code; the charts go to 90 %. Points are per cent of the dense "
        "accuracy; brackets: 95 % over networks."
    )
