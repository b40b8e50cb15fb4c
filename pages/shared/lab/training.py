"""Training in the page: one button, live loss and accuracy, and the finished curve."""

import pandas as pd
import streamlit as st

from llmrank import mlp
from llmrank.core.formatting import counted, number, share
from llmrank.core.jobs import Job, JobView
from llmrank.core.statistics import proportion, share_spread
from llmrank.report import charts
from llmrank.report.mlp_payload import MAX_IMAGES
from pages.shared.app import jobs, panels, resources
from pages.shared.app.escape import plain
from pages.shared.app.uploads import named
from pages.shared.lab import trained
from pages.shared.lab.settings import Lab

KIND = "mlp"
COLUMNS = {
    "loss": "loss",
    "train_accuracy": "training set",
    "test_accuracy": "test set",
}


def show(lab: Lab) -> mlp.Trained | None:
    """Return the network; where there is none yet, offer to train it."""
    ready = trained.trained(lab)
    running = jobs.active(KIND)
    if ready is None and not running:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Train it", type="primary", key="lab_train"):
                start(lab)
            st.caption(
                "No such network yet: seconds for the embedded sets on one core; loss "
                "and accuracy are shown after every epoch, and it can be stopped."
            )
    jobs.here(KIND)
    jobs.endings()
    if running and ready is None:
        jobs.live(KIND, _live)
    return ready


def show_recipe(lab: Lab, model: mlp.Trained | None) -> None:
    """Say what was learnt from what, and how well; offer how it went, and the file."""
    st.caption(_about(lab, model))
    if trained.has_data(lab) and trained.data(lab).about:
        st.caption(plain(trained.data(lab).about))
    if model is None:
        return
    if model.epochs:
        with st.expander("How the training went"):
            _show_curves(model.epochs)
    st.download_button(
        "The dense network (safetensors)", lambda: mlp.as_bytes(model.network),
        "mlp.safetensors", on_click="ignore", icon=":material/download:",
        help="Loads here again, and anywhere safetensors are read",
    )  # fmt: skip


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


def _live(seen: JobView) -> None:
    if isinstance(seen.partial, tuple) and seen.partial:
        _show_curves(seen.partial, live=True)
    else:
        st.caption("The first epoch appears here when it is over.")


def _show_curves(epochs: tuple[mlp.Epoch, ...], *, live: bool = False) -> None:
    """Draw loss and accuracy of every epoch."""
    table, last = _table(epochs), epochs[-1]
    after = f"after {counted(len(epochs), 'epoch')}"
    for place, title, columns, said in zip(
        st.columns(2),
        ("mean loss", "accuracy"),
        (("loss",), ("training set", "test set")),
        (
            f"Loss {number(last.loss)} {after} (cross-entropy, training set).",
            f"Of the test set {share(last.test_accuracy)} are right {after}, of the "
            f"training set {share(last.train_accuracy)}.",
        ),
        strict=True,
    ):
        fig = charts.learning_curve(table, columns, title, dark=panels.is_dark())
        with place:
            if live:
                st.plotly_chart(
                    fig, theme=None, config=charts.CONFIG, key=f"live_{title}"
                )
                st.caption(said)
            else:
                panels.chart(fig, said, lambda: table, key=f"lab-{title}")


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
        f"**{title}**: {len(data.train_y):,} examples to train, {len(data.test_y):,} "
        f"to test, {data.n_classes} classes"
    ]
    if model is None:
        sizes = (data.d_in, *lab.training.hidden, data.n_classes)
        return " · ".join([*said, f"**{_sizes(sizes)}**, not trained yet"])
    training, dense = lab.training, model.network
    said.append(f"**{_sizes(dense.sizes)}**, {dense.activation}")
    said.append(counted(dense.n_params, "parameter"))
    if model.epochs:
        how = "comes along" if trained.comes_along(lab) else "trained here"
        said.append(f"{how}: {counted(training.epochs, 'epoch')}, seed {training.seed}")
    right = (mlp.predictions(dense, data.test_x) == data.test_y).tolist()
    said.append(
        f"{share_spread(proportion(sum(right), len(right)))} of the test set right"
    )
    if len(right) > MAX_IMAGES:
        said.append(f"{MAX_IMAGES:,} of it are shown")
    return " · ".join(said)


def _sizes(sizes: tuple[int, ...]) -> str:
    return " → ".join(f"{n:,}" for n in sizes)
