"""Training in the page: one button, live loss and accuracy, and the finished curve."""

import pandas as pd
import streamlit as st

from llmrank import mlp
from llmrank.core.formatting import number, share
from llmrank.core.jobs import Job, JobView
from llmrank.report import charts
from llmrank.report.mlp_payload import MAX_IMAGES
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain
from pages.shared.app.uploads import named
from pages.shared.lab import trained
from pages.shared.lab.sidebar import Lab

KIND = "mlp"
COLUMNS = {
    "loss": "loss",
    "train_accuracy": "training set",
    "test_accuracy": "test set",
}


def show(lab: Lab) -> mlp.Trained | None:
    """Show what there is of the network; offer to train it."""
    ready = trained.trained(lab)
    running = is_running()
    with st.container(border=True):
        st.markdown(_about(lab, ready))
        if trained.has_data(lab) and trained.data(lab).about:
            st.caption(plain(trained.data(lab).about))
        if ready is None and not running:
            if st.button("Train it", type="primary", key="lab_train"):
                start(lab)
            st.caption(
                "Seconds for the embedded sets on one core; it shows loss and accuracy "
                "after every epoch, and can be stopped."
            )
    jobs.here(KIND)
    jobs.endings()
    if running and ready is None:
        jobs.live(KIND, _live)
    return ready


def is_running() -> bool:
    """Whether a network is being trained for this visitor."""
    return jobs.active(KIND)


def start(lab: Lab) -> None:
    """Fetch the data where they are not here, and train."""
    known = resources.lab("network")
    mlp.check_open(lab.data)

    def work(job: Job) -> None:
        examples = trained.data(lab, job.progress)
        made = mlp.train(
            lab.training, examples, progress=job.progress, publish=job.publish
        )
        known.put(lab.network_key, made)

    title, key = "Training the network", lab.network_key
    jobs.start(KIND, title, work, key=key, lane="light")


def show_history(trained: mlp.Trained) -> None:
    """Draw loss and accuracy of every epoch."""
    last = trained.epochs[-1]
    left, right = st.columns(2)
    table = _table(trained.epochs)
    with left:
        panels.chart(
            charts.learning_curve(table, ("loss",), "mean loss", dark=panels.is_dark()),
            f"The loss ends at {number(last.loss)} (cross-entropy, training set).",
            lambda: table,
            key="lab-loss",
        )
    with right:
        panels.chart(
            charts.learning_curve(
                table, ("training set", "test set"), "accuracy", dark=panels.is_dark()
            ),
            f"Of the test set {share(last.test_accuracy)} are right at the end, of the "
            f"training set {share(last.train_accuracy)}.",
            lambda: table,
            key="lab-accuracy",
        )


def show_files(network: mlp.Network) -> None:
    """Offer the network as a file."""
    st.download_button(
        "The dense network (safetensors)", lambda: mlp.as_bytes(network),
        "mlp.safetensors", on_click="ignore", icon=":material/download:",
        help="Loads here again, and anywhere safetensors are read",
    )  # fmt: skip


def _live(seen: JobView) -> None:
    if not isinstance(seen.partial, tuple) or not seen.partial:
        st.caption("The first epoch appears here when it is over.")
        return
    table = _table(seen.partial)
    last = seen.partial[-1]
    st.markdown(
        f"Epoch {len(table)}: loss {number(last.loss)}, "
        f"test set {share(last.test_accuracy)} right."
    )
    left, right = st.columns(2)
    for column, names, title in (
        (left, ("loss",), "mean loss"),
        (right, ("training set", "test set"), "accuracy"),
    ):
        fig = charts.learning_curve(table, names, title, dark=panels.is_dark())
        column.plotly_chart(fig, theme=None, config=charts.CONFIG, key=f"live_{title}")


def _table(epochs: tuple[mlp.Epoch, ...]) -> pd.DataFrame:
    table = pd.DataFrame([vars(e) for e in epochs]).rename(columns=COLUMNS)
    table.insert(0, "epoch", range(1, len(table) + 1))
    return table


def _about(lab: Lab, model: mlp.Trained | None) -> str:
    """Say in a line what is worked on."""
    title = mlp.TITLES.get(lab.data.data, "own data")
    if not trained.has_data(lab):
        return f"**{title}** · not fetched yet; training fetches it from the hub"
    data = trained.data(lab)
    if lab.data.data not in mlp.TITLES:
        title = plain(named(lab.data.data), limit=40)
    said = [
        f"**{title}** · {len(data.train_y):,} to train, {len(data.test_y):,} to test, "
        f"{data.n_classes} classes"
    ]
    if model is None:
        sizes = (data.d_in, *lab.training.hidden, data.n_classes)
        return " &emsp; ".join([*said, f"**{_sizes(sizes)}** · not trained yet"])
    right = mlp.accuracy(model.network, data.test_x, data.test_y)
    tested = f"{share(right)} of the test set right"
    more = f"; {MAX_IMAGES:,} of it are shown" if len(data.test_y) > MAX_IMAGES else ""
    network = (
        f"**{_sizes(model.network.sizes)}**, {model.network.activation}, "
        f"{model.network.n_params:,} parameters · {tested}{more}"
    )
    return " &emsp; ".join([*said, network])


def _sizes(sizes: tuple[int, ...]) -> str:
    return " → ".join(f"{n:,}" for n in sizes)
