"""The paper's experiment: one button, curves with their spread, the claim beside."""

from collections.abc import Hashable, Iterator
from dataclasses import replace

import streamlit as st
from plotly.graph_objects import Figure

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
    "sets", str, "both", "Whose networks are shown; those of both are measured",
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
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        sets = view_options.choose(PAGE, SETS, "Data", titles=TITLES)
        with st.container(width=200):
            seeds = view_options.choose(PAGE, SEEDS, "Networks of each kind")
        spec = mlp.RetentionSpec(seeds=seeds)
        training = replace(mlp.MLPSpec(), epochs=EPOCHS)
        n_networks = seeds * len(spec.kinds) * len(spec.sets.split(","))

        def make(job: Job) -> tuple[mlp.Point, ...]:
            return mlp.retention(
                spec, training, lab.ranked, data_seed=lab.data.data_seed,
                progress=job.progress, publish=job.publish,
            )  # fmt: skip

        known, about = trained.offer(
            KIND, "Run the experiment", "The paper's experiment",
            key_of(lab, spec, training), make,
            f"{counted(n_networks, 'network')} of one, two and three hidden layers, "
            f"{EPOCHS} epochs each, pruned to 10 to 90 % by each criterion and not "
            f"trained again; about {4 * n_networks} s where nothing else runs.",
        )  # fmt: skip
    if known is None:
        jobs.live(KIND, _live)
        st.caption(about)
    else:
        _show(tuple(p for p in known if sets in ("both", p.data)), about)
        st.code(command_line(spec, lab.ranked, lab.data.data_seed), "bash")


def key_of(lab: Lab, spec: mlp.RetentionSpec, training: mlp.MLPSpec) -> Hashable:
    """Return all that the experiment's points follow from."""
    return spec, training, lab.ranked, lab.data.data_seed


def _live(seen: JobView) -> None:
    if not (isinstance(seen.partial, tuple) and seen.partial):
        st.caption("The curves appear when the first network is trained and pruned.")
        return
    st.plotly_chart(
        _chart(seen.partial), theme=None, config=charts.CONFIG, key="claim_live"
    )
    networks = len({(p.data, p.widths, p.seed) for p in seen.partial})
    st.caption(f"{counted(networks, 'network')} so far.")


def _chart(points: tuple[mlp.Point, ...]) -> Figure:
    leads = mlp.leads(points)
    return charts.retention_chart(mlp.summary(points), leads, dark=panels.is_dark())


def command_line(spec: mlp.RetentionSpec, ranked: mlp.MLPRank, data_seed: int) -> str:
    """Return the command that measures the same."""
    words = [f"python -m llmrank mlp --sets {spec.sets} --seeds {spec.seeds}"]
    values = described(ranked) | {"data_seed": data_seed}
    usual = described(mlp.MLPRank()) | {"data_seed": 0, "variant": ranked.variant}
    for name, value in values.items():
        if value != usual[name]:
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def _show(points: tuple[mlp.Point, ...], about: str) -> None:
    """Draw the curves; say who keeps more, and what the paper says."""
    leads = mlp.leads(points)
    panels.chart(
        _chart(points),
        reading.leads_sentence(leads),
        lambda: retention_table(points),
        key="claim-curves",
    )
    st.caption(
        f"{about} Bands: standard deviation over networks; bars: 95 % over networks."
    )
    st.dataframe(
        reading.leads_table(leads), hide_index=True,
        column_config={
            "criterion": f"Points more than {leads['rival'].iloc[0]}, removed:"
        },
    )  # fmt: skip
    st.caption(
        f"{reading.CLAIM}. By that measure, the mean of the three and 10 to 50 % "
        f"removed, here: {'; '.join(_gains(points))}. Points are per cent of the dense "
        "accuracy on held-out data."
    )


def _gains(points: tuple[mlp.Point, ...]) -> Iterator[str]:
    for gain in mlp.gains(points, BASELINES, PAPERS_SPARSITIES[-1]):
        # each: the best of three would look better than it is
        yield f"{gain.criterion} {reading.points_spread(gain)}"
