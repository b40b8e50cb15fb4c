"""An MLP's numbers for the browser: images, every sparsity's answers, the network."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from llmrank.methods.criteria import Scores
from llmrank.mlp.example_sets import Examples, Shape
from llmrank.mlp.network import Network
from llmrank.mlp.preferred_inputs import PreferredInput
from llmrank.mlp.pruning import Sweep
from llmrank.report.charts.mlps import criterion_place
from llmrank.report.payload import pack

MAX_IMAGES = 1000
"""Test examples that answer while one drags; of larger sets the first ones."""

MAX_DRAWN_WEIGHTS = 2_000_000
"""Weights up to which a network goes to the browser whole, to be run there."""


def of_images(name: str, data: Examples) -> bytes:
    """Pack the test examples that are shown; rows of a table are drawn as one line."""
    x = data.test_x[:MAX_IMAGES]
    shape = data.shape or Shape(1, data.d_in)
    if data.shape is None:
        x = (x / 6 + 0.5).clamp(0, 1)  # three spreads to either side of the mean
    labels = data.test_y[:MAX_IMAGES].to(torch.uint8)
    sections = {"images": (255 * x).round().to(torch.uint8), "labels": labels}
    if data.shape is None:  # pictures are bytes; rows of a table are not
        sections["inputs"] = data.test_x[:MAX_IMAGES]
    return pack(
        name,
        sections,
        classes=data.classes,
        shape=[shape.height, shape.width, shape.channels],
        nTest=len(data.test_y),
        source=data.source,
    )


def of_sweeps(name: str, sweeps: Mapping[str, Sweep]) -> bytes:
    """Pack what every criterion's smaller networks take the examples for."""
    first = next(iter(sweeps.values()))
    return pack(
        name,
        {"predictions": torch.stack([s.predictions for s in sweeps.values()])},
        criteria=list(sweeps),
        places=[criterion_place(name) for name in sweeps],
        sparsities=first.sparsities,
        widths=first.widths,
        params=first.n_params,
    )


def of_network(
    name: str, network: Network, liked: Sequence[PreferredInput], scores: Scores
) -> bytes:
    """Pack a network with what its neurons like and how they score."""
    sections: dict[str, Tensor] = {}
    for layer, (weight, bias) in enumerate(
        zip(network.weights, network.biases, strict=True)
    ):
        sections |= {f"w{layer}": weight.float(), f"b{layer}": bias.float()}
    for layer, (likes, score) in enumerate(zip(liked, scores.layers, strict=True)):
        top = likes.pattern.abs().amax(1, keepdim=True)
        scaled = 127 * likes.pattern / torch.where(top > 0, top, 1.0)
        sections |= {
            f"pattern{layer}": scaled.round().to(torch.int8),
            f"top{layer}": likes.top.to(torch.int32),
            f"score{layer}": score.float(),
        }
    return pack(
        name,
        sections,
        sizes=network.sizes,
        activation=network.activation,
        dead=[likes.dead for likes in liked],
    )
