"""The lesson's network: 3 inputs, 4 and 3 hidden neurons, 2 outputs, given by weights.

Two examples pass through it, with ReLU after the hidden layers and no biases. All is
computed in float64; assets/lesson/network.js does the same in the browser.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from llmrank.core.errors import OptionError
from llmrank.core.specs import option, spec
from llmrank.methods.criteria import Scores
from llmrank.methods.pagerank import (
    distribution,
    edge_terms,
    weighted_pagerank,
    weighted_sum,
)
from llmrank.methods.pruning import PruningPlan, PruningSpec, plan
from llmrank.mlp import network as mlp
from llmrank.mlp.network import signals

SIZES = (3, 4, 3, 2)
LAYERS = ("input", "hidden A", "hidden B", "output")
NODES = tuple(
    tuple(f"{letter}{i + 1}" for i in range(n))
    for letter, n in zip("xABy", SIZES, strict=True)
)

WEIGHTS: tuple[tuple[tuple[float, ...], ...], ...] = (
    ((2, 0, 0), (0.5, 0.75, 2), (-1, 2.5, 1), (0.5, -0.75, 1)),
    ((1, -1, 0, 0), (-0.5, 1, 0.5, -2), (0.5, 0, -1.5, 0)),
    ((0.5, 1.5, -0.5), (-0.5, -1.5, 1.5)),
)
"""One row per target. Column sums of |weights| and all norms come out even."""

EXAMPLES = ((3.0, 2.0, 0.0), (4.0, 0.0, 1.0))

MAX_WEIGHT = 100.0
DECIMALS = 12
"""Scores that agree so far are a tie, whatever rounding made of their last bits."""


@spec
class LessonSpec:
    """What the sliders of the lesson set."""

    theta: float = option(
        default=0.5, low=0, high=1, help="1 follows edge weights, 0 counts edges"
    )
    gamma: float = option(
        default=0.5, low=0, high=1, help="1 trusts the edges, 0 the activation"
    )
    sparsity: float = option(
        default=0.3, low=0, high=0.9, help="Share of each hidden layer that is cut"
    )


@dataclass(frozen=True)
class Network:
    """Matrices from layer to layer, and the examples that pass through."""

    weights: tuple[Float64[Tensor, "_ _"], ...]
    examples: Float64[Tensor, "n_examples n_in"]

    @property
    def perceptron(self) -> mlp.Network:
        """The same without examples: a perceptron with ReLU and no biases."""
        zeros = (w.new_zeros(len(w)) for w in self.weights)
        return mlp.Network(self.weights, tuple(zeros))

    @property
    def n_weights(self) -> int:
        """How many numbers its matrices hold, zeros too."""
        return sum(w.numel() for w in self.weights)


@dataclass(frozen=True)
class Answers:
    """The outputs before and after a cut, one row per example."""

    before: Float64[Tensor, "n_examples n_out"]
    after: Float64[Tensor, "n_examples n_out"]

    @property
    def kept(self) -> tuple[bool, ...]:
        """Per example, whether the same output is still the largest.

        Equal outputs are no answer: a network cut to silence has not kept one.
        """
        pairs = zip(self.before, self.after, strict=True)
        return tuple(_answer(a) == _answer(b) for a, b in pairs)


def _answer(outputs: Float64[Tensor, " n_out"]) -> int | None:
    """Return which output is the largest, or none where several are."""
    (places,) = torch.nonzero(outputs == outputs.max(), as_tuple=True)
    return int(places[0]) if len(places) == 1 else None


def network(numbers: Sequence[float] | None = None) -> Network:
    """Build the network; without numbers the lesson's own.

    Args:
        numbers: all weights, matrix by matrix and row by row.

    Raises:
        OptionError: not as many as there are edges, or one that is NaN or too large.
    """
    if numbers is None:
        numbers = [w for matrix in WEIGHTS for row in matrix for w in row]
    shapes = [(n_out, n_in) for n_in, n_out in itertools.pairwise(SIZES)]
    wanted = sum(n_out * n_in for n_out, n_in in shapes)
    if len(numbers) != wanted:
        raise OptionError(f"the lesson has {wanted} weights, got {len(numbers)}")
    for number in numbers:
        if not abs(number) <= MAX_WEIGHT:  # true for NaN too
            raise OptionError(
                f"a weight of the lesson must lie in [-{MAX_WEIGHT:g}, "
                f"{MAX_WEIGHT:g}], got {number:g}"
            )
    flat = torch.tensor([float(n) for n in numbers], dtype=torch.float64)
    parts = flat.split([math.prod(shape) for shape in shapes])
    matrices = tuple(p.reshape(s) for p, s in zip(parts, shapes, strict=True))
    return Network(matrices, torch.tensor(EXAMPLES, dtype=torch.float64))


def activations(net: Network) -> tuple[Float64[Tensor, "n_examples _"], ...]:
    """Return what every node gives out on every example, layer by layer."""
    passed = signals(net.perceptron, net.examples)
    return (*passed.inputs, passed.sums[-1])


def priors(net: Network) -> tuple[Float64[Tensor, " _"], ...]:
    """Return each layer's activation prior: the L2 norm over the examples, as shares.

    A layer of which no node gives anything out has equal shares.
    """
    return tuple(distribution(values.norm(dim=0)) for values in activations(net))


def edge_shares(
    weights: Float64[Tensor, "n_out n_in"], theta: float
) -> Float64[Tensor, "n_out n_in"]:
    """Return what share of its importance each node sends along each edge.

    θ of the share by weight and 1 − θ of an equal share for every edge; a column sums
    to 1, or to 0 where a node has no edge.
    """
    n_out, n_in = weights.shape
    ones = torch.eye(n_in, dtype=torch.float64)
    by_weight, by_degree, _ = edge_terms(weights, ones, ones.new_ones(n_out))
    return weighted_sum((theta, 1 - theta), (by_weight, by_degree)).T


def scores(
    net: Network, *, theta: float, gamma: float
) -> tuple[Float64[Tensor, " _"], ...]:
    """Send importance from the inputs through the network, a layer at each step.

    Returns:
        The importance of the nodes of each layer, inputs and outputs too; sums to 1.

    Source: arXiv 2410.13299, Eq. 7, on the chain of linear layers.
    """
    every, prior = priors(net)[:1], priors(net)
    for weights, b in zip(net.weights, prior[1:], strict=True):
        step = weighted_pagerank(weights, every[-1], b, theta=theta, gamma=gamma)
        every = (*every, step)
    return every


def sharpened(values: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Round scores so far that ties are ties."""
    return torch.round(values, decimals=DECIMALS)


def cut_plan(net: Network, spec: LessonSpec) -> PruningPlan:
    """Choose which hidden neurons stay; inputs and outputs always do."""
    ranks = scores(net, theta=spec.theta, gamma=spec.gamma)[1:-1]
    hidden = Scores(tuple(sharpened(s) for s in ranks))
    return plan(hidden, PruningSpec(sparsity=spec.sparsity))


def cut(net: Network, plan: PruningPlan) -> Network:
    """Return the smaller network: rows and columns gone, not zeros."""
    return Network(mlp.cut(net.perceptron, plan.keep).weights, net.examples)


def answers(net: Network, plan: PruningPlan) -> Answers:
    """Compare what comes out before and after the cut."""
    return Answers(activations(net)[-1], activations(cut(net, plan))[-1])
