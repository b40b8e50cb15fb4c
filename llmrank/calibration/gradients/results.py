"""What a backward pass gives: numbers per neuron."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class MemberGradients:
    """What the gradients say of one projection's part of each neuron, over samples n.

    With g_n the loss's gradient of sample n, g their sum, and w over the row (of `gate`
    and `up`) or column (of `down`) that belongs to the neuron:
    `change`: Σ_w g w; `curvature`: Σ_n (Σ_w g_n w)²; `element_change`: Σ_w |g w|;
    `element_second`: Σ_w |g w − ½ Σ_n (g_n w)²|; `scaled_norm`: Σ_w |w| √(Σ_n g_n²).
    """

    change: Float[Tensor, " d_ff"]
    curvature: Float[Tensor, " d_ff"]
    element_change: Float[Tensor, " d_ff"]
    element_second: Float[Tensor, " d_ff"]
    scaled_norm: Float[Tensor, " d_ff"]


@dataclass(frozen=True)
class LayerGradients:
    """The gradients of one FFN layer, reduced to numbers per neuron."""

    up: MemberGradients
    down: MemberGradients
    gate: MemberGradients | None = None

    @property
    def members(self) -> tuple[MemberGradients, ...]:
        """The parts of a neuron in the order in which they are executed."""
        return tuple(m for m in (self.gate, self.up, self.down) if m is not None)


@dataclass(frozen=True)
class Gradients:
    """What the backward pass measured, layer by layer, and on what."""

    layers: tuple[LayerGradients, ...]
    n_samples: int
    text_source: str
    text_sha256: str
