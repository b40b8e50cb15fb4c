"""Accuracy under noise, blur, rotation and contrast: do criteria make brittle?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from llmrank.core.progress import Progress, silent
from llmrank.core.statistics import t_interval
from llmrank.mlp.example_sets import Examples, Shape
from llmrank.mlp.network import Network, predictions

STRENGTHS: dict[str, tuple[float, ...]] = {
    "noise": (0.1, 0.2, 0.3, 0.4),
    "blur": (0.5, 0.75, 1.0, 1.5),
    "rotation": (10.0, 20.0, 30.0, 45.0),
    "contrast": (0.75, 0.5, 0.25, 0.1),
}
"""Noise: standard deviation (pixels lie in [0, 1]); blur: standard deviation in eighths
of the picture's height times 1, so that 8×8 and 28×28 suffer alike; rotation: degrees;
contrast: what is left of a pixel's distance from its picture's mean."""

UNITS = {"noise": "σ of a pixel", "blur": "σ in eighths of the height",
         "rotation": "degrees", "contrast": "share left"}  # fmt: skip
"""What the strengths are in."""


@dataclass(frozen=True, eq=False)
class RobustnessResult:
    """What one network gets right of the test set under one corruption (0: clean)."""

    network: str
    corruption: str
    strength: float
    right: Bool[Tensor, " n_test"]
    dense_right: Bool[Tensor, " n_test"]
    """What the dense network does, equally corrupted."""

    @property
    def accuracy(self) -> float:
        """The share of the test set that is right."""
        return float(self.right.double().mean())


def corrupt(
    x: Float[Tensor, "n d_in"],
    shape: Shape,
    kind: str,
    strength: float,
    *,
    seed: int = 0,
) -> Float[Tensor, "n d_in"]:
    """Return corrupted pictures, in [0, 1]; noise is drawn from the seed."""
    pictures = x.reshape(-1, shape.height, shape.width, shape.channels)
    changed = _KINDS[kind](pictures.permute(0, 3, 1, 2), strength, seed)
    return changed.clamp(0, 1).permute(0, 2, 3, 1).reshape(x.shape)


def kinds(data: Examples) -> tuple[str, ...]:
    """Name what can be done to these examples: rows of a table only take noise."""
    return tuple(STRENGTHS) if data.shape else ("noise",)


def robustness_results(
    networks: Mapping[str, Network],
    data: Examples,
    *,
    dense: Network,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[RobustnessResult, ...]:
    """Measure every network under every corruption; all see the same noise.

    Source: after Li et al. 2022, Understanding Robustness Lottery, arXiv 2206.07918.

    Args:
        networks: by name; the pruned ones, and the dense one if it is to be shown.
        data: its test set is corrupted.
        dense: what the others are compared with.
        seed: of the noise.
        progress: called per strength.
    """
    cells = [("clean", 0.0)]
    cells += [(kind, s) for kind in kinds(data) for s in STRENGTHS[kind]]
    results = []
    for done, (kind, strength) in enumerate(cells):
        progress(f"Testing under {kind}", done, len(cells))
        x = _shaken(data, kind, strength, seed)
        before = predictions(dense, x) == data.test_y
        results += [
            RobustnessResult(
                name, kind, strength, predictions(n, x) == data.test_y, before
            )
            for name, n in networks.items()
        ]
    return tuple(results)


def _shaken(data: Examples, kind: str, strength: float, seed: int) -> Tensor:
    if kind == "clean":
        return data.test_x
    if data.shape is None:
        return _noise(data.test_x, strength, seed)
    return corrupt(data.test_x, data.shape, kind, strength, seed=seed)


def robustness_table(results: tuple[RobustnessResult, ...]) -> pd.DataFrame:
    """Return the measurements as rows."""
    names = ("network", "corruption", "strength", "accuracy")
    return pd.DataFrame([{name: getattr(s, name) for name in names} for s in results])


def brittleness(results: tuple[RobustnessResult, ...]) -> pd.DataFrame:
    """Return what corruption costs each network beyond what it costs the dense one.

    `loss` is the mean fall from clean accuracy over all corruptions; `extra` is that
    less the dense network's own fall, with its 95 % interval over the test examples,
    each compared with itself. Positive: brittle.
    """
    rows = []
    for name in dict.fromkeys(s.network for s in results):
        mine = [s for s in results if s.network == name]
        own = _falls([s.right for s in mine])
        dense = _falls([s.dense_right for s in mine])
        extra = t_interval(own - dense)
        rows.append(
            {
                "network": name,
                "clean": mine[0].accuracy,
                "shaken": mine[0].accuracy - float(own.mean()),
                "loss": float(own.mean()),
                "extra": extra.value,
                "extra_low": extra.low,
                "extra_high": extra.high,
            }
        )
    return pd.DataFrame(rows)


def _falls(right: Sequence[Bool[Tensor, " n_test"]]) -> Float[Tensor, " n_test"]:
    """Return what each example loses on average; the first measurement is clean."""
    clean, *shaken = (one.double() for one in right)
    return clean - torch.stack(shaken).mean(0)


def _noise(x: Tensor, strength: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return x + strength * torch.randn(x.shape, generator=generator)


def _blur(x: Tensor, strength: float, seed: int) -> Tensor:  # noqa: ARG001
    """Convolve with a Gaussian, rows then columns; the rim is repeated."""
    sigma = strength * x.shape[2] / 8
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1)
    bell = torch.exp(-(at.square()) / (2 * sigma**2))
    bell = (bell / bell.sum()).repeat(x.shape[1], 1)
    groups = x.shape[1]
    padded = functional.pad(x, (reach, reach, reach, reach), mode="replicate")
    rows = functional.conv2d(padded, bell[:, None, None, :], groups=groups)
    return functional.conv2d(rows, bell[:, None, :, None], groups=groups)


def _rotation(x: Tensor, strength: float, seed: int) -> Tensor:  # noqa: ARG001
    """Turn about the middle, with what lies outside as dark as nothing."""
    angle = torch.deg2rad(torch.tensor(strength))
    cos, sin = angle.cos(), angle.sin()
    zero = torch.zeros(())
    turn = torch.stack([torch.stack([cos, -sin, zero]), torch.stack([sin, cos, zero])])
    size = list(x.shape)
    grid = functional.affine_grid(turn.expand(len(x), 2, 3), size, align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)


def _contrast(x: Tensor, strength: float, seed: int) -> Tensor:  # noqa: ARG001
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + strength * (x - mean)


_KINDS: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "rotation": _rotation,
    "contrast": _contrast,
}
