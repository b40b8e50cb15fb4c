"""Images or rows of numbers with their classes, split for training and testing."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import LLMRankError

TEST_SHARE = 0.2
"""Of each class, where the data come without a test set of their own."""

MIN_EXAMPLES = 20
MAX_CLASSES = 100
MAX_ROWS = 100_000
MAX_FEATURES = 20_000
MAX_VALUES = 60_000_000
"""Numbers in all: the 70,000 pictures of MNIST, and all else in 2 GB of memory."""


@dataclass(frozen=True)
class Shape:
    """How an example's numbers lie in a picture: row by row, channels innermost."""

    height: int
    width: int
    channels: int = 1

    @property
    def size(self) -> int:
        """How many numbers an example has."""
        return self.height * self.width * self.channels


@dataclass(frozen=True, eq=False)
class Examples:
    """What an MLP is trained and tested on.

    Pictures lie in [0, 1]; rows of a table are standardised by the training rows.
    `shape` is None where an example is no picture.
    """

    train_x: Float[Tensor, "n_train d_in"]
    train_y: Int[Tensor, " n_train"]
    test_x: Float[Tensor, "n_test d_in"]
    test_y: Int[Tensor, " n_test"]
    classes: tuple[str, ...]
    shape: Shape | None
    source: str
    about: str = ""
    """Of an own file: what was read and what was left out, in a line."""

    @property
    def d_in(self) -> int:
        """Numbers in an example."""
        return self.train_x.shape[1]

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @property
    def sha256(self) -> str:
        """The hash of all numbers and classes, as they are split."""
        digest = hashlib.sha256()
        for values in (self.train_x, self.train_y, self.test_x, self.test_y):
            digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()


def split(
    x: Float[Tensor, "n d_in"],
    y: Int[Tensor, " n"],
    classes: tuple[str, ...],
    *,
    shape: Shape | None,
    source: str,
    seed: int,
) -> Examples:
    """Keep a fifth of every class for the test, drawn by the seed.

    Raises:
        LLMRankError: too few examples, or too few or too many classes.
    """
    check(y, classes, source)
    is_test = torch.zeros(len(y), dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for label in range(len(classes)):
        members = (y == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        is_test[members[: max(1, round(TEST_SHARE * len(members)))]] = True
    parts = (x[~is_test], y[~is_test], x[is_test], y[is_test])
    return Examples(*parts, classes, shape, source)


def check(y: Int[Tensor, " n"], classes: tuple[str, ...], source: str) -> None:
    """Refuse data that nothing can be learnt from.

    Raises:
        LLMRankError: saying what is missing.
    """
    if len(y) < MIN_EXAMPLES:
        raise LLMRankError(
            f"{source} has {len(y)} rows; at least {MIN_EXAMPLES} are needed to train "
            "and to test"
        )
    if not 2 <= len(classes) <= MAX_CLASSES:
        raise LLMRankError(
            f"{source} has {len(classes)} different label{'s' * (len(classes) != 1)}; "
            f"between 2 and {MAX_CLASSES} classes are allowed: check which column or "
            "array holds the labels"
        )
    counts = torch.bincount(y, minlength=len(classes))
    if counts.min() < 2:
        rare = classes[int(counts.argmin())]
        raise LLMRankError(
            f"{source} has class {rare[:40]!r} {int(counts.min())} times; each class "
            "needs 2 rows at least, one to train and one to test"
        )


def too_large(name: str, has: str, most: str) -> LLMRankError:
    """Say that a file is larger than is read."""
    return LLMRankError(
        f"{name} has {has} and at most {most} are read here; keep a sample of it"
    )
