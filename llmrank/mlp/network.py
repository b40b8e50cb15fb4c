"""An MLP as tensors: its layers, its signals, the really smaller one."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

ActivationName = Literal["relu", "tanh", "gelu", "sigmoid"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, eq=False)
class Network:
    """A multilayer perceptron: one matrix `[n_out, n_in]` and one bias per layer.

    The last layer gives the logits of the classes; what stands between are hidden
    layers, whose neurons are pruned.
    """

    weights: tuple[Float[Tensor, "_ _"], ...]
    biases: tuple[Float[Tensor, " _"], ...]
    activation: ActivationName = "relu"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, neurons of each hidden layer, classes."""
        return (self.weights[0].shape[1], *(len(w) for w in self.weights))

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return self.sizes[1:-1]

    @property
    def n_params(self) -> int:
        """Weights and biases."""
        return sum(p.numel() for p in (*self.weights, *self.biases))


@dataclass(frozen=True, eq=False)
class Signals:
    """What each layer gets, before and after its activation function.

    `inputs[i]` enters layer i (of the first: the example), `sums[i]` leaves it before
    the function; the last sums are the logits.
    """

    inputs: tuple[Float[Tensor, "n _"], ...]
    sums: tuple[Float[Tensor, "n _"], ...]


def initial(
    sizes: Sequence[int], activation: ActivationName, generator: torch.Generator
) -> Network:
    """Draw He's normal weights; biases are zero.

    Source: He et al. 2015, arXiv 1502.01852, Eq. 10.
    """
    weights = [
        torch.randn(n_out, n_in, generator=generator) * (2 / n_in) ** 0.5
        for n_in, n_out in itertools.pairwise(sizes)
    ]
    return Network(tuple(weights), tuple(torch.zeros(n) for n in sizes[1:]), activation)


def signals(
    network: Network,
    x: Float[Tensor, "n d_in"],
    between: Callable[[Tensor], Tensor] = lambda hidden: hidden,
) -> Signals:
    """Run examples through the network and keep every layer's signal.

    Args:
        network: whose parameters may ask for gradients.
        x: the examples.
        between: applied to each hidden layer's output (dropout, in training).
    """
    act = ACTIVATIONS[network.activation]
    inputs, sums = [x], []
    for weight, bias in zip(network.weights, network.biases, strict=True):
        sums.append(functional.linear(inputs[-1], weight, bias))
        inputs.append(between(act(sums[-1])))
    return Signals(tuple(inputs[:-1]), tuple(sums))


def logits(
    network: Network, x: Float[Tensor, "n d_in"]
) -> Float[Tensor, "n n_classes"]:
    """Run examples through the network."""
    return signals(network, x).sums[-1]


@torch.inference_mode()
def predictions(network: Network, x: Float[Tensor, "n d_in"]) -> Int[Tensor, " n"]:
    """Return the class each example is taken for."""
    return torch.cat([logits(network, part).argmax(1) for part in x.split(4096)])


def accuracy(
    network: Network, x: Float[Tensor, "n d_in"], y: Int[Tensor, " n"]
) -> float:
    """Return the share of examples that are taken for what they are."""
    return float((predictions(network, x) == y).double().mean())


def cut(network: Network, keep: Sequence[Int[Tensor, " _"] | slice]) -> Network:
    """Return the really smaller network: rows of a layer and columns of the next.

    Args:
        network: the dense one, which is untouched.
        keep: the neurons of each hidden layer that stay, in the order they then stand;
            slices make views.
    """
    weights, biases = list(network.weights), list(network.biases)
    for layer, kept in enumerate(keep):
        weights[layer], biases[layer] = weights[layer][kept], biases[layer][kept]
        weights[layer + 1] = weights[layer + 1][:, kept]
    return replace(network, weights=tuple(weights), biases=tuple(biases))


def mapped(network: Network, change: Callable[[Tensor], Tensor]) -> Network:
    """Return the network with every matrix and bias changed."""
    return replace(
        network,
        weights=tuple(map(change, network.weights)),
        biases=tuple(map(change, network.biases)),
    )
