"""What the lab has made, by what it follows from: data, networks, scores, sweeps."""

from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st

from llmrank import mlp
from llmrank.core.errors import LLMRankError
from llmrank.core.jobs import Job
from llmrank.core.progress import Progress, silent
from llmrank.methods.criteria import Criterion, Scores
from llmrank.mlp.preferred_inputs import PreferredInput, preferred_inputs
from llmrank.report import mlp_payload
from pages.shared.app import jobs, resources
from pages.shared.lab import files
from pages.shared.lab.settings import Lab


def has_data(lab: Lab) -> bool:
    """Whether the data are at hand; what comes from the hub is fetched by a job."""
    return (
        lab.data.data not in mlp.HUB_SETS
        or resources.lab("data").peek(lab.data) is not None
    )


def data(lab: Lab, progress: Progress = silent) -> mlp.Examples:
    """Return the examples."""
    mlp.check_open(lab.data)
    known = resources.lab("data")
    return known.get(lab.data, lambda: mlp.examples(lab.data, progress=progress))


def trained(lab: Lab) -> mlp.Trained | None:
    """Return the network, if it is trained or loaded.

    Raises:
        LLMRankError: a loaded network is not one for these data.
    """
    if lab.loaded is None:
        known = resources.lab("network").peek(lab.network_key)
        return known or mlp.shipped(lab.data, lab.training)
    if not has_data(lab):
        return None
    network, examples = files.network(lab.loaded), data(lab)
    if (network.sizes[0], network.sizes[-1]) != (examples.d_in, examples.n_classes):
        raise LLMRankError(
            f"the loaded network takes {network.sizes[0]:,} numbers and knows "
            f"{network.sizes[-1]} classes; {examples.source} has {examples.d_in:,} and "
            f"{examples.n_classes}: take other data or another file"
        )
    return mlp.Trained(network, network, ())


def comes_along(lab: Lab) -> bool:
    """Whether the network is the one that was trained beforehand."""
    return resources.lab("network").peek(lab.network_key) is None


def scores(lab: Lab, criterion: Criterion) -> Scores:
    """Score the network's neurons, on training examples."""
    known = resources.lab("scores")
    network = _network(lab)
    return known.get(
        (lab.network_key, criterion), lambda: mlp.score(network, data(lab), criterion)
    )


def sweep(lab: Lab, criterion: Criterion) -> mlp.Sweep:
    """Prune to every sparsity and test, on the examples that are shown."""
    known = resources.lab("sweep")
    network = _network(lab)
    return known.get(
        (lab.network_key, criterion),
        lambda: mlp.sweep(
            network, scores(lab, criterion), data(lab).test_x[: mlp_payload.MAX_IMAGES]
        ),
    )


def likes(lab: Lab) -> tuple[PreferredInput, ...]:
    """Find what every neuron likes among the examples that are shown."""
    known = resources.lab("likes")
    network = _network(lab)
    return known.get(
        lab.network_key,
        lambda: preferred_inputs(network, data(lab).test_x[: mlp_payload.MAX_IMAGES]),
    )


def offer(
    kind: str, label: str, title: str, key: Hashable, make: Callable[[Job], Any],
    about: str,
) -> tuple[Any, str]:  # fmt: skip
    """Offer to make a result in the worker.

    Returns:
        The result, or the one that comes along, or None; and what to say of it.
    """
    results = resources.lab(kind)
    known = results.peek(key)
    busy = jobs.active(kind) or known is not None
    if st.button(label, type="primary", disabled=busy, key=kind):

        def work(job: Job) -> None:
            results.put(key, make(job))

        jobs.start(kind, title, work, key=key, lane="light")
    if known is None and not jobs.active(kind):
        known = mlp.shipped_result(kind, key)
        if known is not None:
            about = f"**What is shown came along: measured by us.** {about}"
    return known, about


def _network(lab: Lab) -> mlp.Network:
    ready = trained(lab)
    assert ready is not None
    return ready.network
