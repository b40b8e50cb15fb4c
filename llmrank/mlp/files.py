"""Networks as safetensors files: written whole, and read by their header first."""

import itertools
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import named_path, written_file
from llmrank.core.permissions import check_own_file
from llmrank.mlp.network import ActivationName, Network

MAX_WEIGHTS = 50_000_000
MAX_BYTES = 9 * MAX_WEIGHTS  # the largest type, and its header
MAX_LAYERS = 50
MAX_NEURONS = 8192
"""A network of more, or of more in a hidden layer, would not answer while one drags."""

FLOATS = ("F64", "F32", "F16", "BF16")
"""Of safetensors' types those that weights are trained in."""


def as_bytes(network: Network, about: Mapping[str, str] | None = None) -> bytes:
    """Return the network as a safetensors file's content, with what is said of it."""
    named = {f"layers.{i}.weight": w for i, w in enumerate(network.weights)}
    named |= {f"layers.{i}.bias": b for i, b in enumerate(network.biases)}
    whole = {name: values.detach().contiguous() for name, values in named.items()}
    return save(whole, {"activation": network.activation, **(about or {})})


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
        LLMRankError: no safetensors, no chain of linear layers, or a full disk.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network"  # no disk takes every name of an upload
        try:
            path.write_bytes(content)
        except OSError as error:
            raise LLMRankError(
                f"{name[:80]} cannot be kept ({error.strerror}); free some space on "
                "the server"
            ) from error
        return _read(path, name[:80])


def _read(whole: Path, shown: str) -> Network:
    try:
        if whole.stat().st_size > MAX_BYTES:  # before it is mapped into memory
            raise LLMRankError(
                f"{shown!r} has {whole.stat().st_size / 1e6:,.0f} MB; at most "
                f"{MAX_BYTES / 1e6:,.0f} MB are allowed here"
            )
        with safe_open(whole, framework="pt") as file:
            said = (file.metadata() or {}).get("activation", "relu")
            parameters = _parameters(file, shown)
    except (OSError, RuntimeError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error).replace(str(whole), shown)
        raise LLMRankError(
            f"{shown!r} cannot be read as safetensors ({why[:80]}); pickles (.pt, "
            ".pth) are never loaded: save with safetensors.torch.save_file"
        ) from error
    if said not in get_args(ActivationName):
        known = ", ".join(get_args(ActivationName))
        raise LLMRankError(
            f"{shown!r} names the activation {json.dumps(said)[:40]}; there are {known}"
        )
    return _chain(parameters, said, shown)


def _parameters(file: Any, shown: str) -> dict[str, Tensor]:
    """Read what is named weight or bias, if by its header it can be a network here."""
    names = list(file.keys())
    other = [n for n in names if not n.endswith(("weight", "bias"))]
    if other:
        raise LLMRankError(
            f"{shown!r} holds {other[0][:60]!r} too, which is neither a weight nor a "
            "bias; an MLP of linear layers alone is read"
        )
    if len(names) > 2 * MAX_LAYERS:
        raise LLMRankError(
            f"{shown!r} has {len(names):,} weights and biases by name; an MLP of at "
            f"most {MAX_LAYERS} layers is allowed here"
        )
    heads = [file.get_slice(name) for name in names]
    types = {head.get_dtype() for head in heads}.difference(FLOATS)
    if types:
        raise LLMRankError(
            f"{shown!r} holds weights of type {', '.join(sorted(types))}; those of "
            f"{', '.join(FLOATS)} are read"
        )
    n_params = sum(math.prod(head.get_shape()) for head in heads)
    if n_params > MAX_WEIGHTS:
        raise LLMRankError(
            f"{shown!r} has {n_params:,} weights; at most {MAX_WEIGHTS:,} are allowed "
            "here"
        )
    return {name: file.get_tensor(name) for name in names}


def _chain(
    tensors: dict[str, Tensor], activation: ActivationName, shown: str
) -> Network:
    """Put the layers in order and check that each fits the next."""
    heads = sorted(
        (n[: -len("weight")] for n in tensors if n.endswith("weight")), key=_natural
    )
    weights = [tensors[f"{head}weight"] for head in heads]
    whole = weights and all(w.dim() == 2 and 0 not in w.shape for w in weights)
    chained = whole and all(
        len(a) == b.shape[1] for a, b in itertools.pairwise(weights)
    )
    if len(weights) < 2 or not chained:
        shapes = ", ".join(f"{tuple(tensors[f'{h}weight'].shape)}" for h in heads[:6])
        raise LLMRankError(
            f"{shown!r} is no MLP: it needs two linear layers at least, named in "
            "their order, whose matrices [n_out, n_in] follow one another; got "
            f"{shapes or 'no weights'}"
        )
    biases = [
        tensors.get(f"{head}bias", torch.zeros(len(w)))
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
                f"{shown!r}: layer {layer} has {len(values[0])} neurons and biases of "
                f"shape {list(values[1].shape)}"
            )
        if not all(v.isfinite().all() for v in values):
            raise LLMRankError(
                f"{shown!r}: layer {layer} holds NaN or infinite weights; a training "
                "that diverged leaves such a file"
            )
    if max(network.widths) > MAX_NEURONS:
        raise LLMRankError(
            f"{shown!r} has a hidden layer of {max(network.widths):,} neurons; at most "
            f"{MAX_NEURONS:,} are allowed here"
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Order layers.10 after layers.9."""
    parts = name.split(".")
    return [(int(p), "") if p.isdecimal() and len(p) < 10 else (-1, p) for p in parts]
