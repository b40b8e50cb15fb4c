"""What a hidden neuron likes: the pattern it answers to, the images that excite it."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmrank.mlp.network import Network, signals

N_TOP = 8
"""Images that stand for a neuron."""


@dataclass(frozen=True, eq=False)
class PreferredInput:
    """Of one hidden layer, neuron by neuron.

    `top`: the test examples that excite it most, the strongest first, as places in the
    test set. `pattern`: the mean gradient of its sum by the input over these; in the
    first layer, its weights. `dead`: silent on every test example.
    """

    top: Int[Tensor, "n_neurons n_top"]
    pattern: Float[Tensor, "n_neurons d_in"]
    dead: tuple[bool, ...]


def preferred_inputs(
    network: Network, x: Float[Tensor, "n d_in"]
) -> tuple[PreferredInput, ...]:
    """Find for every hidden neuron its pattern and its strongest examples."""
    with torch.no_grad():
        read = signals(network, x)
    return tuple(
        _layer(network, x, read.inputs[layer + 1], layer)
        for layer in range(len(network.widths))
    )


def _layer(network: Network, x: Tensor, answers: Tensor, layer: int) -> PreferredInput:
    top = answers.topk(min(N_TOP, len(x)), dim=0).indices.T
    if layer == 0:
        pattern = network.weights[0].clone()
    else:
        rows = [_pattern(network, x[places], layer, j) for j, places in enumerate(top)]
        pattern = torch.stack(rows)
    silent = (answers.amax(0) - answers.amin(0)) == 0
    return PreferredInput(top, pattern, tuple(silent.tolist()))


def _pattern(network: Network, x: Tensor, layer: int, neuron: int) -> Tensor:
    with torch.enable_grad():
        asked = x.detach().clone().requires_grad_()
        answer = signals(network, asked).sums[layer][:, neuron].mean()
        (gradient,) = torch.autograd.grad(answer, asked)
    return gradient.sum(0)
