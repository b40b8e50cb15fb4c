"""Training an MLP in seconds on a CPU: all drawn from one seed, live, stoppable."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional

from llmrank.core.errors import LLMRankError, OptionError
from llmrank.core.progress import Progress, silent
from llmrank.core.specs import option, spec
from llmrank.mlp.example_sets import Examples
from llmrank.mlp.network import (
    ActivationName,
    Network,
    accuracy,
    initial,
    logits,
    mapped,
    signals,
)

MAX_DEPTH = 12
MAX_WIDTH = 2048
HEED = 50
"""Steps after which a training hears that it is to stop."""


@spec
class MLPSpec:
    """The network and how it is trained."""

    widths: str = option(
        default="128,64",
        help="Neurons of each hidden layer, from the input on, separated by commas",
    )
    activation: ActivationName = option(
        default="relu", help="What a neuron does to the sum of its inputs"
    )
    dropout: float = option(
        default=0.0, low=0, below=1,
        help="The share of hidden neurons left out of each training step",
    )  # fmt: skip
    epochs: int = option(
        default=30, low=1, high=1000, help="How often the training set is gone through"
    )
    learning_rate: float = option(
        default=0.004, low=0, high=1000,
        help="The largest step of Adam's; it rises to it and falls to nothing",
    )  # fmt: skip
    batch: int = option(
        default=64, low=1, high=8192, help="Examples behind each step of the training"
    )
    seed: int = option(
        default=0, low=0, high=2**31, help="Of the initial weights, order and dropout"
    )

    @property
    def hidden(self) -> tuple[int, ...]:
        """Neurons of each hidden layer.

        Raises:
            OptionError: not numbers, or too many or too large ones.
        """
        parts = [p.strip() for p in self.widths.split(",")]
        if not all(p.isdecimal() and 1 <= int(p[:9]) <= MAX_WIDTH for p in parts):
            raise OptionError(
                f"widths must be whole numbers from 1 to {MAX_WIDTH:,} separated by "
                f"commas, got {self.widths[:60]!r}"
            )
        if len(parts) > MAX_DEPTH:
            raise OptionError(
                f"at most {MAX_DEPTH} hidden layers are allowed, got {len(parts)}"
            )
        return tuple(int(p) for p in parts)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training set: its mean loss, and both accuracies after it."""

    loss: float
    train_accuracy: float
    test_accuracy: float


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, where it began, and how it came about."""

    network: Network
    start: Network
    epochs: tuple[Epoch, ...]


def train(
    spec: MLPSpec,
    data: Examples,
    *,
    start: Network | None = None,
    progress: Progress = silent,
    publish: Callable[[tuple[Epoch, ...]], None] = lambda _: None,
) -> Trained:
    """Train with Adam and one cycle of the learning rate.

    The result follows from the spec and the data alone, bit for bit on one machine.

    Args:
        spec: the network and how it is trained.
        data: what on.
        start: the weights to begin with, instead of those the seed draws.
        progress: called per epoch.
        publish: called after each with all epochs so far.

    Raises:
        LLMRankError: the loss is no finite number any more.
    """
    generator = torch.Generator().manual_seed(spec.seed)
    sizes = (data.d_in, *spec.hidden, data.n_classes)
    begun = start or initial(sizes, spec.activation, generator)
    # Copies: the weights of the start stay as they are.
    own = mapped(begun, lambda t: t.detach().clone().requires_grad_())
    parameters = [*own.weights, *own.biases]
    optimiser = torch.optim.Adam(parameters, lr=spec.learning_rate)
    n_steps = spec.epochs * math.ceil(len(data.train_y) / spec.batch)
    epochs: list[Epoch] = []
    step = 0
    for done in range(spec.epochs):
        progress("Training, epochs", done, spec.epochs)
        losses = []
        order = torch.randperm(len(data.train_y), generator=generator)
        for members in order.split(spec.batch):
            optimiser.param_groups[0]["lr"] = _rate(spec, step / n_steps)
            losses.append(_step(own, data, members, spec.dropout, generator, optimiser))
            step += 1
            if step % HEED == 0:  # large sets: an epoch is long to wait for a stop
                progress("Training, epochs", done, spec.epochs)
        epochs.append(_epoch(own, data, torch.stack(losses), done))
        publish(tuple(epochs))
    progress("Training, epochs", spec.epochs, spec.epochs)
    return Trained(mapped(own, Tensor.detach), begun, tuple(epochs))


def _step(
    own: Network,
    data: Examples,
    members: Int[Tensor, " batch"],
    dropout: float,
    generator: torch.Generator,
    optimiser: torch.optim.Optimizer,
) -> Tensor:
    def dropped(hidden: Tensor) -> Tensor:
        stays = torch.rand(hidden.shape, generator=generator) >= dropout
        return hidden * stays / (1 - dropout)

    x = data.train_x[members]
    out = signals(own, x, dropped).sums[-1] if dropout else logits(own, x)
    loss = functional.cross_entropy(out, data.train_y[members])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


def _epoch(own: Network, data: Examples, losses: Tensor, done: int) -> Epoch:
    loss = float(losses.mean())
    if not math.isfinite(loss):
        raise LLMRankError(
            f"the training diverged in epoch {done + 1}: the loss is no finite number "
            "any more; lower the learning rate"
        )
    return Epoch(
        loss,
        accuracy(own, data.train_x, data.train_y),
        accuracy(own, data.test_x, data.test_y),
    )


def _rate(spec: MLPSpec, at: float) -> float:
    """Rise in a straight line over the first fifth, fall along a cosine."""
    if at < 0.2:
        return spec.learning_rate * (0.1 + 0.9 * at / 0.2)
    return spec.learning_rate * (1 + math.cos(math.pi * (at - 0.2) / 0.8)) / 2
