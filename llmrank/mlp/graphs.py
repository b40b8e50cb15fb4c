"""An MLP's hidden layers as graphs, with what its signals and gradients measure."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from llmrank.calibration.activations import LayerStats
from llmrank.calibration.gradients import LayerGradients, MemberGradients
from llmrank.core.errors import LLMRankError
from llmrank.methods.graph import FFNGraph
from llmrank.mlp.network import Network, Signals, signals
from llmrank.models.ffn import FFN

MAX_CALIBRATION = 4096
"""Training examples the signals are measured on, at most: the first ones."""


def ffns(network: Network) -> tuple[FFN, ...]:
    """View each hidden layer as an FFN: its own matrix is `up`, the next is `down`.

    Neighbours share a matrix: what leaves a layer's neurons enters those of the next.
    """
    return tuple(
        FFN(
            layer=i,
            gate=None,
            up=network.weights[i],
            down=network.weights[i + 1],
            gate_bias=None,
            up_bias=network.biases[i],
            down_bias=network.biases[i + 1],
        )
        for i in range(len(network.widths))
    )


def graphs(
    network: Network, x: Float[Tensor, "n d_in"], y: Int[Tensor, " n"]
) -> tuple[FFNGraph, ...]:
    """Draw every hidden layer as a graph, measured on training examples.

    Raises:
        LLMRankError: a signal is not finite.
    """
    x, y = x[:MAX_CALIBRATION], y[:MAX_CALIBRATION]
    with torch.no_grad():
        read = signals(network, x)
    for layer, sums in enumerate(read.sums):
        if not sums.isfinite().all():
            raise LLMRankError(
                f"the signals of layer {layer} are not finite; its weights overflow"
            )
    slopes = _slopes(network, x, y)
    return tuple(
        FFNGraph(
            ffn=view,
            stats=_stats(read, view.layer),
            n_tokens=len(x),
            gradients=_gradients(network, read, slopes, view.layer),
        )
        for view in ffns(network)
    )


def _stats(signals: Signals, layer: int) -> LayerStats:
    """Measure one layer; a block's angle is of language models and stays nothing."""
    signal = signals.inputs[layer + 1].double()
    return LayerStats(
        input_norm=_norm(signals.inputs[layer]),
        up_norm=_norm(signals.sums[layer]),
        neuron_norm=_norm(signal),
        neuron_mean=signal.mean(0).float(),
        neuron_abs_mean=signal.abs().mean(0).float(),
        output_norm=_norm(signals.sums[layer + 1]),
        block_cosine=1.0,
        block_angle=0.0,
    )


def _norm(x: Tensor) -> Tensor:
    return x.double().square().sum(0).sqrt().float()


def _slopes(network: Network, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Differentiate the mean loss by every layer's sums, example by example."""
    with torch.enable_grad():
        read = signals(network, x.detach().clone().requires_grad_())
        loss = functional.cross_entropy(read.sums[-1], y)
    return torch.autograd.grad(loss, read.sums)


def _gradients(
    network: Network, signals: Signals, slopes: Sequence[Tensor], layer: int
) -> LayerGradients:
    """Reduce the gradients of both matrices of a layer's neurons.

    An example's gradient of a matrix is the outer product of its slopes and its
    inputs: sums over examples need no loop over them.
    """
    up, down = network.weights[layer], network.weights[layer + 1]
    before, after = signals.inputs[layer], signals.inputs[layer + 1]
    return LayerGradients(
        gate=None,
        up=_member(up, slopes[layer], before),
        down=_member(down.T, after, slopes[layer + 1]),
    )


def _member(rows: Tensor, of_rows: Tensor, of_columns: Tensor) -> MemberGradients:
    """Sum over examples n of the gradients `of_rows[n] ⊗ of_columns[n]`."""
    rows, a, b = rows.double(), of_rows.double(), of_columns.double()
    change = (a.T @ b) * rows
    squares = a.square().T @ b.square()
    second = change - squares * rows.square() / 2
    return MemberGradients(
        change=change.sum(1).float(),
        curvature=(a * (b @ rows.T)).square().sum(0).float(),
        element_change=change.abs().sum(1).float(),
        element_second=second.abs().sum(1).float(),
        scaled_norm=(rows.abs() * squares.sqrt()).sum(1).float(),
    )
