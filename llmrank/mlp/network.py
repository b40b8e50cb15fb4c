"""An MLP as tensors: its layers, its signals, the really smaller one, its file."""

import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from llmrank.doors import check_own_file
from llmrank.errors import LLMRankError
from llmrank.folders import named_path, written_file

ActivationName = Literal["relu", "tanh", "gelu", "sigmoid"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
}

MAX_WEIGHTS = 50_000_000
"""A network of more would not answer while one drags."""


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
    act = ACTIVATIONS[network.activation]
    *hidden, last = zip(network.weights, network.biases, strict=True)
    for weight, bias in hidden:
        x = act(functional.linear(x, weight, bias))
    return functional.linear(x, *last)


@torch.inference_mode()
def predictions(network: Network, x: Float[Tensor, "n d_in"]) -> Int[Tensor, " n"]:
    """Return the class each example is taken for."""
    return torch.cat([logits(network, part).argmax(1) for part in x.split(4096)])


def accuracy(
    network: Network, x: Float[Tensor, "n d_in"], y: Int[Tensor, " n"]
) -> float:
    """Return the share of examples that are taken for what they are."""
    return float((predictions(network, x) == y).double().mean())


def cut(network: Network, keep: Sequence[Int[Tensor, " _"]]) -> Network:
    """Return the really smaller network: rows of a layer and columns of the next.

    Args:
        network: the dense one, which is untouched.
        keep: the neurons of each hidden layer that stay, in the order they then stand.
    """
    weights, biases = list(network.weights), list(network.biases)
    for layer, kept in enumerate(keep):
        weights[layer], biases[layer] = weights[layer][kept], biases[layer][kept]
        weights[layer + 1] = weights[layer + 1][:, kept]
    return replace(network, weights=tuple(weights), biases=tuple(biases))


def prefix(network: Network, widths: Sequence[int]) -> Network:
    """Return the network of the first neurons of each hidden layer, as views."""
    last = len(network.weights[-1])
    rows = (*widths, last)
    columns = (network.sizes[0], *widths)
    return replace(
        network,
        weights=tuple(
            w[:n, :m] for w, n, m in zip(network.weights, rows, columns, strict=True)
        ),
        biases=tuple(b[:n] for b, n in zip(network.biases, rows, strict=True)),
    )


def as_bytes(network: Network) -> bytes:
    """Return the network as a safetensors file's content."""
    named = {f"layers.{i}.weight": w for i, w in enumerate(network.weights)}
    named |= {f"layers.{i}.bias": b for i, b in enumerate(network.biases)}
    whole = {name: values.detach().contiguous() for name, values in named.items()}
    return save(whole, {"activation": network.activation})


def save_network(network: Network, path: str | Path) -> None:
    """Write the network as safetensors; the file appears only when it is whole.

    Raises:
        LLMRankError: it cannot be written there.
    """
    with written_file(named_path(path)) as beside:
        beside.write_bytes(as_bytes(network))


def load_network(path: str | Path) -> Network:
    """Read a network from safetensors: the matrices in the order of their names.

    Any names that end in `weight` and `bias` will do, as `torch.nn.Sequential` gives
    them; the activation is in the file's metadata, relu where it says nothing.

    Raises:
        LLMRankError: no such file, no safetensors, no chain of linear layers, or a file
            that a stranger names.
    """
    check_own_file(path)
    return _read(named_path(path), Path(path).name[:80])


def network_of(content: bytes, name: str) -> Network:
    """Read a network from the content of a file of that name; see `load_network`.

    Raises:
        LLMRankError: no safetensors, or no chain of linear layers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"
        path.write_bytes(content)
        return _read(path, name[:80])


def _read(path: Path, shown: str) -> Network:
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = (file.metadata() or {}).get("activation", "relu")
    except (OSError, SafetensorError) as error:
        raise LLMRankError(
            f"{shown!r} cannot be read as safetensors ({str(error)[:80]}); pickles "
            "(.pt, .pth) are never loaded: save with safetensors.torch.save_file"
        ) from error
    if said not in get_args(ActivationName):
        known = ", ".join(get_args(ActivationName))
        raise LLMRankError(
            f"{shown!r} names the activation {json.dumps(said)[:40]}; there are {known}"
        )
    return _chain(found, said, shown)


def _chain(found: dict[str, Tensor], activation: ActivationName, shown: str) -> Network:
    """Put the layers in order and check that each fits the next."""
    heads = sorted(
        (n[: -len("weight")] for n in found if n.endswith("weight")), key=_natural
    )
    weights = [found[f"{head}weight"] for head in heads]
    whole = weights and all(w.dim() == 2 and 0 not in w.shape for w in weights)
    chained = whole and all(
        len(a) == b.shape[1] for a, b in itertools.pairwise(weights)
    )
    if len(weights) < 2 or not chained:
        shapes = ", ".join(f"{tuple(found[f'{h}weight'].shape)}" for h in heads[:6])
        raise LLMRankError(
            f"{shown!r} is no MLP: it needs two linear layers at least, named in "
            "their order, whose matrices [n_out, n_in] follow one another; got "
            f"{shapes or 'no weights'}"
        )
    biases = [
        found.get(f"{head}bias", torch.zeros(len(w)))
        for head, w in zip(heads, weights, strict=True)
    ]
    network = Network(
        tuple(w.float() for w in weights), tuple(b.float() for b in biases), activation
    )
    check(network, shown)
    return network


def check(network: Network, shown: str) -> None:
    """Refuse a network that cannot be run or is too large to play with.

    Raises:
        LLMRankError: saying which.
    """
    for layer, values in enumerate(zip(network.weights, network.biases, strict=True)):
        if len(values[0]) != values[1].numel() or values[1].dim() != 1:
            raise LLMRankError(
                f"{shown!r}: layer {layer} has {len(values[0])} neurons and "
                f"{values[1].numel()} biases"
            )
        if not all(v.isfinite().all() for v in values):
            raise LLMRankError(
                f"{shown!r}: layer {layer} holds NaN or infinite weights; a training "
                "that diverged leaves such a file"
            )
    if network.n_params > MAX_WEIGHTS:
        raise LLMRankError(
            f"{shown!r} has {network.n_params:,} weights; at most {MAX_WEIGHTS:,} are "
            "allowed here"
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order layers.10 after layers.9."""
    parts = name.split(".")
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]
