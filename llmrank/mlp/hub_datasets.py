"""Image sets of the Hugging Face hub, read from their parquet files: data, no code."""

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.progress import Progress, silent, track
from llmrank.mlp.example_sets import MAX_ROWS, Examples, Shape
from llmrank.models import hub


@dataclass(frozen=True)
class HubSet:
    """Where an image set lies and what its columns are called."""

    repository: str
    image: str
    label: str
    shape: Shape
    n_classes: int


BROKEN = (
    OSError, LookupError, TypeError, ValueError, SyntaxError, EOFError, OverflowError,
    struct.error, pyarrow.ArrowException,
)  # fmt: skip
"""What pyarrow and PIL raise at files that are damaged; a broken PNG is bad syntax."""

HUB_SETS = {
    "mnist": HubSet("ylecun/mnist", "image", "label", Shape(28, 28), 10),
    "fashion-mnist": HubSet(
        "zalando-datasets/fashion_mnist", "image", "label", Shape(28, 28), 10
    ),
    "cifar-10": HubSet("uoft-cs/cifar10", "img", "label", Shape(32, 32, 3), 10),
    "cifar-100": HubSet("uoft-cs/cifar100", "img", "fine_label", Shape(32, 32, 3), 100),
}


def read_hub(name: str, *, progress: Progress = silent) -> Examples:
    """Fetch an image set, or take it from the hub's cache, and decode its pictures.

    Raises:
        LLMRankError: no connection, or not the files that are expected.
        CancelledError: from `progress`.
    """
    source = HUB_SETS[name]
    folder = hub.fetch_data(source.repository, progress=progress)
    train = _read(folder, "train", source, progress)
    test = _read(folder, "test", source, progress)
    classes = _names(folder, source)
    said = f"{source.repository} of the hub"
    return Examples(*train, *test, classes, source.shape, said)


def _read(
    folder: Path, part: str, hub_set: HubSet, progress: Progress
) -> tuple[Float[Tensor, "n d_in"], Int[Tensor, " n"]]:
    """Decode one part of a set, in the order of its files."""
    files = sorted(folder.rglob(f"{part}*.parquet"))
    if not files:
        raise LLMRankError(
            f"{hub_set.repository} came without {part} files; remove its folder from "
            "the hub's cache and try again"
        )
    pictures: list[Any] = []
    labels: list[int] = []
    try:
        for file in files:
            if parquet.read_metadata(file).num_rows > MAX_ROWS:
                raise ValueError(f"more than {MAX_ROWS:,} rows")
            table = parquet.read_table(file, columns=[hub_set.image, hub_set.label])
            pictures += [row["bytes"] for row in table[hub_set.image].to_pylist()]
            labels += table[hub_set.label].to_pylist()
        x = _decoded(
            pictures, hub_set.shape, f"Decoding {hub_set.repository}, {part}", progress
        )
        allowed = range(hub_set.n_classes)
        if not labels or any(type(n) is not int or n not in allowed for n in labels):
            raise ValueError(f"labels other than 0 to {hub_set.n_classes - 1}")
    except BROKEN as error:
        raise LLMRankError(
            f"{hub_set.repository}'s {part} files are not what is expected "
            f"({str(error)[:80]}); remove its folder from the hub's cache and try again"
        ) from error
    return x, torch.tensor(labels)


def _decoded(
    pictures: Sequence[bytes], shape: Shape, what: str, progress: Progress
) -> Float[Tensor, "n d_in"]:
    from PIL import Image

    mode = "L" if shape.channels == 1 else "RGB"
    pixels = np.empty((len(pictures), shape.size), dtype=np.uint8)
    chunk = 2000
    for start in track(range(0, len(pictures), chunk), what, progress):
        for place, content in enumerate(pictures[start : start + chunk], start):
            try:
                picture = Image.open(io.BytesIO(content))
            except Image.DecompressionBombError as error:
                raise ValueError(str(error)) from error
            if picture.size != (shape.width, shape.height):  # before it is decoded
                raise ValueError(f"a picture of {picture.size}")
            pixels[place] = np.asarray(picture.convert(mode)).reshape(-1)
    return torch.from_numpy(pixels).float() / 255


def _names(folder: Path, hub_set: HubSet) -> tuple[str, ...]:
    """Read the classes' names that the parquet files carry, or number them."""
    file = sorted(folder.rglob("test*.parquet"))[0]
    said = (parquet.read_schema(file).metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(said)["info"]["features"]
        names = tuple(str(n)[:24] for n in features[hub_set.label]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        names = ()
    return (
        names
        if len(names) == hub_set.n_classes
        else tuple(map(str, range(hub_set.n_classes)))
    )
