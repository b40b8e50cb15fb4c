"""What the lab works on: data, network and method, from its controls and the link."""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from llmrank import mlp
from llmrank.core import uploads
from llmrank.core.specs import Option, options
from llmrank.methods.criteria import Criterion
from llmrank.mlp import tables
from llmrank.mlp.criteria import SHARED
from llmrank.mlp.datasets import DataSpec
from pages.shared.app import session, view_options
from pages.shared.app.uploads import uploader
from pages.shared.lab import files

PAGE = "mlp"
OWN = "own file"

DATA = Option(
    "data", str, "digits", "Digits and MNIST 5,000 are embedded; the others are "
    "fetched from the Hugging Face hub; a .csv or .npz file is read here",
    choices=(*mlp.TITLES, OWN),
)  # fmt: skip
DEPTH = Option("depth", int, 2, "How many hidden layers lie between input and classes",
               1, 6)  # fmt: skip
LABELS = {
    "activation": "Activation function",
    "dropout": "Dropout",
    "learning_rate": "Learning rate",
    "batch": "Examples per step",
    "seed": "Seed",
    "theta": "θ: weight against degree",
    "gamma": "γ: graph against activation",
    "data_seed": "Seed of the test set",
}
SPARSITY = Option(
    "sparsity", int, 30, "Per cent of each hidden layer's neurons removed", 0, 99
)
RIVALS = view_options.Several(
    "rivals", "Compared with", tuple(SHARED), ("random", "l1", "activation", "wanda"),
    help="Registered criteria of language models that apply to MLPs, with their usual "
    "parameters",
)  # fmt: skip


@dataclass(frozen=True)
class Lab:
    """All that the lab's results follow from; the key of what is remembered."""

    data: DataSpec
    training: mlp.MLPSpec
    ranked: mlp.MLPRank
    rivals: tuple[str, ...]
    chosen: str
    percent: int
    loaded: str | None = None
    """The upload of a network that was loaded instead of trained."""

    @property
    def network_key(self) -> tuple[object, ...]:
        """What the network follows from."""
        if self.loaded:
            return self.data, self.loaded
        return self.data, self.training

    @property
    def criteria(self) -> dict[str, Criterion]:
        """What competes, by the names that charts show."""
        chosen: dict[str, Criterion] = {"mlp-rank": self.ranked}
        return chosen | {name: mlp.criterion(name) for name in self.rivals}

    @property
    def by(self) -> Criterion:
        """The criterion in hand."""
        return self.criteria.get(self.chosen, self.ranked)

    @property
    def sparsity(self) -> float:
        """The share that is removed."""
        return self.percent / 100


def asked() -> Lab:
    """Draw the controls, a popover for each part, and return what they ask for."""
    _check_link()
    with st.popover("Data", icon=":material/database:"):
        data = _data()
    with st.popover("Network", icon=":material/hub:"):
        training, loaded = _network()
    with st.popover("Method", icon=":material/tune:"):
        ranked = _ranked()
        rivals = tuple(view_options.choose_several(PAGE, RIVALS))
    chosen = session.views().get(f"{PAGE}.criterion", "mlp-rank")
    percent = view_options.value(PAGE, SPARSITY)
    return Lab(data, training, ranked, rivals, chosen, percent, loaded)


def _check_link() -> None:
    """Say what a link asks for in vain here: inside a popover nobody would see it."""
    declared = (_training(o.name) for o in options(mlp.MLPSpec) if o.name != "widths")
    ranked, data_seed = (
        options(mlp.MLPRank),
        view_options.option_of(DataSpec, "data_seed"),
    )
    widths = map(_width, range(int(DEPTH.high)))
    for o in (DATA, data_seed, DEPTH, *widths, *declared, *ranked):
        nearest = view_options.value(PAGE, o)
        session.view(f"{PAGE}.{o.name}", None if nearest == o.default else str(nearest))


def _data() -> DataSpec:
    name = session.views().get(f"{PAGE}.file", "")
    if not uploads.is_open(name):
        name = ""  # a link names no path of the server's, and no other's upload
    titles = {**mlp.TITLES, OWN: "Own file (CSV, npz)"}
    choice = view_options.choose(PAGE, DATA, "Data set", titles=titles)
    data_seed = view_options.option_of(DataSpec, "data_seed")
    seed = view_options.choose(PAGE, data_seed, LABELS["data_seed"])
    if choice != OWN:
        return DataSpec(choice, seed)
    brought = uploader(
        "CSV or .npz", ["csv", "tsv", "npz"], key="lab_table", keep=tables.keep,
        help="CSV: one row per example, numbers, the label in a column of that name or "
        "the last; commas, semicolons or tabs between. npz: arrays x and y; pictures "
        "as [examples, height, width]. Pickled objects are refused.",
    )  # fmt: skip
    if brought is not None:
        name = brought
        session.view(f"{PAGE}.file", name)
    if not name:
        st.caption("No usable file yet: digits are shown until there is one.")
    return DataSpec(name or "digits", seed)


def _network() -> tuple[mlp.MLPSpec, str | None]:
    """Ask for a network to train, or for the file of one."""
    loaded = files.chosen(PAGE)
    if loaded:
        return mlp.MLPSpec(), loaded
    widths = _widths(view_options.choose(PAGE, DEPTH, "Hidden layers"))
    fields: dict[str, Any] = {"widths": widths}
    for name in ("activation", "dropout", "epochs"):
        fields[name] = _choose(_training(name))
    columns = st.columns(3)
    for column, name in zip(columns, ("learning_rate", "batch", "seed"), strict=True):
        with column:
            fields[name] = _choose(_training(name), form="field")
    return mlp.MLPSpec(**fields), None


def _widths(depth: int) -> str:
    """Ask for each layer's width, the first by default the widest."""
    widths = []
    for layer in range(depth):
        if layer % 3 == 0:
            columns = st.columns(min(3, depth))
        with columns[layer % 3]:
            # a slider of two thousand steps does not fit a column
            words = f"Layer {layer + 1}"
            widths.append(view_options.choose(PAGE, _width(layer), words, form="field"))
    return ",".join(map(str, widths))


def _width(layer: int) -> Option:
    return Option(f"width{layer}", int, max(16, 128 >> layer),
                  "Neurons of this hidden layer", 1, 2048)  # fmt: skip


def _choose(o: Option, **look: Any) -> Any:
    return view_options.choose(PAGE, o, LABELS.get(o.name), **look)


def _training(name: str) -> Option:
    o = view_options.option_of(mlp.MLPSpec, name)
    if name == "epochs":
        return replace(o, high=200)
    high = {"learning_rate": 1.0, "dropout": 0.9, "batch": 1024}.get(name)
    return replace(o, high=high, below=None) if high else o


def _ranked() -> mlp.MLPRank:
    names = ("variant", "theta", "gamma", "graph", "site")
    st.button(
        "The authors' setting", on_click=_authors, type="tertiary",
        help="θ 0.5, γ 0.9 and activation before the function, as in "
        "amazon-science/mlp-rank-pruning",
    )  # fmt: skip
    fields: dict[str, Any] = {}
    for name in names:
        if name in ("theta", "gamma") and fields["variant"] == "modified":
            continue
        fields[name] = _choose(view_options.option_of(mlp.MLPRank, name))
    return mlp.MLPRank(**fields)


def _authors() -> None:
    own = {"theta": 0.5, "gamma": 0.9, "site": "up", "graph": "chained",
           "variant": "weighted"}  # fmt: skip
    view_options.put(PAGE, own)
