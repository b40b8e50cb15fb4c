"""After the cut: three ways back side by side; and what shakes which network."""

from collections.abc import Hashable
from dataclasses import replace

import streamlit as st

from llmrank import mlp
from llmrank.core.formatting import share
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
    st.markdown(
        "The same smaller network, trained again three ways, with the same steps in "
        "the same order (fine-tune alone has the dense training behind it): "
        "**fine-tune** goes on from the weights that are left; **rewind** puts the "
        "neurons that are left back to the weights they began with (the lottery "
        "ticket); **from scratch** draws new weights."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        percent = view_options.choose(PAGE, SPARSITY, "Removed, %")
        lab = replace(lab, percent=percent)
        epochs = view_options.choose(PAGE, EPOCHS, "Epochs")
    if not network.epochs:
        st.info("A loaded network has no beginning to rewind to; train one here.")
        return
    plan = mlp.planned(trained.scores(lab, lab.by), percent / 100)
    training = replace(lab.training, epochs=epochs)
    key = recovery_key(lab, training)
    data = trained.data(lab)

    def make(job: Job) -> mlp.Recovery:
        return mlp.recover(
            network, plan, training, data, progress=job.progress, publish=job.publish
        )

    known = trained.offer(
        AFTER, "Train it three ways", "Training the small network three ways", key,
        make, f"{percent} % removed by {lab.chosen}: hidden layers of "
        f"{' and '.join(map(str, plan.widths))} neurons.",
    )  # fmt: skip
    if known is not None:
        _show_curves(known)
    else:
        jobs.live(AFTER, _live)


def recovery_key(lab: Lab, training: mlp.MLPSpec) -> Hashable:
    """Return all that the three ways back follow from."""
    return lab.network_key, lab.by, lab.percent, training


def _live(seen: JobView) -> None:
    if isinstance(seen.partial, mlp.Recovery):
        _show_curves(seen.partial, live=True)
    else:
        st.caption("The first epoch appears here when it is over.")


def _show_curves(recovery: mlp.Recovery, *, live: bool = False) -> None:
    curves = {
        name: [*_start_of(recovery, name), *(e.test_accuracy for e in epochs)]
        for name, epochs in recovery.curves.items()
    }
    fig = charts.recovery_chart(curves, recovery.dense_accuracy, dark=panels.is_dark())
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
    st.markdown(
        "Equally accurate networks can be unequally robust. Each criterion's pruned "
        "network and the dense one see the same corrupted test set."
    )
    percent = view_options.choose(PAGE, SPARSITY, "Removed, %")
    lab = replace(lab, percent=percent)
    key = robustness_key(lab)
    data = trained.data(lab)

    def make(job: Job) -> tuple[mlp.RobustnessResult, ...]:
        networks = {"dense": network.network}
        for name, criterion in lab.criteria.items():
            plan = mlp.planned(trained.scores(lab, criterion), percent / 100)
            networks[name] = mlp.prune(network.network, plan)
        return mlp.robustness_results(
            networks, data, dense=network.network, progress=job.progress
        )

    known = trained.offer(
        SHAKEN, "Shake them", "Testing under corruption", key, make,
        f"{', '.join(robustness.kinds(data))} at four strengths each, on "
        f"{len(data.test_y):,} test examples; the noise and random's choice are "
        "one draw each.",
    )  # fmt: skip
    if known is not None:
        _show_robustness(known, percent)


def robustness_key(lab: Lab) -> Hashable:
    """Return all that the test under corruption follows from."""
    return lab.network_key, tuple(lab.criteria.values()), lab.percent


def _show_robustness(results: tuple[mlp.RobustnessResult, ...], percent: int) -> None:
    table = robustness.robustness_table(results)
    fragile = mlp.brittleness(results)
    panels.chart(
        charts.shaken_chart(table, robustness.UNITS, dark=panels.is_dark()),
        reading.brittleness_sentence(fragile, percent / 100),
        lambda: table,
        key="lab-shaken",
    )
    points = {c: 100 * fragile[c] for c in list(fragile)[1:]}
    low, high = points.pop("extra_low"), points.pop("extra_high")
    points["ends"] = [f"{a:+.1f} to {b:+.1f}" for a, b in zip(low, high, strict=True)]
    st.dataframe(
        fragile[["network"]].assign(**points),
        hide_index=True,
        column_config={
            "clean": st.column_config.NumberColumn("clean", format="%.1f %%"),
            "shaken": st.column_config.NumberColumn(
                "corrupted", format="%.1f %%", help="Mean over all kinds and strengths"
            ),
            "loss": st.column_config.NumberColumn("falls by, points", format="%.1f"),
            "extra": st.column_config.NumberColumn(
                "more than dense, points", format="%+.1f",
                help="Positive: pruning by it made the network brittle",
            ),
            "ends": st.column_config.TextColumn(
                "its 95 % interval", help="Over the test examples, each against itself"
            ),
        },
    )  # fmt: skip
    st.caption(
        f"{share(percent / 100)} of each hidden layer removed; dense: nothing. "
        "A network that is less accurate when clean has less to lose: read both "
        "columns."
    )
