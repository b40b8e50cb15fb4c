"""After the cut: three ways back side by side; and what shakes which network."""

from collections.abc import Hashable
from dataclasses import replace

import streamlit as st

from llmrank import mlp
from llmrank.core.jobs import Job, JobView
from llmrank.core.specs import Option
from llmrank.mlp import robustness
from llmrank.report import charts
from llmrank.report.sentences import mlp as reading
from pages.shared.app import jobs, panels, view_options
from pages.shared.lab import trained
from pages.shared.lab.settings import PAGE, SPARSITY, Lab

AFTER, SHAKEN = "after", "shaken"
EPOCHS = Option(
    "again", int, 15, "Epochs of each training of the small network", 1, 100
)


def show_recovery(lab: Lab, network: mlp.Trained) -> None:
    """Train what is left in three ways, and draw the curves."""
    if not network.epochs:
        st.info("A loaded network has no beginning to rewind to; train one here.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        percent = view_options.choose(PAGE, SPARSITY, "Removed, %")
        lab = replace(lab, percent=percent)
        epochs = view_options.choose(PAGE, EPOCHS, "Epochs")
        plan = mlp.planned(trained.scores(lab, lab.by), percent / 100)
        training = replace(lab.training, epochs=epochs)
        data = trained.data(lab)

        def make(job: Job) -> mlp.Recovery:
            return mlp.recover(
                network, plan, training, data,
                progress=job.progress, publish=job.publish,
            )  # fmt: skip

        known, about = trained.offer(
            AFTER, "Train it three ways", "Training the small network three ways",
            recovery_key(lab, training), make,
            f"{percent} % removed by {lab.chosen}: hidden layers of "
            f"{' and '.join(map(str, plan.widths))} neurons.",
        )  # fmt: skip
    if known is not None:
        _show_curves(known, lab.chosen)
    else:
        jobs.live(AFTER, lambda seen: _live(seen, lab.chosen))
    st.caption(
        f"{about} **Fine-tune** goes on from the weights that are left and alone has "
        "the dense training behind it; **rewind** puts the neurons that are left back "
        "to the weights they began with (the lottery ticket); **from scratch** draws "
        "new weights. All take the same steps in the same order."
    )


def recovery_key(lab: Lab, training: mlp.MLPSpec) -> Hashable:
    """Return all that the three ways back follow from."""
    return lab.network_key, lab.by, lab.percent, training


def _live(seen: JobView, criterion: str) -> None:
    if isinstance(seen.partial, mlp.Recovery):
        _show_curves(seen.partial, criterion, live=True)
    else:
        st.caption("The first epoch appears here when it is over.")


def _show_curves(recovery: mlp.Recovery, criterion: str, *, live: bool = False) -> None:
    curves = {
        name: [*_start_of(recovery, name), *(e.test_accuracy for e in epochs)]
        for name, epochs in recovery.curves.items()
    }
    fig = charts.recovery_chart(
        curves, recovery.dense_accuracy, criterion, dark=panels.is_dark()
    )
    if live:
        st.plotly_chart(fig, theme=None, config=charts.CONFIG, key="after_live")
        return
    table = reading.recovery_table(recovery)
    panels.chart(
        fig, reading.recovery_sentence(recovery), lambda: table, key="lab-after"
    )


def _start_of(recovery: mlp.Recovery, name: str) -> list[float]:
    return [recovery.at_start[name]] if name in recovery.at_start else []


def show_robustness(lab: Lab, network: mlp.Trained) -> None:
    """Test dense and pruned, by every criterion, on corrupted examples."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        percent = view_options.choose(PAGE, SPARSITY, "Removed, %")
        lab = replace(lab, percent=percent)
        data = trained.data(lab)

        def make(job: Job) -> tuple[mlp.RobustnessResult, ...]:
            networks = {"dense": network.network}
            for name, criterion in lab.criteria.items():
                plan = mlp.planned(trained.scores(lab, criterion), percent / 100)
                networks[name] = mlp.prune(network.network, plan)
            return mlp.robustness_results(
                networks, data, dense=network.network, progress=job.progress
            )

        known, about = trained.offer(
            SHAKEN, "Shake them", "Testing under corruption", robustness_key(lab), make,
            f"{', '.join(robustness.kinds(data))} at four strengths each, on "
            f"{len(data.test_y):,} test examples; the noise and random's choice are "
            "one draw each.",
        )  # fmt: skip
    if known is not None:
        _show_robustness(known, percent)
    st.caption(f"{about} What is less accurate when clean has less to lose.")


def robustness_key(lab: Lab) -> Hashable:
    """Return all that the test under corruption follows from."""
    return lab.network_key, tuple(lab.criteria.values()), lab.percent


def _show_robustness(results: tuple[mlp.RobustnessResult, ...], percent: int) -> None:
    table = robustness.robustness_table(results)
    fragile = mlp.brittleness(results)
    panels.chart(
        charts.shaken_chart(table, fragile, robustness.UNITS, dark=panels.is_dark()),
        reading.brittleness_sentence(fragile, percent / 100),
        lambda: table,
        key="lab-shaken",
    )
